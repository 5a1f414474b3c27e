"""Shorten an answer to a number of tokens, so that no answer fills an assistant's context.

What is short stays whole: the tokens are shared so that the largest parts give way first. Lists
lose their last rows, texts their ends; a line in `shortened` names each part and how much of it is
there. The fields of `_UNCUT_FIELDS` are never cut.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, TypeVar

from pydantic import BaseModel, JsonValue

from kiln_mcp.workbench.answer_text import STEPS, render
from kiln_mcp.workbench.plain_text import plain
from kiln_mcp.workbench.token_estimate import token_estimate
from storage.errors import NextStep
from storage.text.excerpts import counted_excerpt, excerpts, with_remainder

KeyT = TypeVar("KeyT", str, int)
PageT = TypeVar("PageT", bound=BaseModel)

MOST_TOKENS: Final = 2000
"""The most tokens of an answer, where the caller asks for no more."""
SHORTENED: Final = "shortened"
"""The field of an answer that says what was left out of it."""
_IN_RECORDS: Final = "Read single records for the rest."
_UNCUT_FIELDS: Final = frozenset(
    {
        "status",
        "job",
        "state",
        "message",
        "plan",
        "approval_id",
        "next",
        "next_cursor",
        "orders",
    }
)
"""Fields that the next call depends on. Work orders have a limit of their own."""
_DRAFT: Final = "fields"
"""The field with the texts of a spec, which the next call may give back as they are."""
_SMALL_FIELD: Final = 20
"""Tokens of a field that stays in an answer whose other fields cannot be shortened enough."""
_OWN_LIMIT: Final = "orders"
_SHORTEST_TEXT: Final = 80
"""Characters of a text that is never cut, such as an id or a name."""
_FEWEST_ROWS: Final = 5
"""Rows of a list whose texts are cut before the list loses more rows."""
_ITEM: Final = "item"
"""The field with the id of an item, whose texts a person judges: its row is whole or left out."""
_MOST_IDS: Final = 20
_TOKENS_OF_CUT: Final = 8
"""What a cut text says of the rest."""
_MARGIN: Final = 0.9
"""Half of a text may have more tokens than the other half."""
_CURSOR: Final = 60
"""Tokens of a cursor, which a page has only if rows are left out."""
_MOST_LINES: Final = 6
_CHARACTERS_A_TOKEN: Final = 8
"""More characters than a token has in any text that matters: a bound that needs no counting."""


@dataclass(frozen=True, slots=True)
class _Cuts:
    """What was left out, by the place in the answer."""

    lines: dict[str, str] = field(default_factory=dict[str, str])


def fit(
    data: Mapping[str, JsonValue], step: NextStep | None = None, most_tokens: int = MOST_TOKENS
) -> dict[str, JsonValue]:
    """Return an answer that takes so many tokens at most; the same one if it does already.

    Args:
        data: The answer.
        step: The call that reads the rest; None if single records have it.
        most_tokens: The most tokens of the text form and of the structured form.
    """
    if answer_tokens(data) <= most_tokens:
        return dict(data)
    budget = most_tokens
    while budget > 1:
        cuts = _Cuts()
        answer = _shorten_fields(data, budget, cuts)
        lines = [f"{place}: {text}" for place, text in cuts.lines.items()]
        answer |= _way_on(with_remainder(lines[:_MOST_LINES], len(lines)), data, step)
        tokens = answer_tokens(answer)
        if tokens <= most_tokens:
            return answer
        budget = min(budget * 19 // 20, budget * most_tokens // tokens)
    answer = {name: value for name, value in data.items() if name in _UNCUT_FIELDS}
    answer |= _way_on(["the larger fields"], data, step)
    for name, value in data.items():
        larger = {**answer, name: value}
        is_small = name not in answer and _size(value) <= _SMALL_FIELD
        if is_small and answer_tokens(larger) <= most_tokens:
            answer = larger
    return answer


def _way_on(
    lines: Sequence[str], data: Mapping[str, JsonValue], step: NextStep | None
) -> dict[str, JsonValue]:
    """Return the fields that say what was left out, and how to read it."""
    if step is None:
        return {SHORTENED: [*lines, _IN_RECORDS]}
    steps = data.get(STEPS)
    shown_step: JsonValue = step.model_dump(mode="json", exclude_none=True)
    return {SHORTENED: [*lines], STEPS: [*(steps if isinstance(steps, list) else []), shown_step]}


def fit_text(text: str, most_tokens: int = MOST_TOKENS) -> str:
    """Return an error that takes so many tokens at most, without its middle: its end has advice."""
    size = _size(text)
    if size <= most_tokens:
        return text
    longest = int(len(text) * (most_tokens - 2 * _TOKENS_OF_CUT) / size * _MARGIN)
    end = longest // 4
    remainder = len(text) - longest
    return f"{text[: longest - end]} … ({remainder} characters left out) … {text[-end:]}"


def answer_tokens(data: Mapping[str, JsonValue]) -> int:
    """Return about how many tokens an answer takes in the larger of its two forms.

    Work orders do not count: they have a limit of their own.
    """
    own = {name: value for name, value in data.items() if name != _OWN_LIMIT}
    return max(_tokens(_json_text(own)), _tokens(render(own)))


async def fitting_page(
    most_tokens: int | None, limit: int, rows: str, find: Callable[[int], Awaitable[PageT]]
) -> PageT:
    """Return a page of an answer, with fewer rows than asked for if more would not fit.

    The page's own cursor then leads to the rows that are left out.

    Args:
        most_tokens: The most tokens of the answer; None for any number.
        limit: How many rows are asked for.
        rows: The field with the rows.
        find: Returns the page with so many rows at most.
    """
    page = await find(limit)
    data = plain(page)
    items = data.get(rows)
    if most_tokens is None or not isinstance(items, list) or answer_tokens(data) <= most_tokens:
        return page
    count = rows_that_fit(items, most_tokens)
    while count > 1 and answer_tokens({**data, rows: items[:count]}) > most_tokens - _CURSOR:
        count -= 1
    return await find(count)


def rows_that_fit(rows: Sequence[JsonValue], most_tokens: int) -> int:
    """Return how many of the first rows of a list take so many tokens at most; at least one."""
    total = 0
    for number, row in enumerate(rows):
        total += _size(row) + 1
        if total > most_tokens:
            return max(1, number)
    return len(rows)


def _shorten_fields(
    data: Mapping[str, JsonValue], budget: int, cuts: _Cuts
) -> dict[str, JsonValue]:
    uncut = {name: value for name, value in data.items() if name in _UNCUT_FIELDS}
    rest = {name: value for name, value in data.items() if name not in _UNCUT_FIELDS}
    room = budget - _size({name: uncut[name] for name in uncut if name != _OWN_LIMIT})
    values = uncut | _shorten_mapping(rest, max(1, room), "", cuts)
    return {name: values[name] for name in data if name in values}


def _shorten(node: JsonValue, budget: int, place: str, cuts: _Cuts) -> JsonValue:
    if _size(node) <= budget:
        return node
    match node:
        case str():
            return _shorten_text(node, budget, place, cuts)
        case list():
            return _shorten_list(node, budget, place, cuts)
        case dict():
            return _shorten_mapping(node, budget, place, cuts)
        case _:
            return node


def _shorten_text(text: str, budget: int, place: str, cuts: _Cuts) -> str:
    size = _size(text)
    if size <= budget or len(text) <= _SHORTEST_TEXT:
        return text
    share = max(1, budget - _TOKENS_OF_CUT) / size
    longest = max(_SHORTEST_TEXT, int(len(text) * share))
    if longest >= len(text):
        return text
    cuts.lines[place] = f"{longest} of {len(text)} characters"
    return counted_excerpt(text, longest)


def _shorten_list(
    rows: Sequence[JsonValue], budget: int, place: str, cuts: _Cuts
) -> list[JsonValue]:
    """Return the first rows as they are if at least a few fit; else these few, shortened.

    Of items, one is enough.
    """
    ids = [str(row[_ITEM]) for row in rows if isinstance(row, dict) and _ITEM in row]
    fewest = min(len(rows), 1 if ids else _FEWEST_ROWS)
    count = rows_that_fit(rows, budget)
    first_rows = list(rows[:count])
    if count < fewest:
        shares = _fair_shares({n: _size(row) for n, row in enumerate(rows[:fewest])}, budget)
        first_rows = [
            _shorten(rows[n], max(1, share), f"{place}[{n}]", cuts)
            for n, share in sorted(shares.items())
        ]
    if len(first_rows) < len(rows):
        rest = excerpts(ids[len(first_rows) :], limit=_MOST_IDS)
        remainder = f"; the others: {rest}" if rest else ""
        cuts.lines[place] = f"the first {len(first_rows)} of {len(rows)}{remainder}"
    return first_rows


def _shorten_mapping(
    fields: Mapping[str, JsonValue], budget: int, place: str, cuts: _Cuts
) -> dict[str, JsonValue]:
    """Return the fields, each with its fair share; the last ones go if the names alone are many."""
    names = list(fields)[: max(1, budget // 3)]
    if len(names) < len(fields):
        cuts.lines[place or "fields"] = f"the first {len(names)} of {len(fields)}"
    sizes = {name: _size(fields[name]) for name in names}
    keys = sum(_tokens(name) + 2 for name in names)
    draft = {_DRAFT: fields[_DRAFT]} if isinstance(fields.get(_DRAFT), dict) else {}
    draft_size = sizes.pop(_DRAFT, 0) if draft else 0
    shares = _fair_shares(sizes, budget - keys - draft_size)
    above = f"{place}." if place else ""
    values = draft | {
        name: _shorten(fields[name], max(1, share), f"{above}{name}", cuts)
        for name, share in shares.items()
    }
    return {name: values[name] for name in names}


def _fair_shares(sizes: Mapping[KeyT, int], budget: int) -> dict[KeyT, int]:
    """Share tokens so that what needs less than an equal share leaves the rest to the others."""
    shares: dict[KeyT, int] = {}
    remaining = budget
    for number, name in enumerate(sorted(sizes, key=lambda name: sizes[name])):
        share = min(sizes[name], remaining // (len(sizes) - number))
        shares[name] = share
        remaining -= share
    return shares


def _size(node: JsonValue) -> int:
    return _tokens(node if isinstance(node, str) else _json_text(node))


@lru_cache(maxsize=512)  # the same parts are counted in every try
def _tokens(text: str) -> int:
    """Return the tokens of a text; a huge one is not counted, since it cannot fit."""
    longest = MOST_TOKENS * _CHARACTERS_A_TOKEN
    return token_estimate(text) if len(text) <= longest else len(text) // 3


def _json_text(node: JsonValue | Mapping[str, JsonValue]) -> str:
    return json.dumps(node, ensure_ascii=False)
