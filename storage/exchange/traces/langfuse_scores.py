"""The scores in tables that people export from Langfuse's page: a column for each, by its name."""

import re
from collections.abc import Iterator
from typing import Final

from storage.exchange.column_names import plain_name
from storage.exchange.columns import Row
from storage.exchange.examples import is_empty, list_of
from storage.exchange.traces.spans import Feedback, number_of

_LONGEST_WORD: Final = 60
"""Characters of a category; longer text is no score."""
_USER: Final = re.compile(r"user|thumb", re.IGNORECASE)
UNKNOWN: Final = "unknown"
"""The author of a score of which nobody says who gave it."""
_TRUTH: Final = {"true": True, "false": False}
_TRACE_COLUMNS: Final = frozenset(
    {
        *("id", "timestamp", "name", "projectid", "externalid", "createdat", "updatedat"),
        *("userid", "sessionid", "release", "version", "environment", "public", "bookmarked"),
        *("input", "output", "metadata", "tags", "latency", "level", "statusmessage", "comments"),
        *("observations", "observationcount", "scores", "htmlpath", "model", "provider", "type"),
        *("totalcost", "inputcost", "outputcost", "calculatedtotalcost", "costdetails"),
        *("usage", "usagedetails", "inputtokens", "outputtokens", "totaltokens", "tokens"),
        *("prompttokens", "completiontokens", "errorcount", "warningcount", "debugcount"),
        *("defaultcount", "inputcount", "outputcount"),
    }
)
"""The columns of traces that are no scores, as `fields_of` has them."""


def column_scores(row: Row) -> Iterator[Feedback]:
    """Yield the scores of a trace's row that stand in columns of their own.

    The table does not say who gave a score; only its name can tell that it was a user.
    """
    for column, cell in row.items():
        if plain_name(column) in _TRACE_COLUMNS or is_empty(cell):
            continue
        entries = list_of(cell)
        for entry in [cell] if entries is None else entries:
            value = _score(entry)
            if value is not None:
                author = "user" if _USER.search(column) else UNKNOWN
                yield Feedback(column.strip(), value, author=author)


def _score(value: object) -> str | float | bool | None:
    """Return a number, a truth value or a category; None if it is no score."""
    if isinstance(value, bool | int | float):
        return value
    if not isinstance(value, str) or not value.strip() or len(value) > _LONGEST_WORD:
        return None
    text = value.strip()
    number = number_of(text)
    return _TRUTH.get(text.casefold(), text) if number is None else number
