"""Tables of runs as parquet, through an optional library.

Text is text, tags are a list of text, ratings and costs are doubles, and times are microseconds in
UTC. Nested values (ratings by score, traces) are JSON text.
"""

import importlib
import json
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import IO, Final, cast

from storage.errors import Refusal
from storage.exchange.column_names import header_of
from storage.exchange.columns import COLUMNS, Kind, Row
from storage.exchange.refusals import unusable_table

_ROWS = 2000


def _library(name: str) -> ModuleType:
    """Return pyarrow or a part of it.

    Raises:
        Refusal: It is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        raise Refusal(
            "Parquet needs a library that is not installed. Install it with "
            "pip install 'kiln-mcp-server[parquet]', or use .jsonl or .csv."
        ) from None


class ParquetWriter:
    """Writes rows to a file in groups.

    Raises:
        Refusal: The library is not installed.
    """

    def __init__(self, out: IO[bytes]) -> None:
        self._arrow = _library("pyarrow")
        types: Final[Mapping[Kind, object]] = {
            "text": self._arrow.string(),
            "tags": self._arrow.list_(self._arrow.string()),
            "number": self._arrow.float64(),
            "moment": self._arrow.timestamp("us", tz="UTC"),
            "json": self._arrow.string(),
        }
        self._schema = self._arrow.schema([(name, types[kind]) for name, kind in COLUMNS.items()])
        self._writer = _library("pyarrow.parquet").ParquetWriter(out, self._schema)
        self._waiting: list[Row] = []

    def write(self, rows: Sequence[Row]) -> None:
        """Add rows; they are written in groups."""
        self._waiting += [_as_columns(row) for row in rows]
        if len(self._waiting) >= _ROWS:
            self._flush()

    def close(self) -> None:
        """Write what waits, and the end of the file."""
        if self._waiting:
            self._flush()
        self._writer.close()

    def _flush(self) -> None:
        table = self._arrow.Table.from_pylist(self._waiting, schema=self._schema)
        self._writer.write_table(table)
        self._waiting = []


def _as_columns(row: Row) -> Row:
    return {
        name: json.dumps(row[name], ensure_ascii=False)
        if kind == "json" and row[name] is not None
        else row[name]
        for name, kind in COLUMNS.items()
    }


def parquet_rows(file: IO[bytes]) -> Iterator[tuple[int, Row | str]]:
    """Return each row with its number, the first being 1.

    Raises:
        Refusal: The library is not installed.
        Refusal: It is no parquet that can be read.
    """
    arrow, parquet = _library("pyarrow"), _library("pyarrow.parquet")
    try:
        table = parquet.ParquetFile(arrow.PythonFile(file, mode="r"))
        names = header_of([name.strip() for name in table.schema_arrow.names])
        number = 0
        for batch in table.iter_batches(_ROWS):
            for row in _plain(arrow, batch):
                number += 1
                yield number, dict(zip(names, row.values(), strict=True))
    except (arrow.ArrowException, OSError) as error:
        raise unusable_table(f"it is no parquet that can be read ({error})") from error


def _plain(arrow: ModuleType, batch: ModuleType) -> list[dict[str, object]]:
    """Return a batch as rows; times finer than a microsecond lose what Python cannot hold."""
    fields = [
        field.with_type(arrow.timestamp("us", tz=field.type.tz))
        if arrow.types.is_timestamp(field.type)
        else field
        for field in batch.schema
    ]
    table = arrow.Table.from_batches([batch]).cast(arrow.schema(fields), safe=False)
    return cast("list[dict[str, object]]", table.to_pylist())
