"""Approvals: what a person agreed to, by which door, and what waits for them.

Only a person's door gives an approval: a question that the client shows, a terminal, a page, or
the allowance that the person set beforehand. Nothing in the arguments of a call is one.
"""
