"""The circuit breaker: stops calls to a server that cannot be reached."""

import time
from dataclasses import dataclass
from typing import Final

FAILURES_TO_OPEN: Final = 5
OPEN_S: Final = 15.0


@dataclass(slots=True)
class CircuitBreaker:
    """The circuit breaker: opens for some seconds after several failures in a row."""

    failures: int = 0
    open_until: float = 0.0
    reason: str = ""

    @property
    def is_open(self) -> bool:
        """Whether no request may be sent now."""
        return self.open_until > time.monotonic()

    def fail(self, reason: str) -> None:
        """Count a failure of the connection, and open after too many."""
        self.failures += 1
        self.reason = self.reason or reason
        if self.failures >= FAILURES_TO_OPEN:
            self.open_until = time.monotonic() + OPEN_S
