"""The rate limiter of each server: concurrency, rates, pauses, circuit breaker."""
