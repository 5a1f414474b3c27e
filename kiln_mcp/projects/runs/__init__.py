"""Find, read, rate, tag and repair runs."""
