"""Where the rows of a table come from: a file that is read row by row, as often as it is needed."""

import json
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from gzip import GzipFile
from hashlib import blake2b
from io import BytesIO
from pathlib import Path, PurePath
from tempfile import TemporaryFile
from typing import IO, Final, Literal, cast

from storage.errors import Refusal
from storage.exchange.columns import Row
from storage.exchange.csv_tables import csv_rows
from storage.exchange.json_tables import json_form, json_rows
from storage.exchange.parquet import parquet_rows
from storage.exchange.refusals import unusable_table
from storage.exchange.spreadsheets import spreadsheet_rows
from storage.exchange.text_codec import encoding_of, utf_8_file
from storage.exchange.yaml_documents import yaml_rows
from storage.files import open_ordinary

TableFormat = Literal["json", "csv", "xlsx", "parquet", "yaml"]
Unit = Literal["line", "row", "item"]

_ENDINGS: Final[dict[str, TableFormat]] = {
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".tab": "csv",
    ".txt": "csv",
    ".xlsx": "xlsx",
    ".xlsm": "xlsx",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".yaml": "yaml",
    ".yml": "yaml",
}
_OUTPUT_ENDINGS: Final = (".jsonl", ".csv", ".parquet")
_LARGEST: Final = 2 << 30
_CHUNK: Final = 1 << 20
_ZIP: Final = b"PK\x03\x04"
_PARQUET: Final = b"PAR1"
_OLD_OFFICE: Final = b"\xd0\xcf\x11\xe0"
_GZIP: Final = b"\x1f\x8b"

Rows = Iterator[tuple[int, Row | str]]
"""Each row's number, and the row or what is wrong with it."""


@dataclass(frozen=True, slots=True)
class TableSource:
    """A table that is read row by row.

    Attributes:
        file_name: The file's name.
        digest: Fingerprint of the file's bytes.
        rows: Reads the rows from the first one on. It raises a Refusal if the table cannot be read
            at all.
        unit: What the numbers of rows count.
        encoding: How the text is encoded, if that was guessed from its bytes.
    """

    file_name: str
    digest: bytes
    rows: Callable[[], Rows]
    unit: Unit = "row"
    encoding: str | None = None


@dataclass(frozen=True, slots=True)
class TableOptions:
    """What a caller says of a table.

    Attributes:
        encoding: Of its text.
        sheet: Of a spreadsheet.
    """

    encoding: str | None = None
    sheet: str | None = None


def table_ending(file_name: str, *, to_write: bool = False) -> TableFormat:
    """Return the form of a table by its file's ending.

    Raises:
        Refusal: The ending is that of no table.
    """
    ending = PurePath(file_name).suffix.casefold()
    if ending == ".gz" and not to_write:
        ending = PurePath(file_name).with_suffix("").suffix.casefold()
    if ending not in (_OUTPUT_ENDINGS if to_write else _ENDINGS):
        raise Refusal(
            "{file_name} has the ending of no table. Use one of {endings}.",
            file_name=file_name,
            endings=_OUTPUT_ENDINGS if to_write else tuple(_ENDINGS),
        )
    return _ENDINGS[ending]


@contextmanager
def open_source(file: Path, options: TableOptions = TableOptions()) -> Generator[TableSource]:
    """Open a table that a person names.

    Blocks, as its rows do: use it in a thread.

    Raises:
        OSError: The file cannot be read, is no ordinary file, or is too large.
        Refusal: The name has the ending of no table, or the text cannot be decoded.
    """
    table_ending(file.name)
    with ExitStack() as stack:
        content = stack.enter_context(open_ordinary(file, _LARGEST))
        yield stack.enter_context(_source(content, file.name, options))


@contextmanager
def source_of(
    content: bytes, file_name: str, options: TableOptions = TableOptions()
) -> Generator[TableSource]:
    """Open a table that is in memory."""
    with _source(BytesIO(content), file_name, options) as source:
        yield source


@contextmanager
def _source(file: IO[bytes], name: str, options: TableOptions) -> Generator[TableSource]:
    file.seek(0)
    if file.read(2) == _GZIP:
        with TemporaryFile() as content:
            _unpack(file, content, name)
            with _source(content, name.removesuffix(".gz"), options) as source:
                yield replace(source, file_name=name)
        return
    form, digest = _form(file, name), _digest(file)
    if form in ("xlsx", "yaml"):
        with TemporaryFile() as copy:
            is_yaml = form == "yaml"
            _copy_rows(yaml_rows(file) if is_yaml else spreadsheet_rows(file, options.sheet), copy)
            yield TableSource(name, digest, partial(_copied_rows, copy))
    elif form == "parquet":
        yield TableSource(name, digest, partial(parquet_rows, file))
    else:
        encoding = encoding_of(file, name, options.encoding, has_header=form == "csv")
        guess = encoding.name if encoding.is_guess else None
        with utf_8_file(file, name, encoding) as (text, begin):
            if form == "csv":
                yield TableSource(name, digest, partial(csv_rows, text, begin), "line", guess)
            else:
                form_of_json = json_form(text, begin)
                unit: Unit = "line" if form_of_json == "lines" else "row"
                rows = partial(json_rows, text, form_of_json, begin)
                yield TableSource(name, digest, rows, unit, guess)


def _copy_rows(rows: Rows, copy: IO[bytes]) -> None:
    """Write rows as lines of JSON, which are read ten times faster than what they come from."""
    for numbered_row in rows:
        copy.write(json.dumps(numbered_row, allow_nan=False).encode() + b"\n")


def _copied_rows(copy: IO[bytes]) -> Rows:
    copy.seek(0)
    for line in copy:
        number, row = cast("tuple[int, Row | str]", json.loads(line))
        yield number, row


def _form(file: IO[bytes], name: str) -> TableFormat:
    """Return the form of a table by its ending, unless its first bytes say another one."""
    file.seek(0)
    start = file.read(4)
    if start == _ZIP:
        return "xlsx"
    if start == _PARQUET:
        return "parquet"
    if start == _OLD_OFFICE:
        raise unusable_table(f"{name} is an old or encrypted spreadsheet; save it as .xlsx or CSV")
    if start.startswith(_GZIP):
        raise unusable_table(f"{name} is packed twice; unpack it first")
    return table_ending(name)


def _unpack(file: IO[bytes], content: IO[bytes], name: str) -> None:
    """Unpack a file that gzip packed.

    Raises:
        Refusal: It is broken, or unpacks to more than is read.
    """
    file.seek(0)
    try:
        with GzipFile(fileobj=file) as archive:
            while chunk := archive.read(_CHUNK):
                if content.tell() > _LARGEST:
                    raise unusable_table(f"{name} unpacks to more than {_LARGEST:,} bytes")
                content.write(chunk)
    except (OSError, EOFError, zlib.error) as fault:
        raise unusable_table(f"{name} cannot be unpacked ({fault})") from fault


def _digest(file: IO[bytes]) -> bytes:
    file.seek(0)
    digest = blake2b(digest_size=32, person=b"runs")
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    return digest.digest()
