"""Import and export projects and tables of runs."""
