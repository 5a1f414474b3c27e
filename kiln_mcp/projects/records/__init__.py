"""Find and read records of any kind."""
