"""Show foreign text in a sentence, so that it can neither fill nor forge the sentence."""

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Final, cast

LONGEST_EXCERPT: Final = 200
"""The most characters of a value that an error quotes."""
LONGEST_REASON: Final = 400
"""The most characters of a reason in our own words, which quotes excerpts."""
MOST_ITEMS: Final = 60
"""The most names that a sentence lists."""
REASON_NAMES: Final = frozenset(
    {"reason", "reasons", "why", "problem", "problems", "what", "advice"}
)
"""The arguments of errors that hold our own words."""
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""Characters that begin a line, move a terminal's cursor, or turn the order of letters."""
_SHORT_ESCAPES: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_LONG_RUN: Final = re.compile(rf"\S{{{LONGEST_EXCERPT + 1},}}")


def excerpt(value: object, longest: int = LONGEST_EXCERPT) -> str:
    """Return a value as text, cut at its end with an ellipsis if it is longer."""
    text = str(value)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def excerpt_line(value: object, longest: int = LONGEST_EXCERPT) -> str:
    """Return a value as text on one line, with single spaces, cut at its end if it is longer."""
    return excerpt(" ".join(str(value).split()), longest)


def counted_excerpt(text: str, longest: int) -> str:
    """Return a text, or its beginning with the number of characters that are not shown."""
    remainder = len(text) - longest
    return text if remainder <= 0 else f"{text[:longest]}… ({remainder} more characters)"


def length_of(name: str) -> int:
    """Return the most characters that an error shows of an argument of this name."""
    return LONGEST_REASON if name in REASON_NAMES else LONGEST_EXCERPT


def excerpts(
    values: Iterable[object],
    separator: str = ", ",
    *,
    longest: int = LONGEST_EXCERPT,
    limit: int = MOST_ITEMS,
) -> str:
    """Join values, each cut; a long list ends with the number of the remaining ones."""
    items = list(values)
    texts = [excerpt(item, longest) for item in items[:limit]]
    return separator.join(with_remainder(texts, len(items)))


def with_remainder(first: Sequence[str], total: int) -> list[str]:
    """Return the first texts of a list and, if the list has more, how many more.

    Args:
        first: The texts that are shown.
        total: The length of the whole list.
    """
    remainder = total - len(first)
    return [*first, f"… and {remainder} more"] if remainder > 0 else list(first)


def defuse(sentence: str) -> str:
    """Return a sentence on one line: control characters escaped, unbroken runs cut."""
    safe = _CONTROL.sub(_escape, sentence)
    return _LONG_RUN.sub(lambda run: f"{run.group()[: LONGEST_EXCERPT - 1]}…", safe)


def arguments_by_name(
    kind: type[Exception], positional: tuple[object, ...], keywords: Mapping[str, object]
) -> Mapping[str, object]:
    """Return the arguments of an error's constructor that are too long for an excerpt."""
    long = [value for value in (*positional, *keywords.values()) if _is_long(value)]
    if not long:
        return {}
    try:
        bound = inspect.signature(kind.__init__).bind(None, *positional, **keywords).arguments
    except TypeError:  # which the constructor itself says better
        return {}
    return {name: value for name, value in bound.items() if _is_long(value)}


def with_excerpts(sentence: str, arguments: Mapping[str, object]) -> str:
    """Replace each long argument in a sentence by an excerpt of it."""
    for name, value in arguments.items():
        longest = length_of(name)
        if items := [str(item) for item in _items(value)]:
            for separator in (", ", " or ", "; "):
                if full_list := separator.join(items):
                    sentence = sentence.replace(full_list, excerpts(items, separator))
        for text in _texts(value):
            if len(text) > longest and text != sentence:
                sentence = _cut(sentence, text, longest)
    return sentence


def _cut(sentence: str, text: str, longest: int) -> str:
    """Cut a text wherever it is shown: as it is, quoted, capitalized, or on one line."""
    short = text[: longest - 1]
    for form in (text, repr(text)[1:-1], text[1:], " ".join(text.split())):
        begin = repr(short)[1:-1] if form == repr(text)[1:-1] else form[: len(short)]
        sentence = sentence.replace(form, f"{begin}…")
    return sentence


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str | PurePath):
        yield str(value)
    for item in _items(value):
        yield from _texts(item)


def _items(value: object) -> tuple[object, ...]:
    """Return the items of a list or set; none of anything else."""
    is_list = isinstance(value, list | tuple | set | frozenset)
    return tuple(cast("Iterable[object]", value)) if is_list else ()


def _is_long(value: object) -> bool:
    texts = _texts(value)
    return len(_items(value)) > MOST_ITEMS or any(len(text) > LONGEST_EXCERPT for text in texts)


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    return _SHORT_ESCAPES.get(character, f"\\u{ord(character):04x}")
