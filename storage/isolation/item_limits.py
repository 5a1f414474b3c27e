"""How much one item may take.

KILN_MCP_ITEM_SECONDS  seconds an item; default: 2
KILN_MCP_ITEM_MB       megabytes a worker process; default: 512
"""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

_SHORTEST_S: Final = 0.05
_LONGEST_S: Final = 600.0
_LEAST_MB: Final = 128
_MOST_MB: Final = 65_536


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """The limits of one item.

    Attributes:
        seconds: By the wall clock, less the time in which Linux gave the process no processor.
        megabytes: Address space of the worker process. Linux enforces it; macOS does not.
        tasks: A worker is replaced after this many items.
        idle_seconds: A worker that waited this long ends.
    """

    seconds: float = 2.0
    megabytes: int = 512
    tasks: int = 20_000
    idle_seconds: float = 60.0

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Read the limits; a value that is no number in its range is ignored."""
        default = cls()
        seconds = _number(environment.get("KILN_MCP_ITEM_SECONDS"), _SHORTEST_S, _LONGEST_S)
        megabytes = _number(environment.get("KILN_MCP_ITEM_MB"), _LEAST_MB, _MOST_MB)
        return cls(seconds or default.seconds, int(megabytes or default.megabytes))


def _number(text: str | None, low: float, high: float) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return min(max(value, low), high) if math.isfinite(value) else None
