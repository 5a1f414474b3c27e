"""What there is in a project, what is weak, and what to do next."""
