"""The logs of a search: what it is resumed from, and the decisions beside the eval."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, cast

from kiln_mcp.evolution.engine import FileLog
from kiln_mcp.evolution.engine.decision_log import Event
from storage import Eval, ProjectStore

FILE: Final = "kiln_mcp_evolution_{run}.jsonl"
FOLDER: Final = "searches"
"""Beside the home's other files: answers that a stopped search goes on from."""


class ResumableLog:
    """A log in the home of a person, by which a stopped search goes on."""

    def __init__(self, home: Path, name: str) -> None:
        self._file = FileLog(home / FOLDER / f"{name}.jsonl")
        self._evaluations: list[Mapping[str, object]] = []

    def read(self) -> Sequence[Event]:
        """Return the events so far."""
        events = self._file.read()
        self._evaluations = [
            _evaluation(event) for event in events if event["event"] == "evaluation"
        ]
        return events

    def append(self, event: Event) -> None:
        """Keep an event."""
        self._file.append(event)
        if event["event"] == "evaluation":
            self._evaluations.append(_evaluation(event))

    def failures(self) -> Counter[str]:
        """Return how many evaluations of the search have no score, by reason."""
        reasons = (evaluation.get("failure") for evaluation in self._evaluations)
        return Counter(str(reason) for reason in reasons if reason)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def delete(self) -> None:
        """Delete the file of a search that has ended."""
        self._file.close()
        self._file.path.unlink(missing_ok=True)


def _evaluation(event: Event) -> Mapping[str, object]:
    return cast("Mapping[str, object]", event["evaluation"])


async def write_decisions(
    store: ProjectStore, eval_record: Eval, name: str, events: Sequence[Event]
) -> None:
    """Write the decisions of a search beside the eval, in the place of earlier ones."""
    at = datetime.now(UTC).isoformat()
    lines = [json.dumps({"v": 2, "at": at, **event}, ensure_ascii=False) for event in events]
    text = "".join(f"{line}\n" for line in lines)
    async with store.transaction(is_patient=True) as change:
        change.write_side_file(eval_record, name, text.encode())
