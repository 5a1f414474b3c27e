"""Patterns that are found in no text, or in every text, whatever it holds.

Only what can be proven counts: a pattern that is not recognised here may still be one of them.
"""

import importlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

Constant = Literal["never", "always"]

_parser: Any = importlib.import_module("re._parser")
_codes: Any = importlib.import_module("re._constants")
_LINE_END: Final = 10
_OPPOSITES: Final = (
    (_codes.CATEGORY_SPACE, _codes.CATEGORY_NOT_SPACE),
    (_codes.CATEGORY_DIGIT, _codes.CATEGORY_NOT_DIGIT),
    (_codes.CATEGORY_WORD, _codes.CATEGORY_NOT_WORD),
)
_CONDITIONS: Final = frozenset(
    {
        _codes.AT,
        _codes.ASSERT,
        _codes.ASSERT_NOT,
        _codes.FAILURE,
        _codes.GROUPREF,
        _codes.GROUPREF_EXISTS,
    }
)
_REPEATS: Final = frozenset({_codes.MAX_REPEAT, _codes.MIN_REPEAT, _codes.POSSESSIVE_REPEAT})
_Item = tuple[Any, Any]


def constant_answer(pattern: str) -> Constant | None:
    """Return the answer that a valid pattern gives in every text; None if none is proven."""
    tree = _parser.parse(pattern)
    if _Search(tree.state).is_impossible(_Place(list(tree), has_lines=_has_lines(tree.state))):
        return "never"
    if tree.getwidth()[0] == 0 and not _any_item(tree, lambda item: item[0] in _CONDITIONS):
        return "always"
    return None


@dataclass(frozen=True, slots=True)
class _Place:
    """Items in a row, and what a match holds around them.

    Attributes:
        items: The items.
        shortest_prefix: The fewest characters before them.
        shortest_suffix: The fewest behind them.
        has_lines: Whether `^` and `$` mean lines.
    """

    items: Sequence[_Item]
    shortest_prefix: int = 0
    shortest_suffix: int = 0
    has_lines: bool = False

    def inner(self, items: Iterable[_Item]) -> "_Place":
        """Return the place of items within the only item here."""
        return replace(self, items=list(items))


class _Search:
    """Looks for what cannot match in a parsed pattern with this state."""

    def __init__(self, state: Any) -> None:
        self._state = state

    def is_impossible(self, place: _Place) -> bool:
        """Return whether items in a row cannot match."""
        widths = [self._width(item) for item in place.items]
        for number, item in enumerate(place.items):
            left = place.shortest_prefix + sum(widths[:number])
            right = place.shortest_suffix + sum(widths[number + 1 :])
            rest = place.items[number + 1 :]
            if self._fails(_Place([item], left, right, place.has_lines), rest):
                return True
        return False

    def _fails(self, place: _Place, rest: Sequence[_Item]) -> bool:
        [(code, argument)] = place.items
        if code is _codes.AT:
            return _fails_at(argument, place, rest)
        if code is _codes.IN:
            return _is_empty_class(argument)
        if code is _codes.ASSERT_NOT:
            return not len(argument[1])
        if code is _codes.SUBPATTERN:
            lines = place.has_lines or bool(argument[1] & re.MULTILINE)
            return self.is_impossible(replace(place.inner(argument[3]), has_lines=lines))
        if code is _codes.BRANCH:
            return all(self.is_impossible(place.inner(branch)) for branch in argument[1])
        if code in _REPEATS:
            return argument[0] > 0 and self.is_impossible(place.inner(argument[2]))
        return code is _codes.FAILURE

    def _width(self, item: _Item) -> int:
        """Return the fewest characters that an item matches."""
        return int(_parser.SubPattern(self._state, [item]).getwidth()[0])


def _has_lines(state: Any) -> bool:
    return bool(state.flags & re.MULTILINE)


def _fails_at(mark: Any, place: _Place, rest: Sequence[_Item]) -> bool:
    if mark is _codes.AT_BEGINNING_STRING or (mark is _codes.AT_BEGINNING and not place.has_lines):
        return place.shortest_prefix > 0
    if mark is _codes.AT_END_STRING:
        return place.shortest_suffix > 0
    if mark is not _codes.AT_END or place.has_lines:
        return False
    # Before a last line end is an end, too.
    return place.shortest_suffix > 1 or (place.shortest_suffix == 1 and _is_no_line_end(rest))


def _is_no_line_end(rest: Sequence[_Item]) -> bool:
    """Return whether what follows begins with one character that is no line end."""
    if not rest:
        return False
    code, argument = rest[0]
    if code is _codes.SUBPATTERN:
        return _is_no_line_end(list(argument[3]))
    return code is _codes.LITERAL and argument != _LINE_END


def _is_empty_class(members: Sequence[_Item]) -> bool:
    if not members or members[0][0] is not _codes.NEGATE:
        return False
    categories = [argument for code, argument in members if code is _codes.CATEGORY]
    return any(first in categories and second in categories for first, second in _OPPOSITES)


def _any_item(tree: Iterable[_Item], holds: Callable[[_Item], bool]) -> bool:
    for item in tree:
        if holds(item) or any(_any_item(inner, holds) for inner in _inner(item)):
            return True
    return False


def _inner(item: _Item) -> list[Any]:
    """Return the rows of items within an item."""
    code, argument = item
    if code is _codes.SUBPATTERN:
        return [argument[3]]
    if code is _codes.BRANCH:
        return list(argument[1])
    if code in _REPEATS:
        return [argument[2]]
    if code is _codes.ATOMIC_GROUP:
        return [argument]
    return []
