"""Files beside a record: JSON lines that are only added to, and reports that are rebuilt.

Kiln's format has no room for what they hold. They are written in the transaction of the record
that they belong to, and `docs/side-files.md` lists them. A line that ends without a line break
was cut off while it was written: it is not read, and the next line that is added takes its place.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from storage.border import check_links
from storage.files import LARGEST_FILE, read_plain
from storage.format.layout import folder_of
from storage.refusals import invalid_record

_NAME: Final = re.compile(r"[^\W_][\w.\- ]{0,200}\.jsonl?")
_NO_JSON: Final = object()
_REPORT: Final = re.compile(r"kiln_mcp_\w+\.json")


def is_report(path: str) -> bool:
    """Whether a file is a report of ours, which is rebuilt from records."""
    return _REPORT.fullmatch(PurePosixPath(path).name) is not None


def side_path(record_path: str, name: str) -> str:
    """Return the path, within the project, of a file beside a record.

    Args:
        record_path: The record's file, within the project.
        name: The file's name, which ends in .json or .jsonl.

    Raises:
        StorageError: It is no such name.
    """
    check_side_name(record_path, name)
    return str(folder_of(record_path) / name)


def check_side_name(record_path: str, name: str) -> None:
    """Refuse a name that no file beside a record may have, such as one with a slash.

    Raises:
        StorageError: It is no name that ends in .json or .jsonl.
    """
    if not _NAME.fullmatch(name):
        kind = Path(record_path).stem
        raise invalid_record(kind, f"{name!r} is no name of a .json or .jsonl file beside it")


def with_lines(content: bytes | None, lines: Sequence[str]) -> bytes:
    """Return what a file of lines holds once some are added; a cut off last line goes.

    Raises:
        ValueError: A line holds a line break.
    """
    if any("\n" in line for line in lines):
        raise ValueError("a line of a side file holds a line break")
    new_lines = "".join(f"{line}\n" for line in lines)
    return _whole_part(content or b"") + new_lines.encode("utf-8", "surrogateescape")


def _whole_part(content: bytes) -> bytes:
    """Return a file of lines up to its last line, with it if it was not cut off."""
    end = content.rfind(b"\n") + 1
    last = content[end:]
    if last and _is_json(last.decode("utf-8", "surrogateescape")):
        return content + b"\n"
    return content[:end]


def whole_lines(content: bytes) -> list[str]:
    """Return the lines of a file, without the last one where it was cut off."""
    *lines, last = content.decode("utf-8", "surrogateescape").split("\n")
    return [*lines, last] if last and _is_json(last) else lines


def read_side_file(project: Path, path: str) -> bytes | None:
    """Return what a file beside a record holds; None if it is not there.

    Raises:
        UnsafePath: It is a link, or a link leads to it.
        OSError: It cannot be read, or is no ordinary file.
    """
    check_links(project, [path])
    try:
        return read_plain(project / path, LARGEST_FILE)
    except (FileNotFoundError, NotADirectoryError):
        return None


def list_side_files(project: Path, record_path: str) -> list[str]:
    """Return the paths, within the project, of the files of lines beside a record."""
    folder = project / folder_of(record_path)
    names = sorted(file.name for file in folder.glob("*.jsonl") if _NAME.fullmatch(file.name))
    return [side_path(record_path, name) for name in names]


def damaged_lines(content: bytes) -> list[int]:
    """Return the numbers of the lines that are no JSON object; a cut off last line is none."""
    return [
        number
        for number, line in enumerate(whole_lines(content), 1)
        if line.strip() and not isinstance(_parse(line), dict)
    ]


def _is_json(text: str) -> bool:
    return _parse(text) is not _NO_JSON


def _parse(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return _NO_JSON
