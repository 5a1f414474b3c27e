"""The search: propose, race against the best so far, keep what wins, until the calls are used."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from kiln_mcp.evolution.blocks import Candidate
from kiln_mcp.evolution.call_quota import CallQuota
from kiln_mcp.evolution.operators import CandidateProposal, Operator, Pool, propose
from kiln_mcp.evolution.race import Standing, evidence, standing

CHUNK: Final = 8
EARLY: Final = 0.5
"""Share of the calls in which whole sets of demonstrations are drawn."""
MOST_REPEATS: Final = 50
REFLECT_EVERY: Final = 2


Trial = tuple[Candidate, str]
"""A candidate and the id of an item that it is run on."""


class Scorer(Protocol):
    """Runs candidates on items."""

    calls_each: int
    """Model calls that one item takes, its judge included."""

    async def score(self, trials: Sequence[Trial]) -> Sequence[float]:
        """Return a score from 0 to 1 for every trial, in their order."""
        ...


class Reflector(Protocol):
    """Proposes edits of its own after looking at what goes wrong on training items."""

    calls_each: int
    """Model calls that one proposal takes."""

    async def propose(self, best: Candidate) -> CandidateProposal | None:
        """Return an edited candidate; None if the model gave nothing usable."""
        ...


class Trace(Protocol):
    """Keeps every decision."""

    async def race(self, race: "Race") -> None:
        """Keep the result of a race."""
        ...


@dataclass(frozen=True, slots=True)
class Race:
    """A race that has ended.

    Attributes:
        number: 1 for the first.
        proposal: The challenger.
        best: What it ran against.
        standing: How it ended; `open` where the calls were used.
        items: Items that both were scored on.
        wins: Items on which the challenger scored higher.
        losses: Items on which it scored lower.
        evidence: The betting wealth of "the challenger is better".
        calls: Calls taken since the search began.
    """

    number: int
    proposal: CandidateProposal
    best: Candidate
    standing: Standing
    items: int
    wins: int
    losses: int
    evidence: float
    calls: int


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a search found.

    Attributes:
        best: The best candidate; the start where nothing beat it.
        scores: The scores of the best on validation items, by item; a part of them where it won
            early.
        races: How many were run.
        calls: How many calls were taken.
    """

    best: Candidate
    scores: Mapping[str, float]
    races: int
    calls: int


@dataclass(frozen=True, slots=True)
class SearchInputs:
    """What a search works with."""

    pool: Pool
    items: Sequence[str]
    scorer: Scorer
    trace: Trace
    reflector: Reflector | None = None


async def evolve(
    start: Candidate, inputs: SearchInputs, quota: CallQuota, seed: int
) -> SearchResult:
    """Search for a better candidate until the calls are taken or nothing new comes up.

    The path depends on the seed and on the scores alone, never on how many trials run at once: a
    chunk is run whole before anything is decided.
    """
    search = _Search(inputs, quota)
    draw = random.Random(seed)
    order = list(inputs.items)
    draw.shuffle(order)
    best, number, repeats = start, 0, 0
    proposals = {start.key}
    while repeats < MOST_REPEATS and quota.remaining >= search.calls_per_chunk:
        proposal = await search.next_proposal(draw, best, number)
        if proposal is None:
            break
        if proposal.candidate.key in proposals:
            repeats += 1
            continue
        repeats = 0
        number += 1
        proposals.add(proposal.candidate.key)
        race = await search.run(number, proposal, best, order)
        await inputs.trace.race(race)
        if race.standing is Standing.WON:
            best = proposal.candidate
    return SearchResult(best, search.scores_of(best), number, quota.calls_used)


class _Search:
    """The scores so far, and how to get more of them."""

    def __init__(self, inputs: SearchInputs, quota: CallQuota) -> None:
        self._inputs = inputs
        self._quota = quota
        self._scores: dict[tuple[str, tuple[str, ...]], dict[str, float]] = {}

    @property
    def calls_per_chunk(self) -> int:
        return min(CHUNK, len(self._inputs.items)) * self._inputs.scorer.calls_each

    def scores_of(self, candidate: Candidate) -> Mapping[str, float]:
        return self._scores.get(candidate.key, {})

    async def next_proposal(
        self, draw: random.Random, best: Candidate, number: int
    ) -> CandidateProposal | None:
        reflector = self._inputs.reflector
        if reflector is not None and number % REFLECT_EVERY == 0:
            price = reflector.calls_each + self.calls_per_chunk
            if self._quota.remaining >= price and self._quota.take(reflector.calls_each):
                revision = await reflector.propose(best)
                if revision is not None:
                    return revision
        pool = self._inputs.pool
        if not pool.topics and len(pool.instructions) < 2:
            return None
        early = self._quota.calls_used < EARLY * self._quota.limit
        return propose(draw, best, pool, early=early)

    async def run(
        self, number: int, proposal: CandidateProposal, best: Candidate, order: Sequence[str]
    ) -> Race:
        """Race a challenger chunk by chunk; the best pays only for items it has no score on."""
        differences: list[float] = []
        state = Standing.OPEN
        for begin in range(0, len(order), CHUNK):
            chunk = order[begin : begin + CHUNK]
            if not await self._score(proposal.candidate, best, chunk):
                break
            new, old = self.scores_of(proposal.candidate), self.scores_of(best)
            differences += [new[item] - old[item] for item in chunk]
            state = standing(differences, len(order))
            if state is not Standing.OPEN:
                break
        if state is Standing.LEVEL and _is_shorter(proposal):
            state = Standing.WON
        return Race(
            number=number,
            proposal=proposal,
            best=best,
            standing=state,
            items=len(differences),
            wins=sum(difference > 0 for difference in differences),
            losses=sum(difference < 0 for difference in differences),
            evidence=round(evidence(differences), 4),
            calls=self._quota.calls_used,
        )

    async def _score(self, challenger: Candidate, best: Candidate, chunk: Sequence[str]) -> bool:
        """Score both on a chunk; False, and nothing sent, where the quota does not allow it."""
        trials = [
            (candidate, item)
            for candidate in (challenger, best)
            for item in chunk
            if item not in self.scores_of(candidate)
        ]
        if not self._quota.take(len(trials) * self._inputs.scorer.calls_each):
            return False
        scores = await self._inputs.scorer.score(trials)
        for (candidate, item), score in zip(trials, scores, strict=True):
            self._scores.setdefault(candidate.key, {})[item] = score
        return True


def _is_shorter(proposal: CandidateProposal) -> bool:
    return proposal.operator is Operator.REMOVE
