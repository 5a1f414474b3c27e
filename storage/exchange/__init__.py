"""Import and export of whole projects, and of tables.

An imported project is built beside its target and renamed at the end. Archives are not trusted: no
link is made, and files, bytes and free space are counted while unpacking. A copy never includes
`.git`; a clone brings its own.

All tables go through one reader:

- `table_source` opens a file: its form, its encoding, its rows one by one;
- `example_table` makes an example of each row, by a mapping or by a shape known by sight;
- `item_table` sets apart what is bad, repeated or contradicted, and `item_records` makes records;
- `item_import` saves them. A broken row costs itself alone.
"""

from storage.exchange.archives import LIMITS, ArchiveLimits
from storage.exchange.column_map import ColumnMapping
from storage.exchange.columns import COLUMNS, BadRow
from storage.exchange.example_table import ExampleTable, example_table
from storage.exchange.item_import import SavedBatch, fitting_items, save_items
from storage.exchange.item_keys import ItemKeys, key_of
from storage.exchange.item_records import ItemOrigin, NewItem, RecordMaker
from storage.exchange.item_table import Contradictions, ItemTable, survey_of
from storage.exchange.project_export import PackedProject, pack_project
from storage.exchange.project_import import is_address, receive_project
from storage.exchange.table_source import TableOptions, TableSource, open_source, source_of
from storage.exchange.tables import RunTableWriter, new_run_table

__all__ = [
    "COLUMNS",
    "LIMITS",
    "ArchiveLimits",
    "BadRow",
    "ColumnMapping",
    "Contradictions",
    "ExampleTable",
    "ItemKeys",
    "ItemOrigin",
    "ItemTable",
    "NewItem",
    "PackedProject",
    "RecordMaker",
    "RunTableWriter",
    "SavedBatch",
    "TableOptions",
    "TableSource",
    "example_table",
    "fitting_items",
    "is_address",
    "key_of",
    "new_run_table",
    "open_source",
    "pack_project",
    "receive_project",
    "save_items",
    "source_of",
    "survey_of",
]
