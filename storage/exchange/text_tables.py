"""Tables of runs as text: JSONL for programs, CSV for spreadsheets.

A spreadsheet runs a cell that begins with = + - or @ as a formula, whoever wrote it. So where we
write CSV such text gets a ' before it, and where we read a table of our own it loses it again.
"""

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from io import StringIO
from typing import TextIO, cast

from storage.exchange.columns import COLUMNS, NEEDED, Row, read_json
from storage.exchange.errors import UnusableTable

_LOOKED_AT = 4000
_WIDE = re.compile(rb"i\0n\0p\0u\0t|o\0u\0t\0p\0u\0t", re.IGNORECASE)
"""The names of the columns that each table has, two bytes a letter."""
_ADVICE = "in a spreadsheet, save it as 'CSV UTF-8'"
_LONGEST_FIELD = 2**31 - 1
_END = "\r\n"
"""The standard's end of a line; with it the writer also quotes text that holds half of one."""
_DELIMITERS = ",;\t|"
_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")  # noqa: RUF001 - spreadsheets take wide signs too
_DECLARED = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)


def decoded(content: bytes, file_name: str) -> str:
    """Return the text of a table: UTF-8, or UTF-16 as spreadsheets write it, with mark or without.

    Raises:
        UnusableTable: It is neither, or empty.
    """
    encoding = _encoding_of(content[:_LOOKED_AT])
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        name = "UTF-8" if encoding == "utf-8-sig" else "UTF-16"
        raise UnusableTable(f"{file_name} is not {name} text; {_ADVICE}") from error
    if "\0" in text.lstrip().partition("\n")[0]:
        raise UnusableTable(f"{file_name} is not UTF-8 text, nor UTF-16; {_ADVICE}")
    if not text.strip():
        raise UnusableTable(f"{file_name} is empty")
    return text


def _encoding_of(start: bytes) -> str:
    """Return how text is encoded that begins so; without a mark, the known columns tell."""
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    found = _WIDE.search(start)
    if found is not None:
        return "utf-16-be" if found.start() % 2 else "utf-16-le"
    return "utf-8-sig"


# ------------------------------------------------------------ JSONL


def jsonl_rows(text: str) -> Iterator[tuple[int, Row | str]]:
    """Return each row with its line, or what is wrong with it; one JSON list is taken as well.

    Raises:
        UnusableTable: It begins like a list, and is none.
    """
    if text.lstrip().startswith("["):
        yield from _listed(text)
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield number, _object(read_json(line))
            except ValueError as error:
                yield number, f"it is no JSON ({error})"


def _listed(text: str) -> Iterator[tuple[int, Row | str]]:
    try:
        rows = read_json(text)
    except ValueError as error:
        raise UnusableTable(f"it is no list of JSON objects ({error})") from error
    for number, row in enumerate(cast("list[object]", rows), start=1):
        yield number, _object(row)


def _object(value: object) -> Row | str:
    return cast("Row", value) if isinstance(value, dict) else "it is no object"


def write_jsonl(rows: Sequence[Row], out: TextIO) -> None:
    """Write rows as lines of JSON."""
    for row in rows:
        out.write(json.dumps(row, ensure_ascii=False, default=_as_text) + "\n")


# ------------------------------------------------------------ CSV


def csv_rows(text: str) -> Iterator[tuple[int, Row | str]]:
    """Return each row with its number, or what is wrong with it.

    Raises:
        UnusableTable: There is no column input or output, or one column is there twice.
    """
    csv.field_size_limit(_LONGEST_FIELD)
    declared = _DECLARED.match(text)
    body = text[declared.end() :] if declared else text
    header, delimiter = _header(body, declared.group(1) if declared else _DELIMITERS)
    ours = set(COLUMNS) <= set(header)
    reader = csv.reader(StringIO(body, newline=""), delimiter=delimiter, strict=True)
    next(reader)
    number = 2 if declared else 1
    while True:
        number += 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield number, f"it is no CSV ({error})"
            continue
        if any(cells[len(header) :]):
            yield number, "it has more cells than the table has columns"
        elif any(cells):
            row = dict(zip(header, cells, strict=False))
            yield number, {key: _unguarded(cell) for key, cell in row.items()} if ours else row


def _header(text: str, delimiters: str) -> tuple[list[str], str]:
    """Return the columns' names, and the sign between cells that makes them known names."""
    found: list[str] = []
    for delimiter in delimiters:
        reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter)
        names = [name.strip().casefold() for name in next(reader, list[str]())]
        twice = [name for name in dict.fromkeys(names) if name and names.count(name) > 1]
        if set(NEEDED) <= set(names):
            if set(twice) & set(COLUMNS):
                raise UnusableTable(f"the table has the column {twice[0]} more than once")
            return names, delimiter
        found = max(found, names, key=len)
    missing = [column for column in NEEDED if column not in found]
    there = ", ".join(name[:40] for name in found[:10])
    raise UnusableTable(f"the table has no column {' and no column '.join(missing)}, but {there}")


def csv_header() -> str:
    """Return the first line of a table."""
    return ",".join(COLUMNS) + _END


def write_csv(rows: Sequence[Row], out: TextIO) -> None:
    """Write rows as CSV, where no cell is a formula."""
    writer = csv.writer(out, lineterminator=_END)
    writer.writerows([[_cell(row[column]) for column in COLUMNS] for row in rows])


def _cell(value: object) -> object:
    match value:
        case list() | dict():
            return _guarded(_as_cell(cast("list[object] | dict[str, object]", value)))
        case str():
            return _guarded(value)
        case datetime():
            return value.isoformat()
        case _:
            return value


def _as_cell(value: list[object] | Mapping[str, object]) -> str:
    """Return tags as words where they read back the same, and all else as JSON."""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        words = cast("list[str]", value)
        if not any("," in word or ";" in word or word.startswith("[") for word in words):
            return " ".join(words)
    return json.dumps(value, ensure_ascii=False)


def _guarded(text: str) -> str:
    return f"'{text}" if _FORMULA.match(text) else text


def _unguarded(text: str) -> str:
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def _as_text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
