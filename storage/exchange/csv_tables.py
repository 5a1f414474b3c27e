"""Tables as CSV, with any separator.

A spreadsheet runs a cell that begins with = + - or @ as a formula, no matter who wrote it. So
in CSV that we write such text gets a ' before it; a table of our own loses it when it is read.
"""

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import IO, Final, TextIO, cast

from storage.exchange.column_names import INPUTS, OUTPUTS, header_of, plain_name
from storage.exchange.columns import COLUMNS, NEWER_COLUMNS, Kind, Row
from storage.exchange.csv_lines import CsvLines
from storage.exchange.file_lines import FileLines
from storage.exchange.limits import LONGEST_CELL
from storage.exchange.refusals import unusable_table
from storage.exchange.text_codec import fault_in

_END = "\r\n"
"""The standard's end of a line; with it the writer also quotes text that holds half of one."""
_DELIMITERS: Final = ",;\t|"
_MOST_TITLES: Final = 10
_TITLE = re.compile(r"([^,;\t|\"]*)([,;\t|])\2*+\s*+")
"""A line whose cells are empty but for the first."""
_NO_DELIMITER: Final = "\x1f"
"""Of a table with one column."""
_SAMPLE_LINES: Final = 60
_UNREAD = re.compile("[\udc80-\udcff]")
"""What stands in our text for a byte that is no UTF-8."""
_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")  # noqa: RUF001 - spreadsheets take wide signs too
_SEPARATOR_LINE = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)


def csv_rows(file: IO[bytes], begin: int = 0) -> Iterator[tuple[int, Row | str]]:
    """Return each row with the line that it begins at, or what is wrong with it.

    Args:
        file: UTF-8 text.
        begin: The byte that the text begins at.

    Raises:
        Refusal: The table has too many columns, or one of our own columns twice.
    """
    csv.field_size_limit(LONGEST_CELL)
    lines = FileLines(file, begin)
    first = 0
    while first < len(lines) and not lines[first].strip():
        first += 1
    separator = _SEPARATOR_LINE.match(lines[first]) if first < len(lines) else None
    first += separator is not None
    first += _title_length(lines[first : first + _MOST_TITLES])
    sample = lines[first : first + _SAMPLE_LINES]
    header, delimiter = _header(sample, separator.group(1) if separator else None)
    ours = set(COLUMNS) - NEWER_COLUMNS <= set(header)
    body = FileLines(file, lines.places[first]) if first else lines
    table = CsvLines(body, body.places, delimiter, len(header), _least_cells(header), first)
    for number, cells in islice(table.rows(), 1, None):
        if isinstance(cells, str):
            yield number, cells
        elif any(cells[len(header) :]):
            yield number, "it has more cells than the table has columns"
        elif any(cells):
            row = dict(zip(header, cells, strict=False))
            if _is_quoted(row.get("id", "")):
                row = {name: _read_text(cell) for name, cell in row.items()}
            yield number, fault_in("".join(cells)) or (_without_escapes(row) if ours else row)


def _is_quoted(cell: str) -> bool:
    """Whether a cell is text of JSON. An id that is one tells that all cells are, as Langfuse's."""
    return len(cell) > 1 and cell[0] == cell[-1] == '"'


def _read_text(cell: str) -> str:
    if not _is_quoted(cell):
        return cell
    try:
        return str(json.loads(cell))
    except ValueError:
        return cell


def _title_length(lines: Sequence[str]) -> int:
    """Return how many lines are a title above the names of the columns: they fill one cell each."""
    match = _TITLE.fullmatch(lines[0]) if lines else None
    if match is None or plain_name(match.group(1)) in INPUTS:
        return 0
    is_title = (_TITLE.fullmatch(line) is not None or not line.strip() for line in lines)
    return next((place for place, fits in enumerate(is_title) if not fits), 0)


def _header(sample: Sequence[str], declaration: str | None) -> tuple[list[str], str]:
    """Return the columns' names, and the sign between cells."""
    delimiter = declaration or _delimiter(sample)
    names = [_UNREAD.sub("\ufffd", name).strip() for name in _first_row(sample, delimiter)]
    header = header_of(names)
    twice = [name for name in COLUMNS if [plain_name(own) for own in names].count(name) > 1]
    if twice:
        raise unusable_table(f"the table has the column {twice[0]} more than once")
    return header, delimiter


def _first_row(sample: Sequence[str], delimiter: str) -> list[str]:
    try:
        return next(csv.reader(sample, delimiter=delimiter), list[str]())
    except csv.Error:
        return []


def _delimiter(sample: Sequence[str]) -> str:
    """Return the sign that makes columns with usual names, or else rows of one width."""

    def fit(delimiter: str) -> tuple[int, float]:
        try:
            rows = list(csv.reader(sample, delimiter=delimiter))
        except csv.Error:
            rows = [_first_row(sample, delimiter)]
        width = len(rows[0]) if rows else 0
        if width < 2:
            return 0, 0.0
        names = {plain_name(name) for name in rows[0]}
        even = sum(len(row) == width for row in rows) / len(rows)
        return len(names & {*INPUTS, *OUTPUTS, *COLUMNS}), even

    fits = {delimiter: fit(delimiter) for delimiter in _DELIMITERS}
    best = max(_DELIMITERS, key=lambda delimiter: fits[delimiter])
    return best if fits[best] > (0, 0.0) else _NO_DELIMITER


def _least_cells(header: Sequence[str]) -> int:
    """Return how many cells a row needs to be of any use."""
    plain = [plain_name(name) for name in header]
    places = [place for place, name in enumerate(plain) if name in INPUTS or name in OUTPUTS]
    return 1 + max(places) if places else len(header)


def csv_header() -> str:
    """Return the first line of a table."""
    return ",".join(COLUMNS) + _END


def write_csv(rows: Sequence[Row], out: TextIO) -> None:
    """Write rows as CSV, where no cell is a formula."""
    writer = csv.writer(out, lineterminator=_END)
    writer.writerows([[_cell(row[name], kind) for name, kind in COLUMNS.items()] for row in rows])


def _cell(value: object, kind: Kind) -> object:
    match value:
        case list() if kind == "tags":
            return _escape_formula(_tags_cell(cast("list[object]", value)))
        case list() | dict():
            return _escape_formula(json.dumps(value, ensure_ascii=False))
        case str():
            return _escape_formula(value)
        case datetime():
            return value.isoformat()
        case _:
            return value


def _tags_cell(tags: list[object]) -> str:
    """Return tags as words where they read back the same, otherwise as JSON."""
    words = [*map(str, tags)]
    if not any("," in word or ";" in word or word.startswith("[") for word in words):
        return " ".join(words)
    return json.dumps(tags, ensure_ascii=False)


def _escape_formula(text: str) -> str:
    return f"'{text}" if _FORMULA.match(text) else text


def _without_escapes(row: Mapping[str, str]) -> Row:
    return {key: _unescape_formula(cell) for key, cell in row.items()}


def _unescape_formula(text: str) -> str:
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text
