"""Tables of runs as text: JSONL for programs, CSV for spreadsheets.

A spreadsheet runs a cell that begins with = + - or @ as a formula, no matter who wrote it. So
in CSV that we write such text gets a ' before it; a table of our own loses it when it is read.
"""

import csv
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from io import StringIO
from itertools import islice
from typing import Final, Literal, TextIO, cast

from storage.exchange.columns import COLUMNS, NEEDED, Row, read_json
from storage.exchange.csv_lines import CsvLines
from storage.exchange.refusals import unusable_table

TextFormat = Literal["jsonl", "csv"]

_LOOKED_AT = 4000
_WIDE = re.compile(rb"i\0n\0p\0u\0t|o\0u\0t\0p\0u\0t", re.IGNORECASE)
"""The names of the columns that each table has, two bytes a letter."""
_ADVICE: Final[Mapping[TextFormat, str]] = {
    "csv": "in a spreadsheet, save it as 'CSV UTF-8'",
    "jsonl": "JSON is written as UTF-8: have the program that made it do so",
}
_UNREAD = re.compile("[\udc80-\udcff]")
"""What stands in our text for a byte that is no UTF-8."""
_FEW_LINES = 5
_LONGEST_FIELD = 2**31 - 1
_END = "\r\n"
"""The standard's end of a line; with it the writer also quotes text that holds half of one."""
_DELIMITERS = ",;\t|"
_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")  # noqa: RUF001 - spreadsheets take wide signs too
_SEPARATOR_LINE = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)


def decode_table(content: bytes, file_name: str, form: TextFormat) -> str:
    """Return the text of a table: UTF-8, or UTF-16 as spreadsheets write it, with mark or without.

    A few bytes that are no UTF-8 spoil their rows alone: see `_spoiled`.

    Raises:
        Refusal: It is neither, or empty.
    """
    encoding = _encoding_of(content[:_LOOKED_AT])
    advice = _ADVICE[form]
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8-sig":
            raise unusable_table(f"{file_name} is not UTF-16 text; {advice}") from error
        text = content.decode(encoding, "surrogateescape")
        if _is_encoded_otherwise(text, has_header=form == "csv"):
            raise unusable_table(f"{file_name} is not UTF-8 text; {advice}") from error
    if "\0" in text.lstrip().partition("\n")[0]:
        raise unusable_table(f"{file_name} is not UTF-8 text, nor UTF-16; {advice}")
    if not text.strip():
        raise unusable_table(f"{file_name} is empty")
    return text


def _is_encoded_otherwise(text: str, *, has_header: bool) -> bool:
    """Whether bytes that are no UTF-8 are so many that the whole text is in another encoding."""
    # A list may be one line of many objects.
    lines = [line for line in text.replace("},", "},\n").splitlines() if line.strip()]
    unread = sum(_UNREAD.search(line) is not None for line in lines)
    read = sum(not line.isascii() for line in lines) - unread
    are_most = unread * 2 > len(lines) - has_header
    are_many = unread >= _FEW_LINES and unread * 10 >= len(lines)
    return unread > read and (are_most or are_many)


def _is_read(text: str) -> bool:
    """Whether all bytes of a text were UTF-8; much faster than to search it."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _byte_fault(text: str) -> str | None:
    """Return what is wrong with a row's text where bytes of it are no UTF-8."""
    match = _UNREAD.search(text)
    return match and f"it holds a byte that is no UTF-8 (0x{ord(match.group()) - 0xDC00:02x})"


def is_utf_8(start: bytes) -> bool:
    """Return whether text that begins so is to be read as UTF-8."""
    return _encoding_of(start[:_LOOKED_AT]) == "utf-8-sig"


def _encoding_of(start: bytes) -> str:
    """Return how text is encoded that begins so; without a mark, the known columns tell."""
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    match = _WIDE.search(start)
    if match is not None:
        return "utf-16-be" if match.start() % 2 else "utf-16-le"
    return "utf-8-sig"


# ------------------------------------------------------------ JSONL


def jsonl_rows(text: str) -> Iterator[tuple[int, Row | str]]:
    """Return each row with its line, or what is wrong with it; one JSON list is taken as well.

    Raises:
        Refusal: It begins like a list, and is none.
    """
    if text.lstrip().startswith("["):
        yield from _list_rows(text)
        return
    is_read = _is_read(text)
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            fault = None if is_read else _byte_fault(line)
            yield number, fault or json_line(line)


def json_line(line: str) -> Row | str:
    """Return the row of a line, or what is wrong with it."""
    try:
        return _object(read_json(line))
    except ValueError as error:
        return f"it is no JSON ({error})"


def _list_rows(text: str) -> Iterator[tuple[int, Row | str]]:
    try:
        rows = read_json(text)
    except ValueError as error:
        raise unusable_table(f"it is no list of JSON objects ({error})") from error
    is_read = _is_read(text)
    for number, row in enumerate(cast("list[object]", rows), start=1):
        fault = None if is_read else _byte_fault(json.dumps(row, ensure_ascii=False))
        yield number, fault or _object(row)


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
        Refusal: There is no column input or output, or one column is there twice.
    """
    csv.field_size_limit(_LONGEST_FIELD)
    separator = _SEPARATOR_LINE.match(text)
    body = text[separator.end() :] if separator else text
    header, delimiter = _header(body, separator.group(1) if separator else _DELIMITERS)
    is_read = _is_read(body)
    ours = set(COLUMNS) <= set(header)
    lines_before = 1 if separator else 0
    least_cells = 1 + max(header.index(column) for column in NEEDED)
    body_lines = list(StringIO(body, newline=""))
    lines = CsvLines(body_lines, delimiter, len(header), least_cells, lines_before)
    for number, cells in islice(enumerate(lines.rows(), start=lines_before + 1), 1, None):
        if isinstance(cells, str):
            yield number, cells
        elif any(cells[len(header) :]):
            yield number, "it has more cells than the table has columns"
        elif any(cells):
            row = dict(zip(header, cells, strict=False))
            fault = None if is_read else _byte_fault("".join(cells))
            theirs = {key: _unescape_formula(cell) for key, cell in row.items()} if ours else row
            yield number, fault or theirs


def _header(text: str, delimiters: str) -> tuple[list[str], str]:
    """Return the columns' names, and the sign between cells that makes them known names.

    A column that is not known may be there several times: each has a name of its own.
    """
    columns: list[str] = []
    for delimiter in delimiters:
        reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter)
        first = next(reader, list[str]())
        names = [_UNREAD.sub("\ufffd", name).strip().casefold() for name in first]
        if set(NEEDED) <= set(names):
            twice = [name for name in COLUMNS if names.count(name) > 1]
            if twice:
                raise unusable_table(f"the table has the column {twice[0]} more than once")
            return _unique_names(names), delimiter
        columns = max(columns, names, key=len)
    missing = [column for column in NEEDED if column not in columns]
    # A file of one column may be no table at all: what it begins with may be a secret.
    is_table = len(columns) > 1 or columns[0] in COLUMNS
    other_columns = (
        ", ".join(name[:40] for name in columns[:10]) if is_table else "one of another name"
    )
    raise unusable_table(
        f"the table has no column {' and no column '.join(missing)}, but {other_columns}"
    )


def _unique_names(names: Sequence[str]) -> list[str]:
    counts: Counter[str] = Counter()
    unique: list[str] = []
    for name in names:
        counts[name] += 1
        unique.append(name if counts[name] == 1 or not name else f"{name} ({counts[name]})")
    return unique


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
            return _escape_formula(_as_cell(cast("list[object] | dict[str, object]", value)))
        case str():
            return _escape_formula(value)
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


def _escape_formula(text: str) -> str:
    return f"'{text}" if _FORMULA.match(text) else text


def _unescape_formula(text: str) -> str:
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def _as_text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
