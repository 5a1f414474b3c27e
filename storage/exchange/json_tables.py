"""Tables as JSON: a line for each row, one list, or a document that holds one."""

import codecs
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import IO, Final, Literal, TextIO, cast

from storage.exchange.columns import JSON_DECODER, Row, read_json
from storage.exchange.limits import DEEPEST, LARGEST_DOCUMENT, LONGEST_LINE
from storage.exchange.refusals import unusable_table
from storage.exchange.text_codec import byte_fault, fault_in
from storage.text import json_lines

JsonForm = Literal["lines", "list", "document"]

_CHUNK: Final = 1 << 20
_LONGEST_FAULT: Final = 1 << 20
_BETWEEN = re.compile(r"[\s,]*")


def json_rows(file: IO[bytes], form: JsonForm, begin: int = 0) -> Iterator[tuple[int, Row | str]]:
    """Return each row with its number, or what is wrong with it.

    Numbers are those of lines if each line is a row, else those of rows.

    Args:
        file: UTF-8 text.
        form: See `json_form`; to tell it may take as long as to read all rows.
        begin: The byte that the text begins at.

    Raises:
        Refusal: It begins like a list or a document, and is none.
    """
    match form:
        case "list":
            yield from _list_entries(file, begin)
        case "document":
            yield from enumerate(_document_entries(file, begin), start=1)
        case "lines":
            yield from _line_entries(file, begin)


def json_form(file: IO[bytes], begin: int = 0) -> JsonForm:
    """Return how the rows stand in a file: a line for each, one list, or in one document.

    Args:
        file: UTF-8 text.
        begin: The byte that the text begins at.
    """
    file.seek(begin)
    first_line = b" "
    while first_line and not first_line.strip():
        first_line = file.readline(LONGEST_LINE)
    first_line = first_line.strip()
    if first_line.startswith(b"["):
        return "list"
    if not first_line.startswith(b"{") or _entry(_text(first_line), 0):
        return "lines"
    file.seek(begin)
    text = _text(file.read(LARGEST_DOCUMENT)).lstrip()
    return "document" if _entry(text, 0) else "lines"


def _line_entries(file: IO[bytes], begin: int) -> Iterator[tuple[int, Row | str]]:
    file.seek(begin)
    number = 0
    while line := file.readline(LONGEST_LINE):
        number += 1
        if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
            _skip_line(file)
            yield number, f"it is longer than {LONGEST_LINE:,} bytes"
        elif line.strip():
            yield number, json_line(line)


def _skip_line(file: IO[bytes]) -> None:
    while (part := file.readline(LONGEST_LINE)) and not part.endswith(b"\n"):
        pass


def json_line(line: bytes) -> Row | str:
    """Return the row of a line, or what is wrong with it."""
    try:
        may_be_deep = line.count(b"{") + line.count(b"[") > DEEPEST
        return _object(read_json(line.decode("utf-8")), may_be_deep=may_be_deep)
    except UnicodeDecodeError as error:
        return byte_fault(line[error.start])
    except ValueError as error:
        return f"it is no JSON ({error})"


def _document_entries(file: IO[bytes], begin: int) -> Iterator[Row | str]:
    """Return the objects of a file that has one over several lines, or one after the other."""
    file.seek(begin)
    content = file.read(LARGEST_DOCUMENT + 1)
    if len(content) > LARGEST_DOCUMENT:
        raise unusable_table(f"its one JSON document has more than {LARGEST_DOCUMENT:,} bytes")
    text = _text(content)
    place = _after_space(text, 0)
    while place < len(text):
        entry = _entry(text, place)
        if entry is None:
            raise unusable_table(f"it is no JSON ({_fault(text[place:])})")
        yield fault_in(text[place : entry[1]]) or _object(entry[0])
        place = _after_space(text, entry[1])


def _list_entries(file: IO[bytes], begin: int) -> Iterator[tuple[int, Row | str]]:
    """Return the entries of a list, of which only some are in memory at a time."""
    file.seek(begin)
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    text = decoder.decode(file.read(_CHUNK)).lstrip()
    place, number, is_end = 1, 0, False
    while True:
        place = _after_space(text, place)
        if text[place : place + 1] == "]":
            return
        entry = _entry(text, place)
        # An entry at the end of the text may go on in the next part.
        if is_end or (entry and entry[1] < len(text) - 1):
            if entry is None:
                raise unusable_table(f"it is no list of JSON objects ({_fault(text[place:])})")
            number += 1
            yield number, fault_in(text[place : entry[1]]) or _object(entry[0])
            place = entry[1]
            continue
        part = file.read(max(_CHUNK, len(text) - place))
        text, place = text[place:] + decoder.decode(part, final=not part), 0
        is_end = not part or len(text) > LONGEST_LINE + _CHUNK


def _entry(text: str, place: int) -> tuple[object, int] | None:
    try:
        return cast("tuple[object, int]", JSON_DECODER.raw_decode(text, place))
    except (ValueError, RecursionError):
        return None


def _fault(text: str) -> str:
    try:
        read_json(text[:_LONGEST_FAULT])
    except ValueError as error:
        return str(error)
    return "it has no end"


def _after_space(text: str, place: int) -> int:
    match = _BETWEEN.match(text, place)
    return match.end() if match else place


def _text(content: bytes) -> str:
    """Return text; a byte that is no UTF-8 becomes a lone surrogate and is named with its row."""
    return content.decode("utf-8", "surrogateescape")


def _object(value: object, *, may_be_deep: bool = True) -> Row | str:
    if not isinstance(value, dict):
        return "it is no object"
    row = cast("dict[str, object]", value)
    return "it is nested too deep" if may_be_deep and is_too_deep(row) else row


def is_too_deep(value: object, levels: int = DEEPEST) -> bool:
    """Whether a value has lists or objects in each other at more than so many levels."""
    if isinstance(value, dict):
        entries = list(cast("dict[str, object]", value).values())
    elif isinstance(value, list):
        entries = cast("list[object]", value)
    else:
        return False
    if levels == 0:
        return True
    return any(is_too_deep(entry, levels - 1) for entry in entries)


def write_jsonl(rows: Sequence[Row], out: TextIO) -> None:
    """Write rows as lines of JSON."""
    for row in rows:
        out.write(json_lines.json_line(row, _as_text) + "\n")


def _as_text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
