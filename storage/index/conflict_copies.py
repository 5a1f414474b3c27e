"""The conflict copies in the index: kept so that they are named, and never counted.

Of several records of one kind, one parent and one id the first is the record
(`format.copies.copy_order`). The others keep their row, with the file that they copy, and nothing
else: no run, no score, nothing below them.
"""

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from typing import cast

from storage.format.copies import NO_IDS, copy_order
from storage.index import sql


class ConflictCopies:
    """The copies of one index. Call it in the builder's transactions.

    Attributes:
        copies: Their files.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._changed: set[tuple[str, str, str]] = set()
        self._former: list[str] = []
        self.copies: set[str] = set()
        self.reload()

    def reload(self) -> None:
        """Read which copies the index has: another process may have written it."""
        self._changed.clear()
        self._former.clear()
        self.copies = {path for path, _ in self._connection.execute(sql.COPIES)}

    def note(self, parent: str, kind: str, record_id: str) -> None:
        """Note that a record of this id is new, or was written again."""
        if record_id not in NO_IDS:
            self._changed.add((parent, kind, record_id))

    def note_removal(self, rows: Iterable[int]) -> None:
        """Note that records are about to be removed."""
        for row in rows:
            key_row = self._connection.execute(sql.KEY_OF, {"row": row}).fetchone()
            if key_row is not None:
                path, *key = cast("tuple[str, str, str, str]", key_row)
                self.copies.discard(path)
                self.note(*key)

    def settle(self) -> None:
        """Set copies apart whose record is there, after all changes of a transaction."""
        for parent, kind, record_id in self._with_copies():
            key = {"parent": parent, "kind": kind, "id": record_id}
            rows = cast(
                "list[tuple[int, str, str | None]]",
                self._connection.execute(sql.SIBLINGS, key).fetchall(),
            )
            (top, first, former), *later_rows = sorted(
                rows, key=lambda row: copy_order(row[1], record_id)
            )
            if former is not None:  # without a row it is new, also for another process
                self._connection.execute(sql.REMOVE, {"row": top})
                self._former.append(first)
                self.copies.discard(first)
            for row, path, copy_of in later_rows:
                if copy_of != first:
                    self._set_apart(row, path, first)
        self._changed.clear()

    def _with_copies(self) -> list[tuple[str, str, str]]:
        """Return the changed records of which several have one id, or one is set apart."""
        groups: dict[tuple[str, str], list[str]] = defaultdict(list)
        for parent, kind, record_id in self._changed:
            groups[parent, kind].append(record_id)
        return [
            (parent, kind, record_id)
            for (parent, kind), ids in groups.items()
            for (record_id,) in self._connection.execute(
                sql.IDS_OF_COPIES, {"parent": parent, "kind": kind, "ids": json.dumps(ids)}
            ).fetchall()
        ]

    def _set_apart(self, row: int, path: str, first: str) -> None:
        for statement in sql.FORGET_VALUES:
            self._connection.execute(statement, {"row": row})
        self._connection.execute(sql.SET_APART, {"row": row, "copy_of": first})
        self.copies.add(path)

    def former(self) -> list[str]:
        """Return the files that are no copies any more, and forget that they were."""
        former, self._former = self._former, []
        return former
