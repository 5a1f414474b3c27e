"""The response cache: every call with its answer, and the account of costs.

One row a call, in SQLite or in the workers' Postgres. One thread writes all rows that wait in one
transaction. A row that cannot be written fails alone. Keys never enter it. The file is opened at
the first question, so a damaged one stops nothing else.

An answer that is truncated, refused, empty or unreadable is kept for its cost. No other job gets
it: the next one asks again. Its own job, after a kill, gets the same failure and pays once.
What a closed stream had written counts as spent and is not kept in the response cache.
"""
