"""The search: propose, race against the best so far, keep what wins, until the calls are used."""

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from kiln_mcp.evolution.blocks import Candidate, placeholders
from kiln_mcp.evolution.call_quota import CallQuota
from kiln_mcp.evolution.operators import CandidateProposal, Operator, SearchSpace, propose
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

    async def score(self, trials: Sequence[Trial]) -> Sequence[float | None]:
        """Return a score from 0 to 1 for every trial, in their order; None if there is none."""
        ...


class Reflector(Protocol):
    """Proposes edits of its own after looking at what goes wrong on training items."""

    calls_each: int
    """Model calls that one proposal takes."""

    async def propose(self, best: Candidate) -> CandidateProposal | None:
        """Return an edited candidate; None if the model gave nothing usable."""
        ...


class SearchLog(Protocol):
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
        failures: Items of the race on which the challenger has no score.
        best_failures: Items of the race on which the best has none.
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
    failures: int = 0
    best_failures: int = 0


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a search found.

    Attributes:
        best: The best candidate; the start where nothing beat it.
        scores: The scores of the best on validation items, by item; a part of them where it won
            early.
        races: How many were run.
        calls: How many calls were taken.
        set_aside: Proposals that lost or invented placeholders of the start.
    """

    best: Candidate
    scores: Mapping[str, float]
    races: int
    calls: int
    set_aside: int = 0


@dataclass(frozen=True, slots=True)
class SearchInputs:
    """What a search works with."""

    space: SearchSpace
    items: Sequence[str]
    scorer: Scorer
    log: SearchLog
    reflector: Reflector | None = None


async def evolve(
    start: Candidate, inputs: SearchInputs, quota: CallQuota, seed: int
) -> SearchResult:
    """Search for a better candidate until the calls are taken or nothing new comes up.

    The path depends on the seed and on the scores alone, never on how many trials run at once: a
    chunk is run whole before anything is decided. A proposal with other placeholders than the start
    is set aside: what fills them in would not fit it.
    """
    search = _Search(inputs, quota)
    draw = random.Random(seed)
    order = list(inputs.items)
    draw.shuffle(order)
    best, number, repeats, set_aside = start, 0, 0, 0
    proposals = {start.key}
    while repeats < MOST_REPEATS and quota.remaining >= search.price_of_race(best, order):
        proposal = await search.next_proposal(draw, best, number + set_aside)
        if proposal is None:
            break
        if proposal.candidate.key in proposals:
            repeats += 1
            continue
        proposals.add(proposal.candidate.key)
        if placeholders(proposal.candidate.text) != placeholders(start.text):
            set_aside += 1
            repeats += 1
            continue
        repeats = 0
        number += 1
        race = await search.run(number, proposal, best, order)
        await inputs.log.race(race)
        if race.standing is Standing.WON:
            best = proposal.candidate
    return SearchResult(best, search.scores_of(best), number, quota.calls_used, set_aside)


class _Search:
    """The scores so far, and how to get more of them."""

    def __init__(self, inputs: SearchInputs, quota: CallQuota) -> None:
        self._inputs = inputs
        self._quota = quota
        self._scores: dict[tuple[str, tuple[str, ...]], dict[str, float | None]] = {}

    @property
    def calls_per_chunk(self) -> int:
        return min(CHUNK, len(self._inputs.items)) * self._inputs.scorer.calls_each

    def price_of_race(self, best: Candidate, order: Sequence[str]) -> int:
        """Return the calls of a race's first chunk, those of the best included."""
        is_run = self._scores.get(best.key, {})
        missing = sum(item not in is_run for item in order[:CHUNK])
        return self.calls_per_chunk + missing * self._inputs.scorer.calls_each

    def scores_of(self, candidate: Candidate) -> Mapping[str, float]:
        """Return the scores of a candidate, without the items on which it has none."""
        scores = self._scores.get(candidate.key, {})
        return {item: score for item, score in scores.items() if score is not None}

    def _failures(self, candidate: Candidate, items: Collection[str]) -> int:
        """Return on how many of some items a candidate was run and has no score."""
        scores = self._scores.get(candidate.key, {})
        return sum(scores.get(item, 0.0) is None for item in items)

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
        space = self._inputs.space
        if not space.topics and len(space.instructions) < 2:
            return None
        early = self._quota.calls_used < EARLY * self._quota.limit
        return propose(draw, best, space, early=early)

    async def run(
        self, number: int, proposal: CandidateProposal, best: Candidate, order: Sequence[str]
    ) -> Race:
        """Race a challenger chunk by chunk; the best is run only on items that are new to it.

        Items on which one of the two has no score say nothing of which is better. But a challenger
        that has none on more items than the best does not win: it may have scored the easy ones.
        """
        differences: list[float] = []
        items: list[str] = []
        state, failures, best_failures = Standing.OPEN, 0, 0
        for begin in range(0, len(order), CHUNK):
            chunk = order[begin : begin + CHUNK]
            if not await self._score(proposal.candidate, best, chunk):
                break
            items += chunk
            new, old = self.scores_of(proposal.candidate), self.scores_of(best)
            differences += [new[i] - old[i] for i in chunk if i in new and i in old]
            failures = self._failures(proposal.candidate, items)
            best_failures = self._failures(best, items)
            state = standing(differences, len(differences) + len(order) - len(items))
            if state is Standing.WON and failures > best_failures:
                state = Standing.OPEN if len(items) < len(order) else Standing.LOST
            if state is not Standing.OPEN:
                break
        is_level = state is Standing.LEVEL and bool(differences) and failures <= best_failures
        if is_level and _is_shorter(proposal):
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
            failures=failures,
            best_failures=best_failures,
        )

    async def _score(self, challenger: Candidate, best: Candidate, chunk: Sequence[str]) -> bool:
        """Score both on a chunk; False, and nothing sent, where the quota does not allow it."""
        trials = [
            (candidate, item)
            for candidate in (challenger, best)
            for item in chunk
            if item not in self._scores.get(candidate.key, {})
        ]
        if not self._quota.take(len(trials) * self._inputs.scorer.calls_each):
            return False
        scores = await self._inputs.scorer.score(trials)
        for (candidate, item), score in zip(trials, scores, strict=True):
            self._scores.setdefault(candidate.key, {})[item] = score
        return True


def _is_shorter(proposal: CandidateProposal) -> bool:
    return proposal.operator is Operator.REMOVE
