"""What a job may spend and has spent.

The most that a call can take is reserved before it is sent. It counts as spent if no answer came,
an error of the server (5xx) included; only a refused call is free. If a model takes more than was
asked, later reservations learn from it, and nothing is sent past a limit.
"""
