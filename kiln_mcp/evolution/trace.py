"""The trace of a search: every decision as a line of JSON, beside the eval."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Final

import anyio
from pydantic import JsonValue

from kiln_mcp.evolution.blocks import Candidate
from kiln_mcp.evolution.search import Race

FILE: Final = "kiln_mcp_evolution_{run}.jsonl"


class FileTrace:
    """Writes each decision as it is made.

    Attributes:
        path: The file.
        races: The races so far.
    """

    def __init__(self, path: Path, prompt: Callable[[Candidate], str]) -> None:
        self.path = path
        self.races: list[Race] = []
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
                "evidence": race.evidence,
                "calls": race.calls,
                "prompt": self._prompt(race.proposal.candidate),
            },
        )

    async def write(self, event: str, values: dict[str, JsonValue]) -> None:
        """Add a line; the first one takes the place of what an earlier attempt wrote."""
        line = json.dumps({"event": event, **values}, ensure_ascii=False)
        file = anyio.Path(self.path)
        await file.parent.mkdir(parents=True, exist_ok=True)
        mode = "a" if self._is_begun else "w"
        self._is_begun = True
        async with await file.open(mode, encoding="utf-8") as trace:
            await trace.write(line + "\n")
