"""Tables as the items that they become, without a dataset to compare with."""

from collections.abc import Sequence

from storage import DataSource, Task
from storage.exchange import (
    BadRow,
    ColumnMapping,
    Contradictions,
    ItemKeys,
    ItemOrigin,
    ItemTable,
    NewItem,
    RecordMaker,
    TableSource,
    example_table,
    survey_of,
)
from storage.exchange.columns import Row
from storage.exchange.examples import Example
from storage.exchange.traces import examples_of_traces, trace_format_of


def origin_of(name: str, digest: bytes) -> ItemOrigin:
    source = DataSource(type="file_import", properties={"file_name": name})
    return ItemOrigin(source, name, digest)


def records_of(source: TableSource) -> list[tuple[int, NewItem | BadRow]]:
    """Return the record of each row with an output, whatever else has its input."""
    maker = RecordMaker(Task(name="T", instruction="I"), origin_of(source.file_name, source.digest))

    def record(place: int, example: Example | BadRow) -> NewItem | BadRow:
        if isinstance(example, BadRow):
            return example
        try:
            if maker.output_of(example) is None:
                return BadRow(place, "its output is empty")
            return maker.item(example, place)
        except ValueError as error:
            return BadRow(place, str(error))

    return [(number, record(number, example)) for number, example in example_table(source)]


def item_table(source: TableSource, task: Task, mapping: ColumnMapping | None = None) -> ItemTable:
    """Return the items of a table, each contradiction as an item of its own."""
    examples = example_table(source, mapping)
    maker = RecordMaker(task, origin_of(source.file_name, source.digest))
    survey = survey_of(examples, maker)
    return ItemTable(examples, maker, ItemKeys(), Contradictions.ALL, survey)


def examples_and_faults(
    rows: Sequence[Row | str], rating: str | None = None
) -> tuple[list[Example], list[tuple[int, str]]]:
    """Return the examples of the traces in rows, and each bad row's number with its reason."""
    form = trace_format_of([row for row in rows if not isinstance(row, str)])
    assert form is not None
    results = list(examples_of_traces(enumerate(rows, start=1), form, rating))
    examples = [result for _, result in results if isinstance(result, Example)]
    bad = [(row.number, row.reason) for _, row in results if isinstance(row, BadRow)]
    return examples, bad
