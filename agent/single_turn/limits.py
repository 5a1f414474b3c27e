"""The limit of one turn, as `--limit` writes it."""

import math
from typing import TYPE_CHECKING, Final

from storage.errors import Refusal

if TYPE_CHECKING:
    from kiln_mcp.llm import BudgetLimit

_NAMES: Final = ("usd", "calls", "seconds")


def read_limit(text: str) -> "BudgetLimit":
    """Read a limit such as `usd=2,calls=50,seconds=600`; an empty text limits nothing.

    Raises:
        Refusal: A part has another name, or its number is none or below 0.
    """
    numbers: dict[str, float] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        name, _, value = part.partition("=")
        number = _number(value)
        if name.strip() not in _NAMES or number is None:
            raise Refusal(
                "'{part}' is no limit. Write parts of usd=2,calls=50,seconds=600.", part=part
            )
        numbers[name.strip()] = number
    # A wrong limit is refused before the imports of a chat.
    from kiln_mcp.llm import BudgetLimit

    calls = numbers.get("calls")
    return BudgetLimit(
        cost_usd=numbers.get("usd"),
        calls=None if calls is None else int(calls),
        seconds=numbers.get("seconds"),
    )


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None
