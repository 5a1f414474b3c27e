"""Where the rows of a table come from: a file that is read line by line, or bytes in memory.

A reader of another form of table returns a `TableSource`; what makes runs of rows, checks them and
saves them asks nothing else of it.
"""

import codecs
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path, PurePath
from typing import IO, Final, Literal

from storage.errors import Refusal
from storage.exchange.columns import Row
from storage.exchange.parquet import parquet_rows
from storage.exchange.text_tables import csv_rows, decode_table, is_utf_8, json_line, jsonl_rows
from storage.files import LARGEST_TABLE, open_ordinary, read_ordinary

TableFormat = Literal["jsonl", "csv", "parquet"]
_ENDINGS: dict[str, TableFormat] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_OUTPUT_ENDINGS = (".jsonl", ".csv", ".parquet")
_CHUNK: Final = 1 << 20
_START: Final = 4096


@dataclass(frozen=True, slots=True)
class TableSource:
    """A table that is read once, row by row.

    Attributes:
        file_name: The file's name.
        digest: Fingerprint of the file's bytes.
        rows: Each row's number with the row, or with what is wrong with it. It raises a Refusal
            where the table cannot be read at all.
    """

    file_name: str
    digest: bytes
    rows: Iterator[tuple[int, Row | str]]


def table_format(file_name: str, *, to_write: bool = False) -> TableFormat:
    """Return the form of a table by its file's ending.

    Raises:
        Refusal: The ending is that of no table.
    """
    ending = PurePath(file_name).suffix.casefold()
    if ending not in (_OUTPUT_ENDINGS if to_write else _ENDINGS):
        raise Refusal(
            "{file_name} has the ending of no table. Use one of {endings}; from a spreadsheet, "
            "save as 'CSV UTF-8'.",
            file_name=file_name,
            endings=_OUTPUT_ENDINGS if to_write else tuple(_ENDINGS),
        )
    return _ENDINGS[ending]


def source_of(content: bytes, file_name: str) -> TableSource:
    """Return a table that is in memory."""
    digest = _new_digest()
    digest.update(content)
    return TableSource(file_name, digest.digest(), _rows_of(content, file_name))


@contextmanager
def open_source(file: Path) -> Generator[TableSource]:
    """Open a table; lines of JSON are read as they are needed, other forms at once.

    Blocks, as its rows do: use it in a thread.

    Raises:
        OSError: The file cannot be read, is no ordinary file, or is too large.
        Refusal: The name has the ending of no table.
    """
    if table_format(file.name) != "jsonl":
        yield source_of(read_ordinary(file), file.name)
        return
    with open_ordinary(file, LARGEST_TABLE) as table:
        digest = _digest_of_lines(table)
        table.seek(0)
        if digest is None:
            yield source_of(table.read(), file.name)
        else:
            yield TableSource(file.name, digest, _rows_of_lines(table))


def _rows_of(content: bytes, file_name: str) -> Iterator[tuple[int, Row | str]]:
    match table_format(file_name):
        case "parquet":
            yield from parquet_rows(content)
        case "csv":
            yield from csv_rows(decode_table(content, file_name, "csv"))
        case "jsonl":
            yield from jsonl_rows(decode_table(content, file_name, "jsonl"))


def _digest_of_lines(file: IO[bytes]) -> bytes | None:
    """Return the digest of a file of UTF-8 lines; None for one that must be read as a whole."""
    start = file.read(_START)
    text = start.removeprefix(codecs.BOM_UTF8).lstrip()
    if not is_utf_8(start) or not text or text.startswith(b"[") or b"\0" in text:
        return None
    file.seek(0)
    digest, decoder = _new_digest(), codecs.getincrementaldecoder("utf-8")()
    try:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return None
    return digest.digest()


def _rows_of_lines(file: IO[bytes]) -> Iterator[tuple[int, Row | str]]:
    for number, line in enumerate(file, start=1):
        content = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
        # Others may write to the file meanwhile.
        text = content.decode("utf-8", "replace").removesuffix("\n")
        if text.strip():
            yield number, json_line(text)


def _new_digest() -> blake2b:
    return blake2b(digest_size=32, person=b"runs")
