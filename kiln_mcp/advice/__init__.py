"""The inventory of a project, its weaknesses, and the next steps."""
