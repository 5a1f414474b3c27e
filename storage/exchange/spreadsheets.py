"""Sheets of a spreadsheet (XLSX), read row by row.

openpyxl is used in its streaming mode: it needs no compiled code, reads through Python's own unzip,
which never gives more bytes than an archive declares, and keeps one row in memory. calamine is five
to ten times faster, but unpacks a whole sheet into memory before the first row can be counted.

A formula is never computed: its last result is read, or its text if the file holds no result.
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from itertools import chain, islice
from typing import IO, TYPE_CHECKING, Final, cast
from zipfile import BadZipFile, ZipFile

from storage.errors import Refusal
from storage.exchange.column_names import INPUTS, header_of, plain_name
from storage.exchange.columns import Row
from storage.exchange.limits import (
    LARGEST_PART,
    LARGEST_SHEET,
    LONGEST_CELL,
    MOST_PARTS,
    MOST_ROWS,
)
from storage.exchange.merged_cells import MergedValues, merged_cells
from storage.exchange.refusals import unusable_table

if TYPE_CHECKING:
    from openpyxl.cell.read_only import EmptyCell, ReadOnlyCell
    from openpyxl.workbook import Workbook
    from openpyxl.worksheet._read_only import ReadOnlyWorksheet

    Cells = Sequence[ReadOnlyCell | EmptyCell]
    Sheet = ReadOnlyWorksheet

_MOST_TITLES: Final = 10
"""Rows above the names of the columns that may hold a title."""
_ERROR: Final = "e"
_FORMULA: Final = "f"
_FAULTS: Final = (BadZipFile, KeyError, ValueError, TypeError, IndexError, EOFError, SyntaxError)
"""What openpyxl raises for a file that is none, or is broken; a fault of XML is a SyntaxError."""


def spreadsheet_rows(file: IO[bytes], sheet: str | None = None) -> Iterator[tuple[int, Row | str]]:
    """Return each row of a sheet with its number, or what is wrong with it.

    Args:
        file: The spreadsheet.
        sheet: The sheet's name; left out: the first visible one.

    Raises:
        Refusal: It is no spreadsheet that can be read, or has no such sheet.
    """
    _check_size(file)
    with _workbook(file, has_results=True) as results, _workbook(file, has_results=False) as texts:
        formulas = _Formulas(texts, sheet)
        rows = _rows(results, sheet)
        title_rows = list(islice(rows, _MOST_TITLES))
        place = _header_place([cells for _, cells in title_rows])
        header = _header(title_rows[place][1]) if title_rows else []
        header_row = title_rows[place][0] if title_rows else 0
        merged = _merged_values(file, _sheet(results, sheet), header_row)
        count = 0
        for number, cells in chain(title_rows[place + 1 :], rows):
            row = _row(header, cells, formulas, number)
            if not isinstance(row, str) and row:
                row = merged.fill(number, header, row)
            if row:
                count += 1
                yield number, row
        title = _sheet(results, sheet).title
        other_names = [name for name in results.sheetnames if name != title]
        if not count and other_names:
            raise unusable_table(
                f"its sheet '{title}' has no row below a header; name another sheet: "
                f"{', '.join(other_names)}"
            )


def _header_place(rows: Sequence["Cells"]) -> int:
    """Return which of the first rows names the columns: the first one with two names.

    Rows above it with one cell are a title. Where all have one cell, or the first is a usual name,
    there is one column, and the first row names it.
    """
    values = [[cell.value for cell in row if cell.value is not None] for row in rows]
    if not values or plain_name(str(values[0][0])) in INPUTS:
        return 0
    return next((place for place, row in enumerate(values) if len(row) > 1), 0)


def _check_size(file: IO[bytes]) -> None:
    """Refuse an archive that unpacks to far more than a spreadsheet does."""
    try:
        with ZipFile(file) as archive:
            parts = archive.infolist()
    except (BadZipFile, ValueError) as error:
        raise unusable_table(f"it is no spreadsheet that can be read ({error})") from error
    sizes = {part.filename: part.file_size for part in parts}
    sheets = {name: size for name, size in sizes.items() if name.startswith("xl/worksheets/")}
    other_sizes = [size for name, size in sizes.items() if name not in sheets]
    if (
        len(parts) > MOST_PARTS
        or max(sheets.values(), default=0) > LARGEST_SHEET
        or max(other_sizes, default=0) > LARGEST_PART
    ):
        raise unusable_table("the spreadsheet unpacks to more data than is read; save it as CSV")


@contextmanager
def _workbook(file: IO[bytes], *, has_results: bool) -> Generator["Workbook"]:
    import openpyxl  # imported here: most processes read no spreadsheet

    try:
        workbook = openpyxl.load_workbook(
            file, read_only=True, data_only=has_results, keep_links=False
        )
    except _FAULTS as error:
        raise unusable_table(f"it is no spreadsheet that can be read ({error})") from error
    try:
        yield workbook
    finally:
        workbook.close()


def _sheet(workbook: "Workbook", name: str | None) -> "Sheet":
    """Return the sheet of a name, or the first visible one."""
    if name is not None and name not in workbook.sheetnames:
        raise Refusal(
            "There is no sheet '{name}'. The spreadsheet has {sheets}.",
            name=name,
            sheets=tuple(workbook.sheetnames),
        )
    visible = [sheet for sheet in workbook.worksheets if sheet.sheet_state == "visible"]
    sheets = [workbook[name]] if name is not None else visible or list(workbook.worksheets)
    if not sheets:
        raise unusable_table("the spreadsheet has no sheet with rows")
    return cast("Sheet", sheets[0])


def _merged_values(file: IO[bytes], sheet: "Sheet", header_row: int) -> MergedValues:
    """Return the merged cells below the header of a sheet."""
    part = str(vars(sheet)["_worksheet_path"])  # openpyxl has no other way to it
    cells = merged_cells(file, part.removeprefix("/"))
    return MergedValues([cell for cell in cells if cell.first > header_row])


def _rows(workbook: "Workbook", name: str | None) -> Iterator[tuple[int, "Cells"]]:
    sheet = _sheet(workbook, name)
    sheet.reset_dimensions()  # what a file says of its size may be wrong
    try:
        for number, cells in enumerate(sheet.iter_rows(), start=1):
            if number > MOST_ROWS:
                raise unusable_table(f"the sheet has more than {MOST_ROWS:,} rows")
            if any(cell.value is not None for cell in cells):
                yield number, cast("Cells", cells)
    except _FAULTS as error:
        raise unusable_table(f"the sheet cannot be read ({error})") from error


class _Formulas:
    """The texts of formulas, read beside the results where a cell has none."""

    def __init__(self, workbook: "Workbook", sheet: str | None) -> None:
        self._rows = _rows(workbook, sheet)
        self._number, self._cells = 0, cast("Cells", ())

    def text(self, number: int, place: int) -> object:
        """Return a cell's formula; rows are asked for in their order."""
        while self._number < number:
            self._number, self._cells = next(self._rows, (number, cast("Cells", ())))
        if self._number > number or place >= len(self._cells):
            return None
        cell = self._cells[place]
        return cell.value if cell.data_type == _FORMULA else None


def _header(cells: "Cells") -> list[str]:
    names = ["" if cell.value is None else str(cell.value).strip() for cell in cells]
    while names and not names[-1]:
        names.pop()
    return header_of(names)


def _row(
    header: Sequence[str], cells: "Cells", formulas: _Formulas, number: int
) -> dict[str, object] | str:
    if any(cell.value is not None for cell in cells[len(header) :]):
        return "it has more cells than the table has columns"
    row: dict[str, object] = {}
    for place, (name, cell) in enumerate(zip(header, cells, strict=False)):
        if cell.data_type == _ERROR:
            return f"its column {name!r} holds the error {cell.value}"
        value = cell.value
        if value is None and type(cell).__name__ == "ReadOnlyCell":
            value = formulas.text(number, place)
        if isinstance(value, str) and len(value) > LONGEST_CELL:
            return f"its column {name!r} has more than {LONGEST_CELL:,} characters"
        row[name] = _plain(value)
    return row if any(value is not None for value in row.values()) else {}


def _plain(value: object) -> object:
    """Return a cell's value as text or number; a date without a time of day is a date alone."""
    match value:
        case datetime() if (value.hour, value.minute, value.second, value.microsecond) == (0,) * 4:
            return value.date().isoformat()
        case datetime() | date() | time():
            return value.isoformat()
        case bool():
            return str(value).upper()
        case timedelta():
            return str(value)
        case float() if value.is_integer() and abs(value) < 2**53:
            return int(value)
        case _:
            return value
