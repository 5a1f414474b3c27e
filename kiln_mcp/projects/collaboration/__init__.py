"""Share a project by git, sync it, decide conflicts."""
