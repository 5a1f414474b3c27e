"""The stored verdicts of panels on clauses: lines of a side file of the task.

A panel judges outputs by each clause of a spec under several readings, several times. Specs measure
ambiguity with it; reviews begin with the outputs that split it.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Annotated, Final, Literal

import anyio.to_thread
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from storage import ProjectStore, Task

CLAUSE_VERDICTS: Final = "kiln_mcp_clause_verdicts.jsonl"


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow", defer_build=True)

    v: int = 1
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))


class ReadingLine(_Line):
    """One reading of a panel: who judged, in which manner, by which wording of each clause."""

    kind: Literal["reading"] = "reading"
    id: str
    model: str
    manner: str
    wording: int
    texts: dict[str, str]


class ClauseVerdictLine(_Line):
    """The verdicts of one reading on one output: by clause, one for each repeat.

    Attributes:
        reading: The reading's id.
        item: The run's id.
        output: The fingerprint of the run.
        verdicts: Whether it passes, by the clause's digest.
        reasons: The reason of the first verdict, by the clause's digest.
    """

    kind: Literal["verdicts"] = "verdicts"
    reading: str
    item: str
    output: str
    verdicts: dict[str, list[bool]]
    reasons: dict[str, str] = Field(default_factory=dict)


ClauseLine = ReadingLine | ClauseVerdictLine
_LINE: Final[TypeAdapter[ClauseLine]] = TypeAdapter(
    Annotated[ClauseLine, Field(discriminator="kind")]
)


def clause_digest(text: str, polarity: str) -> str:
    """Return what changes with a clause's meaning: its text and polarity."""
    content = f"{polarity}\0{' '.join(text.split())}"
    return blake2b(content.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()


async def read_clause_lines(store: ProjectStore, task: Task) -> list[ClauseLine]:
    """Return the lines that can be read, in the order in which they were written.

    Raises:
        storage.errors.StorageError: The file is no ordinary file.
    """
    lines = await store.side_lines(task, CLAUSE_VERDICTS)
    return await anyio.to_thread.run_sync(_parse, lines)


def split_of_items(lines: Iterable[ClauseLine]) -> dict[str, float]:
    """Return how far the verdicts of each item are apart, from 0 to 1, summed over its clauses."""
    passes: defaultdict[tuple[str, str], list[bool]] = defaultdict(list)
    for line in lines:
        if isinstance(line, ClauseVerdictLine):
            for clause, values in line.verdicts.items():
                passes[line.item, clause] += values
    splits: defaultdict[str, float] = defaultdict(float)
    for (item, _), values in passes.items():
        share = sum(values) / len(values) if values else 0.0
        splits[item] += 4 * share * (1 - share)
    return dict(splits)


def _parse(lines: Sequence[str]) -> list[ClauseLine]:
    """Return the lines that can be read; a damaged line costs itself alone."""
    entries: list[ClauseLine] = []
    for line in lines:
        try:
            entries.append(_LINE.validate_json(line.encode("utf-8", "surrogateescape")))
        except ValidationError:
            continue
    return entries
