"""The log of a search: every decision as a line of JSON, beside the eval."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pydantic import JsonValue

from kiln_mcp.evolution.blocks import Candidate
from kiln_mcp.evolution.search import Race
from storage import Eval, ProjectStore

FILE: Final = "kiln_mcp_evolution_{run}.jsonl"


class FileSearchLog:
    """Writes each decision as it is made.

    Args:
        store: The project.
        measured: The eval that the file lies beside.
        name: The file's name.
        prompt: Returns a candidate's whole prompt.

    Attributes:
        path: The file.
        races: The races so far.
    """

    def __init__(
        self, store: ProjectStore, eval: Eval, name: str, prompt: Callable[[Candidate], str]
    ) -> None:
        self.path: Path = store.side_folder(eval) / name
        self.races: list[Race] = []
        self._store = store
        self._eval = eval
        self._prompt = prompt
        self._is_begun = False

    async def race(self, race: Race) -> None:
        """Keep the result of a race."""
        self.races.append(race)
        await self.write(
            "race",
            {
                "number": race.number,
                "operator": race.proposal.operator.name.lower(),
                "reason": race.proposal.reason,
                "demonstrations": list(race.proposal.candidate.demonstrations),
                "against": list(race.best.demonstrations),
                "standing": race.standing.value,
                "items": race.items,
                "wins": race.wins,
                "losses": race.losses,
                "failures": race.failures,
                "best_failures": race.best_failures,
                "evidence": race.evidence,
                "calls": race.calls,
                "prompt": self._prompt(race.proposal.candidate),
            },
        )

    async def write(self, event: str, values: dict[str, JsonValue]) -> None:
        """Add a line; the first one takes the place of what an earlier attempt wrote."""
        entry = {"v": 1, "at": datetime.now(UTC).isoformat(), "event": event, **values}
        line = json.dumps(entry, ensure_ascii=False)
        async with self._store.transaction(is_patient=True) as change:
            if self._is_begun:
                change.append_lines(self._eval, self.path.name, [line])
            else:
                change.write_side_file(self._eval, self.path.name, f"{line}\n".encode())
        self._is_begun = True
