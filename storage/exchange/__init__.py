"""Import and export of whole projects, and of runs as tables.

An imported project is built beside its target and renamed at the end. Archives are not trusted: no
link is made, and files, bytes and free space are counted while unpacking. A copy never includes
`.git`; a clone brings its own. A broken row of a table costs itself alone.
"""

from storage.exchange.archives import LIMITS, ArchiveLimits
from storage.exchange.columns import COLUMNS, BadRow
from storage.exchange.project_export import PackedProject, pack_project
from storage.exchange.project_import import is_address, receive_project
from storage.exchange.run_import import SavedBatch, save_rows
from storage.exchange.table_source import TableSource, open_source, source_of, table_format
from storage.exchange.tables import RunTable, RunTableWriter, new_run_table

__all__ = [
    "COLUMNS",
    "LIMITS",
    "ArchiveLimits",
    "BadRow",
    "PackedProject",
    "RunTable",
    "RunTableWriter",
    "SavedBatch",
    "TableSource",
    "is_address",
    "new_run_table",
    "open_source",
    "pack_project",
    "receive_project",
    "save_rows",
    "source_of",
    "table_format",
]
