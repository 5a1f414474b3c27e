"""A search as the lines beside its eval tell it: the tree, the curve, texts and differences."""

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from kiln_mcp.evals.answers import ComparisonRow
from kiln_mcp.evolution.engine import Block, Candidate
from kiln_mcp.evolution.engine.candidates import DEMONSTRATIONS
from kiln_mcp.evolution.prompt_texts import is_tool_text
from storage.errors import InvalidValue
from storage.text.excerpts import excerpts

START: Final = "start"
BEST: Final = "best"
CANDIDATE: Final = "candidate"
"""Before the number of a candidate: that of the first decision on it."""
TRIAL: Final = "trial"
"""Before the number of a candidate that no decision names."""
CONTEXT: Final = 1
"""Unchanged lines that a difference shows around a change."""


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)


class BlockLine(_Line):
    """A block of a candidate."""

    id: str
    text: str
    component: str
    gap: str


class StartLine(_Line):
    """How a search began."""

    at: str = ""
    candidate: str = ""
    name: str = ""
    model: str = ""
    reflecting: str | None = None
    budget: int = 0
    seed: int = 0
    prompt: str = ""
    blocks: tuple[BlockLine, ...] = ()


class DecisionLine(_Line):
    """What became of a proposal."""

    operator: str = ""
    accepted: bool = False
    reason: str = ""
    lesson: str = ""
    candidate: str = ""
    onto: str = ""
    gain: float = 0.0
    loss: float = 0.0
    better_on: int = 0
    worse_on: int = 0
    items: tuple[str, ...] = ()
    calls: int = 0
    blocks: tuple[BlockLine, ...] = ()


class StandingLine(_Line):
    """What was seen of a candidate."""

    candidate: str
    items: int
    scores: dict[str, float]
    cost_usd: float
    seconds: float
    is_on_front: bool
    blocks: tuple[BlockLine, ...] = ()


class EndLine(_Line):
    """What a search came to."""

    verdict: str = ""
    stop_reason: str = ""
    comparison: tuple[ComparisonRow, ...] = ()


@dataclass(frozen=True, slots=True)
class SearchEvents:
    """A search that was written beside an eval.

    Attributes:
        start: How it began.
        decisions: What became of each proposal, in their order.
        standings: What was seen of each candidate; empty until it has ended.
        end: What it came to; None while it runs, or if it was stopped.
    """

    start: StartLine
    decisions: Sequence[DecisionLine]
    standings: Sequence[StandingLine]
    end: EndLine | None

    @property
    def best(self) -> str:
        """The id of the best candidate so far."""
        accepted = [line.candidate for line in self.decisions if line.accepted]
        return accepted[-1] if accepted else self.start.candidate

    @property
    def item_ids(self) -> set[str]:
        """The ids of the items that proposals were made from."""
        return {item for line in self.decisions for item in line.items}

    @property
    def heads(self) -> list[tuple[int, str, float]]:
        """The best candidates in turn: calls, id, and the gain over the start by then."""
        total = 0.0
        heads = [(0, self.start.candidate, 0.0)]
        for line in self.decisions:
            if line.accepted:
                total += line.gain - line.loss
                heads.append((line.calls, line.candidate, round(total, 4)))
        return heads

    @property
    def names(self) -> dict[str, str]:
        """The names of candidates by id: "start", and the number of the decision on them.

        Of several decisions on one candidate the one that accepted it counts, else the first.
        An edit is raced on the best prompt of its time, and then applied to the newest one. What
        was raced is a trial if no decision names it.
        """
        names = {self.start.candidate: START}
        numbered_lines = sorted(enumerate(self.decisions, 1), key=lambda pair: not pair[1].accepted)
        for number, line in numbered_lines:
            if line.candidate:
                names.setdefault(line.candidate, f"{CANDIDATE} {number}")
        trials = [line.candidate for line in self.standings if line.candidate not in names]
        return names | {id: f"{TRIAL} {number}" for number, id in enumerate(trials, 1)}

    @property
    def blocks(self) -> dict[str, tuple[BlockLine, ...]]:
        """The blocks of each candidate that has any, also of rejected ones."""
        texts = {line.candidate: line.blocks for line in self.decisions if line.blocks}
        texts |= {line.candidate: line.blocks for line in self.standings if line.blocks}
        return texts | {self.start.candidate: self.start.blocks}

    def text(self, name: str) -> str:
        """Return the whole text of a candidate: "start", "best", "candidate 3", or its id.

        Raises:
            InvalidValue: There is no such candidate, or its text was not kept.
        """
        names, texts = self.names, self.blocks
        ids = {own: id for id, own in names.items()} | {BEST: self.best}
        blocks = texts.get(ids.get(name) or ids.get(f"{CANDIDATE} {name}") or name)
        if blocks is None:
            raise InvalidValue(
                f"The search has no candidate '{name}'. Name one of "
                f"{excerpts([BEST, *(names.get(id, id) for id in texts)], limit=8)}."
            )
        return text_of(blocks) if blocks else self.start.prompt

    def difference(self, first: str, second: str) -> str:
        """Return what changes from one candidate's text to another's, line by line.

        Raises:
            InvalidValue: There is no such candidate.
        """
        lines = difflib.unified_diff(
            self.text(first).splitlines(),
            self.text(second).splitlines(),
            first,
            second,
            lineterm="",
            n=CONTEXT,
        )
        return "\n".join(lines) or f"{first} and {second} are equal."

    def words(self, name: str) -> int:
        """Return how many words the text of a candidate has; 0 if it was not kept."""
        try:
            return len(self.text(name).split())
        except InvalidValue:
            return 0


def candidate_of(blocks: Sequence[BlockLine]) -> Candidate:
    """Return the candidate of blocks."""
    return Candidate(tuple(Block(b.id, b.text, b.component, b.gap) for b in blocks))


def text_of(blocks: Sequence[BlockLine]) -> str:
    """Return the text of blocks: its components, with examples at the end."""
    candidate = candidate_of(blocks)
    names = [name for name in candidate.components if name != DEMONSTRATIONS]
    parts = [
        f"[{name}]\n{candidate.text_of(name)}" if is_tool_text(name) else candidate.text_of(name)
        for name in names
    ]
    parts.extend(_example(block.text) for block in candidate.blocks_of(DEMONSTRATIONS))
    return "\n\n".join(parts)


def read_search(lines: Sequence[str]) -> SearchEvents | None:
    """Return a search of the lines of its file; None if its start cannot be read.

    Lines that cannot be read are left out.
    """
    start: StartLine | None = None
    decisions: list[DecisionLine] = []
    standings: list[StandingLine] = []
    end: EndLine | None = None
    for event in _events_of(lines):
        try:
            match event.get("event"):
                case "start":
                    start = StartLine.model_validate(event)
                case "decision":
                    decisions.append(DecisionLine.model_validate(event))
                case "standing":
                    standings.append(StandingLine.model_validate(event))
                case "result":
                    end = EndLine.model_validate(event)
                case _:
                    continue
        except ValidationError:
            continue
    return SearchEvents(start, decisions, standings, end) if start is not None else None


def _events_of(lines: Sequence[str]) -> list[Mapping[str, object]]:
    events: list[Mapping[str, object]] = []
    for line in lines:
        try:
            event: object = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(event, dict):
            events.append(cast("Mapping[str, object]", event))
    return events


def _example(text: str) -> str:
    try:
        pair: object = json.loads(text)
    except ValueError:
        return text
    if not isinstance(pair, list):
        return text
    return "\n".join(str(part) for part in cast("list[object]", pair))
