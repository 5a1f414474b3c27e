"""Say what this system takes from users' code, as a trial showed."""

import tempfile
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from storage.isolation.outcomes import Value
from storage.isolation.pool import shared_pool

_TRIAL_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Protection:
    """What code and confined commands cannot reach here.

    Attributes:
        files: Whether files outside their folder are out of reach.
        network: Whether the network is.
        processes: Whether other processes are.
    """

    files: bool = False
    network: bool = False
    processes: bool = False

    @property
    def gaps(self) -> tuple[str, ...]:
        """What they can do all the same, as verbs: "read your files"."""
        phrases = {
            "read and change your files": self.files,
            "reach the network": self.network,
            "start and end programs": self.processes,
        }
        return tuple(phrase for phrase, is_out_of_reach in phrases.items() if not is_out_of_reach)

    @property
    def warning(self) -> str:
        """A sentence of what is not kept from code; "" if all is."""
        if not self.gaps:
            return ""
        return (
            f"On this system code is held by limits of time and memory alone: it can "
            f"{', '.join(self.gaps)}. Read it before you trust it, or run it on Linux 5.13 or "
            "later."
        )


@lru_cache(maxsize=1)
def protection() -> Protection:
    """Try once, in a worker, what code can reach here; blocks for a moment."""
    with tempfile.NamedTemporaryFile(prefix="kiln-mcp-") as outside:
        outcome = shared_pool().run_alone("trial", "trial", {"outside": outside.name}, _TRIAL_S)
    walls = outcome.value if isinstance(outcome, Value) else None
    if not isinstance(walls, dict):
        return Protection()
    return Protection(
        **{name: walls.get(name) is True for name in ("files", "network", "processes")}
    )
