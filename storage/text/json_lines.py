"""JSON in one line, for any reader of lines."""

import json
from collections.abc import Callable, Mapping
from typing import Final

_LINE_ENDS: Final = {0x85: "\\u0085", 0x2028: "\\u2028", 0x2029: "\\u2029"}
"""Characters that some readers of lines take for the end of one, and how JSON escapes them."""


def json_line(value: Mapping[str, object], default: Callable[[object], object] = str) -> str:
    """Return an object as one line of JSON, without a line break at its end.

    Args:
        value: The object.
        default: Returns what JSON has instead of a value of another type.

    Raises:
        ValueError: It holds a number that JSON cannot hold.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=default)
    return text.translate(_LINE_ENDS)
