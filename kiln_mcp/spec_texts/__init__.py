"""The text of specs: clauses, kinds and rules that find gaps. Pure."""
