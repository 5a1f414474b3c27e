"""The limit of one turn, as `--limit` writes it.

It is read before anything else is imported, so that a wrong one is refused at once.
"""

import math
from typing import TYPE_CHECKING, Final

from storage.errors import Refusal

if TYPE_CHECKING:
    from kiln_mcp.llm import BudgetLimit

_NAMES: Final = ("usd", "calls", "seconds")


def read_limit(text: str) -> "BudgetLimit":
    """Read a limit such as `usd=2,calls=50,seconds=600`; an empty text limits nothing.

    Raises:
        Refusal: A part has another name or a second value, or its number is none or below 0.
    """
    numbers: dict[str, float] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        name, _, value = part.partition("=")
        name, number = name.strip(), _number(value)
        is_half_call = name == "calls" and number is not None and not number.is_integer()
        if name not in _NAMES or name in numbers or number is None or is_half_call:
            raise Refusal(
                "--limit does not take '{part}'. Write each at most once, as in "
                "usd=2,calls=50,seconds=600.",
                part=part,
            )
        numbers[name] = number
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
