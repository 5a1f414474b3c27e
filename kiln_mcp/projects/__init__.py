"""Open projects and tasks, and say what is there."""
