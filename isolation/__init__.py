"""Logic that users supply, run in worker processes with limits on time and memory.

`pool` asks the workers, `patterns` and `schemas` answer at once what is known to be cheap.
A worker imports this package, so nothing is imported here.
"""
