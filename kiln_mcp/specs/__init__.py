"""Draft, question, refine and save a spec."""
