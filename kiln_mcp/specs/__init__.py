"""Draft, question, refine and save a specification."""
