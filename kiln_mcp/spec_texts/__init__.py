"""The text of specs: clauses, kinds, lint. Pure."""
