"""How many model calls a search may make: taken before they are sent."""


class CallQuota:
    """Calls that may still be made.

    A repeated run counts calls that the response cache answers too, so that it takes the same path.

    Attributes:
        limit: Calls in all.
        calls_used: Calls that were taken.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.calls_used = 0

    @property
    def remaining(self) -> int:
        """Calls that can still be taken."""
        return self.limit - self.calls_used

    def take(self, calls: int) -> bool:
        """Take calls before they are sent; False, and nothing taken, where they do not fit."""
        if calls > self.remaining:
            return False
        self.calls_used += calls
        return True
