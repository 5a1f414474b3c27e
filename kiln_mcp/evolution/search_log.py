"""The logs of a search: what it is resumed from, and the decisions beside the eval."""

import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, cast

from kiln_mcp.evolution.engine import FileLog
from kiln_mcp.evolution.engine.decision_log import Event
from kiln_mcp.evolution.engine.models import MODEL_END
from kiln_mcp.evolution.engine.scheduler import read_evaluation
from storage import Eval, ProjectStore

FILE: Final = "kiln_mcp_evolution_{run}.jsonl"
VERSION: Final = 3
FOLDER: Final = "searches"
"""Beside the home's other files: answers that a stopped search goes on from."""


class ResumableLog:
    """A log in the home of a person, by which a stopped search goes on.

    Attributes:
        decisions: The decisions so far.
        calls: Model calls that were answered so far, in earlier attempts too.
        accepted: How many of them were accepted.
    """

    def __init__(self, home: Path, name: str) -> None:
        self._file = FileLog(home / FOLDER / f"{name}.jsonl")
        self._events: list[Event] | None = None
        self._failures: dict[str, Counter[str]] = {}
        self.decisions: list[Event] = []
        self.calls = 0

    @property
    def accepted(self) -> int:
        """How many decisions accepted a candidate."""
        return sum(bool(event["accepted"]) for event in self.decisions)

    def read(self) -> Sequence[Event]:
        """Return the events so far."""
        if self._events is None:
            self._events = list(self._file.read())
            for event in self._events:
                self._count(event)
        return tuple(self._events)

    def append(self, event: Event) -> None:
        """Keep an event."""
        self.read()
        self._file.append(event)
        cast("list[Event]", self._events).append(event)
        self._count(event)

    def failures(self, model: str = "") -> Counter[str]:
        """Return how many evaluations of the search have no score, by reason.

        Args:
            model: The model, in a search for several; "" in a search for one.
        """
        return self._failures.get(model, Counter())

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def delete(self) -> None:
        """Delete the file of a search that has ended."""
        self._file.close()
        self._file.path.unlink(missing_ok=True)

    def _count(self, event: Event) -> None:
        if event["event"] == "decision":
            self.decisions.append(event)
        if event["event"] == "answer":
            answer = cast("dict[str, int | None] | None", event["answer"]) or {}
            self.calls += answer.get("paid_calls") or 0
        if event["event"] == "evaluation":
            evaluation = read_evaluation(event)
            self.calls += evaluation.paid_calls or 0
            failure = evaluation.failure
            if failure:
                model, *rest = str(event["item"]).split(MODEL_END)
                self._failures.setdefault(model if rest else "", Counter())[failure] += 1


async def write_decisions(
    store: ProjectStore, eval_record: Eval, name: str, events: Sequence[Event]
) -> None:
    """Write the decisions of a search beside the eval, in the place of earlier ones."""
    at = datetime.now(UTC).isoformat()
    lines = [json.dumps({"v": VERSION, "at": at, **event}, ensure_ascii=False) for event in events]
    text = "".join(f"{line}\n" for line in lines)
    async with store.transaction(is_patient=True) as change:
        change.write_side_file(eval_record, name, text.encode())
