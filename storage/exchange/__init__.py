"""What comes into a project and goes out of it: whole projects, and runs as tables."""

from storage.exchange.archives import LIMITS, Limits
from storage.exchange.arrival import import_project, is_address
from storage.exchange.departure import PackedProject, export_project
from storage.exchange.errors import (
    NotImportable,
    ParquetMissing,
    SeveralProjects,
    TargetInside,
    TargetTaken,
    UnsafeArchive,
    UnusableTable,
)
from storage.exchange.tables import BadRow, ParsedRuns, TableFormat, parse_runs, runs_as_table

__all__ = [
    "LIMITS",
    "BadRow",
    "Limits",
    "NotImportable",
    "PackedProject",
    "ParquetMissing",
    "ParsedRuns",
    "SeveralProjects",
    "TableFormat",
    "TargetInside",
    "TargetTaken",
    "UnsafeArchive",
    "UnusableTable",
    "export_project",
    "import_project",
    "is_address",
    "parse_runs",
    "runs_as_table",
]
