"""Errors of what comes into a project and goes out of it.

storage.errors.StorageError
├── UnusableTable     a table lacks what an import needs
├── UnknownTable      a file's name has the ending of no table
├── ParquetMissing    the library that reads and writes parquet is not installed
├── TargetTaken       where something is to be written, there is something already
├── NotAZipName       a project is to be packed into a file whose name says another format
├── TargetInside      it would lie within what goes into it
├── NotImportable     what was given holds no project that can be brought in
├── SeveralProjects   it holds several, and none was named
├── NoSpaceToUnpack   an archive takes more space than the disk has left
└── UnsafeArchive     an archive, or a folder, holds what nobody should unpack
"""

from collections.abc import Sequence
from pathlib import Path

from storage.errors import StorageError


class UnusableTable(StorageError):
    """A table lacks what an import needs."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"No row was imported: {reason}. A table has the columns input and output, and if you "
            "have them tags, reasoning, rating (1 to 5) and the others that export_runs writes."
        )


class UnknownTable(StorageError):
    """A file's name has the ending of no table."""

    def __init__(self, file_name: str, endings: Sequence[str]) -> None:
        super().__init__(
            f"{file_name} is no table that is known here by its ending. Use one of "
            f"{', '.join(endings)}; from a spreadsheet, save as 'CSV UTF-8'."
        )


class ParquetMissing(StorageError):
    """The library that reads and writes parquet is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "Parquet needs a library that is not installed. Install it with "
            "pip install 'kiln-mcp-server[parquet]', or use .jsonl or .csv."
        )


class TargetTaken(StorageError):
    """Where something is to be written, there is something already."""

    def __init__(self, target: Path) -> None:
        self.target = target
        super().__init__(f"{target} exists already. Nothing has been changed: give a new path.")


class NotAZipName(StorageError):
    """A project is to be packed into a file whose name says another format."""

    def __init__(self, target: Path) -> None:
        super().__init__(
            f"A project is packed as zip: name a file that ends in .zip, not {target.name}."
        )


class TargetInside(StorageError):
    """What is to be written would lie within what goes into it."""

    def __init__(self, target: Path) -> None:
        self.target = target
        super().__init__(
            f"{target} lies within the project that it would be made of. Nothing has been written: "
            "give a path outside of the project's folder."
        )


class NotImportable(StorageError):
    """What was given holds no project that can be brought in."""

    def __init__(self, source: str, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"Nothing was imported from {source}: {reason}. Give a folder or an archive (zip, tar, "
            "tar.gz, tar.bz2, tar.xz) that holds a project.kiln, or the address of a git "
            "repository."
        )


class SeveralProjects(StorageError):
    """What was given holds several projects, and none was named."""

    def __init__(self, source: str, names: Sequence[str]) -> None:
        self.names = tuple(names)
        super().__init__(
            f"{source} holds {len(names)} projects: {', '.join(names)}. Nothing has been imported: "
            "say which one by its name or folder."
        )


class NoSpaceToUnpack(StorageError):
    """An archive takes more space than the disk has left."""

    def __init__(self, source: str, size: int, free: int) -> None:
        super().__init__(
            f"{source} was not imported: unpacked it takes more than {size >> 20:,} MB, and the "
            f"disk has {free >> 20:,} MB left for it. Free some space, or choose a folder on "
            "another disk; nothing has been changed."
        )


class UnsafeArchive(StorageError):
    """An archive, or a folder, holds what nobody should unpack."""

    def __init__(self, source: str, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"{source} was not imported: {reason}. A project needs none of this: ask whoever made "
            "it for a clean one."
        )
