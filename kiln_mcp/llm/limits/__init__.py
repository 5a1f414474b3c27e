"""The rate limiter of each server: concurrency, rates, pauses, circuit breaker.

A server's limits are set in `servers.json`. A model's are learned: its width from 429, its pauses
from Retry-After, its circuit from broken connections. One more circuit stands for a server that
cannot be reached. A wait of two seconds or more is reported to the engine's listener. Nobody waits
longer than two minutes, or than the rest of a job's time.

On Postgres, concurrency is a number of advisory locks. A worker keeps a slot from call to call for
two seconds, then others have their turn. The slots of a killed worker are free as soon as its
connection is gone. Requests and tokens a minute are one bucket, filled by the database's clock.
Workers share what they learn from a 429; a circuit is each worker's own. A worker that loses the
database finishes its calls in flight, so for that time there may be more than the limit.
"""
