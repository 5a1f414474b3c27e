"""The text of specs: clauses, examples, kinds, and what is weak about them."""
