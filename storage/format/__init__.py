"""Kiln's format: where records lie, how they are read and checked, filters."""
