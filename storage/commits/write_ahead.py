"""The write-ahead log: a change to files of a project, as bytes of its journal."""

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Self

from storage.border import Reach, check_path
from storage.index.rows import RecordValues
from storage.index.scan import TagChange
from storage.records import Record

Rewrite = Callable[[bytes | None], bytes | None]
"""Makes a file's new content of what it holds, None for a file that is not there; returns None
where nothing is to be written."""
_Entry = tuple[str, str, str | None, str | None, str | None]


@dataclass(frozen=True, slots=True)
class FileEdit:
    """A file's new content.

    Attributes:
        path: The file, within the project.
        content: What it is to hold.
        expected: Revision of what it holds now; None for a file that must not be there yet.
        below: The file of the record that it lies below, which must be there; None for any.
        rewrite: Makes the new content of what the file holds by then, for changes that commute
            with those of others, such as adding a line; None if the file must be as expected.
        record: The record that the content spells, or its values, which saves the index from
            reading the file; None if the caller has none.
        tag_change: Set if nothing but the record's tags changes, which saves the index more.
    """

    path: str
    content: bytes
    expected: str | None
    below: str | None = None
    rewrite: Rewrite | None = field(default=None, compare=False)
    record: Record | RecordValues | None = field(default=None, compare=False)
    tag_change: TagChange | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Move:
    """A folder that goes elsewhere in the project; its parent folders there are made.

    Attributes:
        source: Where it is.
        target: Where it goes: nothing is there.
        holds: The record's file that must be in it; None for any.
    """

    source: str
    target: str
    holds: str | None = None


@dataclass(frozen=True, slots=True)
class PendingChange:
    """A change that a process carries out, or began.

    Attributes:
        edits: Files that get a new content.
        moves: Folders that go elsewhere, after that.
        previous_contents: What each file held; None if it was not there, or where nobody knows.
        reach: Which files of the project it may touch.
    """

    edits: Sequence[FileEdit]
    moves: Sequence[Move]
    previous_contents: Sequence[bytes | None]
    reach: Reach = Reach.RECORDS

    @property
    def paths(self) -> tuple[str, ...]:
        """All that it touches, within the project."""
        move_paths = (path for move in self.moves for path in (move.source, move.target))
        return (*(edit.path for edit in self.edits), *move_paths)

    def check(self) -> None:
        """Refuse a change that touches what no change of a project may.

        Raises:
            UnsafePath: It does.
        """
        for path in self.paths:
            check_path(path, self.reach)

    def text(self) -> bytes:
        """Return what its journal holds."""
        entries: list[_Entry] = [
            (edit.path, _encode(edit.content) or "", edit.expected, edit.below, _encode(was))
            for edit, was in zip(self.edits, self.previous_contents, strict=True)
        ]
        moves = [[move.source, move.target] for move in self.moves]
        return json.dumps({"edits": entries, "moves": moves, "reach": self.reach}).encode()

    @classmethod
    def read(cls, text: bytes) -> Self:
        """Read the change of a journal. An older journal has no previous contents.

        Raises:
            ValueError: It is no journal; also KeyError and TypeError.
        """
        data = json.loads(text)
        edits: list[FileEdit] = []
        previous: list[bytes | None] = []
        for path, content, expected, *rest in data["edits"]:
            below, was = rest or (None, None)
            edits.append(FileEdit(path, base64.b64decode(content), expected, below))
            previous.append(None if was is None else base64.b64decode(was))
        moves = [Move(source, target) for source, target in data["moves"]]
        return cls(edits, moves, previous, Reach(data.get("reach", Reach.SHARED)))


def _encode(content: bytes | None) -> str | None:
    return None if content is None else base64.b64encode(content).decode()


def needed_records(edits: Sequence[FileEdit]) -> set[str]:
    """Return the files of the records that edits lie below and that they do not make."""
    return {edit.below for edit in edits if edit.below} - {edit.path for edit in edits}
