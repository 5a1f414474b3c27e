"""Start, follow, pause and resume jobs."""
