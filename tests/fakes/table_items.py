"""Tables as the items that they become, without a dataset to compare with."""

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
from storage.exchange.examples import Example


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
