"""The JSON values in a text that a model wrote, between prose, fences and drafts."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite
from typing import Final

from pydantic import JsonValue

from kiln_mcp.llm.json_repairs import DEEPEST, end_of_value, repairs
from storage.text.characters import repair_texts

MOST_DIGITS: Final = 1000
_MOST_REPAIRS: Final = 32
"""Broken values of a text that are repaired; each is read to its end."""
_MOST_FAILURES: Final = 2000
"""Brackets of a text that begin no value; each costs the time of the text before it."""
_BRACKET: Final = re.compile(r"[{\[]")
_UNENDED_STRING: Final = "Unterminated string"


@dataclass(frozen=True, slots=True)
class JsonPiece:
    """A JSON value in a text, or what was to be one.

    Attributes:
        start: Where it begins.
        end: Where it ends, or cannot be read any further.
        value: The value, without lone surrogates.
        fault: Why it cannot be used; empty if it can.
    """

    start: int
    end: int
    value: JsonValue = None
    fault: str = ""


class _Numbers:
    """Reads the numbers of one value, and notes those that are none."""

    def __init__(self) -> None:
        self.fault = ""

    def constant(self, name: str) -> None:
        self.fault = f"it holds {name}, which is no number in JSON"

    def real(self, text: str) -> float:
        value = float(text)
        if not isfinite(value):
            self.fault = f"it holds {text[:20]}, which is too large for a number"
        return value

    def integer(self, text: str) -> int:
        if len(text) > MOST_DIGITS:
            self.fault = f"it holds a number of {len(text)} digits"
            return 0
        return int(text)


def json_pieces(text: str) -> list[JsonPiece]:
    """Return the objects and lists in a text, in order, and those that are broken.

    A value inside another is not listed. Neither is one inside a broken value, as far as that can
    be read: a part of an answer is no answer.
    """
    pieces: list[JsonPiece] = []
    place, failures = 0, 0
    while (bracket := _BRACKET.search(text, place)) is not None:
        if failures >= _MOST_FAILURES:
            fault = f"it has more than {_MOST_FAILURES} brackets that begin no value"
            return [*pieces, JsonPiece(bracket.start(), len(text), fault=fault)]
        piece = _piece_at(text, bracket.start())
        if piece.value is None:
            failures += 1
            if failures <= _MOST_REPAIRS:
                piece = _repaired_piece(text, bracket.start()) or piece
        place = piece.end
        if piece.fault or piece.value is not None:
            pieces.append(piece)
    return pieces


def read_scalar(text: str) -> JsonPiece | None:
    """Return a text that is one JSON string, number or word as a whole; None if it is not."""
    numbers = _Numbers()
    try:
        value: JsonValue = _decoder(numbers).decode(text)
    except (ValueError, RecursionError):
        return None
    return JsonPiece(0, len(text), repair_texts(value), numbers.fault)


def json_in_string(text: str) -> str:
    """Return the JSON in a text that is one JSON string; any other text as it is."""
    if not text.lstrip().startswith('"'):
        return text
    scalar = read_scalar(text.strip())
    inner = scalar.value if scalar is not None else None
    return inner if isinstance(inner, str) and inner.lstrip()[:1] in ("{", "[") else text


def _decoder(numbers: _Numbers) -> json.JSONDecoder:
    return json.JSONDecoder(
        parse_constant=numbers.constant,
        parse_float=numbers.real,
        parse_int=numbers.integer,
        strict=False,  # models write line breaks into their strings
    )


def _piece_at(text: str, start: int) -> JsonPiece:
    """Return what begins at a bracket; without a value and a fault if it is prose."""
    numbers = _Numbers()
    try:
        value, end = _decoder(numbers).raw_decode(text, start)
    except RecursionError:
        return JsonPiece(start, len(text), fault="it is nested too deeply")
    except json.JSONDecodeError as error:
        return _broken_piece(text, start, error)
    return _piece(start, end, value, numbers)


def _piece(start: int, end: int, value: JsonValue, numbers: _Numbers) -> JsonPiece:
    if numbers.fault:
        return JsonPiece(start, end, fault=numbers.fault)
    if _depth_exceeds(value):
        return JsonPiece(start, end, fault=f"it is nested more than {DEEPEST} levels deep")
    return JsonPiece(start, end, repair_texts(value))


def _repaired_piece(text: str, start: int) -> JsonPiece | None:
    """Return what a broken value at a bracket means; None if it cannot be told."""
    end = end_of_value(text, start)
    for repaired_text in repairs(text[start:end]) if end is not None else ():
        numbers = _Numbers()
        try:
            value: JsonValue = _decoder(numbers).decode(repaired_text)
        except (ValueError, RecursionError):
            continue
        return _piece(start, end or len(text), value, numbers)
    return None


def _broken_piece(text: str, start: int, error: json.JSONDecodeError) -> JsonPiece:
    is_unended = error.msg.startswith(_UNENDED_STRING)
    end = len(text) if is_unended else max(start + 1, error.pos)
    is_prose = not is_unended and not text[start + 1 : error.pos].strip() and end < len(text)
    fault = "" if is_prose else f"{error.msg[:1].lower()}{error.msg[1:]}".strip()
    if fault and end >= len(text.rstrip()):
        fault = "it ends in the middle"
    return JsonPiece(start, end, fault=fault)


def _depth_exceeds(value: JsonValue) -> bool:
    level = [value]
    for _ in range(DEEPEST):
        if not level:
            return False
        level = [part for node in level for part in _parts(node)]
    return True


def _parts(value: JsonValue) -> Iterator[JsonValue]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value
