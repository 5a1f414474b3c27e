"""Working on one project with others, by git, for people who do not know git."""
