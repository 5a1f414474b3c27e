"""Write other tags of records into the index, and nothing else of their rows."""

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple, cast

from storage.index import sql
from storage.index.rows import TAG_FACET, marks_of, tag_facet
from storage.index.scan import RecordFile, TagChange
from storage.records import EvalInput, TaskRun


class TaggedFile(NamedTuple):
    """A record's file in which nothing but the tags has changed.

    Attributes:
        file: The file, as it is now.
        change: What has changed.
    """

    file: RecordFile
    change: TagChange


class TagWriter:
    """Writes the tags of records. Call it in the builder's transactions.

    Args:
        connection: The index.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def store(self, files: Iterable[TaggedFile]) -> set[str]:
        """Write the tags of records whose rows are of the file as it was before.

        Returns:
            The paths of these files. Of all others the rows are of another state.
        """
        groups: dict[tuple[str, str], list[TaggedFile]] = defaultdict(list)
        for file in files:
            groups[file.file.parent, file.file.kind].append(file)
        paths: set[str] = set()
        for (parent, kind), group in groups.items():
            by_row = self._rows(parent, kind, group)
            if kind == TaskRun.type_name():
                self._set_facets(by_row)
            elif kind == EvalInput.type_name():
                self._set_input_tags(by_row)
            else:
                continue
            states = [(*file.file.state[1:3], row) for row, file in by_row.items()]
            self._connection.executemany(sql.SET_STATE, states)
            paths.update(file.file.state.path for file in by_row.values())
        return paths

    def _rows(self, parent: str, kind: str, files: Sequence[TaggedFile]) -> dict[int, TaggedFile]:
        """Return the files by their rows, of those whose rows are of the file as it was before."""
        by_path = {file.file.state.path: file for file in files}
        key = {"parent": parent, "kind": kind, "paths": json.dumps(list(by_path))}
        rows = cast(
            "list[tuple[str, int, int, int]]",
            self._connection.execute(sql.STATES_OF, key).fetchall(),
        )
        return {
            row: by_path[path]
            for path, row, *state in rows
            if tuple(state) == by_path[path].change.previous_state
        }

    def _set_facets(self, files: dict[int, TaggedFile]) -> None:
        """Replace the tags of runs, also among the words of full-text search."""
        former: dict[int, list[str]] = defaultdict(list)
        tasks: dict[int, int] = {}
        key = {"rows": json.dumps(list(files))}
        rows = cast(
            "list[tuple[int, int, str]]", self._connection.execute(sql.FACETS_OF, key).fetchall()
        )
        for row, task, facet in rows:
            former[row].append(facet)
            tasks[row] = task
        removals: list[tuple[int, str, int]] = []
        additions: list[tuple[int, str, int]] = []
        marks: list[tuple[str, int]] = []
        for row, task in tasks.items():
            tags = dict.fromkeys(map(tag_facet, files[row].change.tags))
            other_facets = [facet for facet in former[row] if not facet.startswith(TAG_FACET)]
            former_tags = set(former[row]).difference(other_facets)
            removals += [(task, facet, row) for facet in former_tags.difference(tags)]
            additions += [(task, facet, row) for facet in tags if facet not in former_tags]
            marks.append((marks_of(task, (*tags, *other_facets)), row))
        self._connection.executemany(sql.REMOVE_FACET, removals)
        self._connection.executemany(sql.ADD_FACET, additions)
        self._connection.executemany(sql.SET_MARKS, marks)

    def _set_input_tags(self, files: dict[int, TaggedFile]) -> None:
        """Replace the tags of inputs."""
        rows = [(row, tag) for row, file in files.items() for tag in file.change.tags]
        self._connection.executemany(sql.REMOVE_INPUT_TAGS, ((row,) for row in files))
        self._connection.executemany(sql.ADD_INPUT_TAG, rows)
