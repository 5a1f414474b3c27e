"""The search alone: candidates are scored by a function, no model is asked."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiln_mcp.evolution.blocks import Candidate, split_blocks
from kiln_mcp.evolution.call_quota import CallQuota
from kiln_mcp.evolution.operators import (
    MOST_DEMONSTRATIONS,
    CandidateProposal,
    Operator,
    SearchSpace,
    draw_demonstrations,
    propose,
)
from kiln_mcp.evolution.race import Standing, standing
from kiln_mcp.evolution.search import Race, SearchInputs, SearchResult, Trial, evolve

START = Candidate(split_blocks("Do it."))
SPACE = SearchSpace(
    {f"t{n}": f"topic {n % 6}" for n in range(12)},
    [split_blocks("Do it."), split_blocks("Do it.\n\nWell.")],
)
ITEMS = tuple(f"v{n}" for n in range(24))


@dataclass
class FunctionScorer:
    """Scores by a function of candidate and item; counts what was asked."""

    function: Callable[[Candidate, str], float | None]
    calls_each: int = 1
    asked: int = 0

    async def score(self, trials: Sequence[Trial]) -> Sequence[float | None]:
        self.asked += len(trials) * self.calls_each
        return [self.function(candidate, item) for candidate, item in trials]


@dataclass
class Races:
    kept: list[Race] = field(default_factory=list[Race])

    async def race(self, race: Race) -> None:
        self.kept.append(race)


def by_good_demonstrations(candidate: Candidate, item: str) -> float:
    """Every good demonstration solves a quarter of the items; bad ones spoil an eighth."""
    good = sum(one in {"t1", "t2", "t3"} for one in candidate.demonstrations)
    bad = sum(one in {"t8", "t9"} for one in candidate.demonstrations)
    return float(ITEMS.index(item) < 6 * good - 3 * bad)


async def search(
    function: Callable[[Candidate, str], float | None],
    max_calls: int,
    seed: int,
    calls_each: int = 1,
) -> tuple[SearchResult, FunctionScorer, Races]:
    scorer, races = FunctionScorer(function, calls_each), Races()
    inputs = SearchInputs(SPACE, ITEMS, scorer, races)
    found = await evolve(START, inputs, CallQuota(max_calls), seed)
    return found, scorer, races


@pytest.mark.parametrize("seed", range(5))
async def test_the_search_finds_demonstrations_that_help(seed: int) -> None:
    found, _, _ = await search(by_good_demonstrations, 400, seed)
    assert sum(by_good_demonstrations(found.best, item) for item in ITEMS) >= 12


async def test_the_start_is_kept_where_nothing_helps() -> None:
    found, _, races = await search(lambda candidate, _: float(candidate.key == START.key), 200, 1)
    assert found.best == START
    assert {race.standing for race in races.kept} <= {Standing.LOST, Standing.OPEN}


async def test_a_candidate_that_is_no_better_does_not_replace_the_start() -> None:
    found, _, _ = await search(lambda _, item: float(item < "v2"), 300, 1)
    assert found.best == START


@given(st.integers(0, 300), st.integers(0, 1000), st.integers(1, 3))
@settings(max_examples=settings().max_examples * 2 // 5)
async def test_no_call_is_made_beyond_the_budget(max_calls: int, seed: int, each: int) -> None:
    found, scorer, _ = await search(by_good_demonstrations, max_calls, seed, each)
    assert scorer.asked == found.calls <= max_calls


async def test_the_same_seed_takes_the_same_path() -> None:
    first, second = [await search(by_good_demonstrations, 250, 3) for _ in range(2)]
    assert first[2] == second[2]
    assert first[0] == second[0]


async def test_a_models_edit_takes_part_like_any_other_candidate() -> None:
    edited = Candidate(split_blocks("Do it right."))

    @dataclass
    class OneEdit:
        calls_each: int = 3

        async def propose(self, best: Candidate) -> CandidateProposal | None:
            return CandidateProposal(Operator.REFLECT, edited, "it was wrong")

    scorer = FunctionScorer(lambda candidate, _: float(candidate.text == "Do it right."))
    inputs = SearchInputs(SearchSpace({}, []), ITEMS, scorer, Races(), OneEdit())
    found = await evolve(START, inputs, CallQuota(60), 0)
    assert found.best == edited
    assert found.calls <= 60


@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), max_size=40))
def test_a_race_ends_the_other_way_when_the_two_change_places(differences: list[float]) -> None:
    forth = standing(differences, 40)
    if forth is Standing.WON:
        back = standing([-difference for difference in differences], 40)
        assert back is Standing.LOST


def test_a_challenger_that_is_only_better_wins_before_all_items_are_run() -> None:
    assert standing([1.0] * 6, 40) is Standing.WON
    assert standing([0.0] * 8, 40) is Standing.OPEN
    assert standing([-1.0, -1.0], 40) is Standing.LOST
    assert standing([0.0] * 40, 40) is Standing.LEVEL


@given(st.integers(0, 10**6), st.integers(0, 15), st.sets(st.sampled_from(list(SPACE.topics))))
def test_drawn_demonstrations_are_new_and_of_different_topics_first(
    seed: int, count: int, without: set[str]
) -> None:
    drawn = draw_demonstrations(random.Random(seed), SPACE, count, sorted(without))
    assert len(set(drawn)) == len(drawn) == min(count, 12 - len(without))
    assert not without & set(drawn)
    topics = {SPACE.topics[item] for item in drawn}
    if not without:
        assert len(topics) == min(len(drawn), 6)


@given(st.integers(0, 10**6), st.booleans())
def test_a_proposal_shows_known_items_once_and_not_too_many(seed: int, early: bool) -> None:
    draw = random.Random(seed)
    best = START
    for _ in range(10):
        best = propose(draw, best, SPACE, early=early).candidate
        assert len(set(best.demonstrations)) == len(best.demonstrations) <= MOST_DEMONSTRATIONS
        assert set(best.demonstrations) <= set(SPACE.topics)
        assert best.instruction in SPACE.instructions


async def test_items_without_a_score_are_no_zeros_of_a_candidate() -> None:
    def function(candidate: Candidate, item: str) -> float | None:
        if candidate.key == START.key and ITEMS.index(item) % 2:
            return None
        return 0.5

    _, _, races = await search(function, 200, 1)
    assert races.kept
    assert all(race.wins == race.losses == 0 for race in races.kept)
    assert all(race.standing is not Standing.WON for race in races.kept)
    assert max(race.best_failures for race in races.kept) > max(r.failures for r in races.kept) == 0


async def test_a_candidate_that_gives_up_on_hard_items_does_not_win_by_the_easy_ones() -> None:
    def function(candidate: Candidate, item: str) -> float | None:
        if candidate.key == START.key:
            return 0.0
        return 1.0 if ITEMS.index(item) % 2 else None

    found, _, races = await search(function, 300, 1)
    assert found.best == START
    assert {race.standing for race in races.kept} <= {Standing.LOST, Standing.OPEN}


async def test_what_was_not_scored_once_is_not_asked_for_again_in_the_next_race() -> None:
    asked: list[tuple[str, str]] = []

    def function(candidate: Candidate, item: str) -> float | None:
        asked.append((f"{candidate.key}", item))
        return None

    await search(function, 300, 1)
    assert len(asked) == len(set(asked))


async def test_a_proposal_that_loses_a_placeholder_is_set_aside() -> None:
    start = Candidate(split_blocks("Answer.\n\nFill {{ name }} in."))
    texts = ["Answer.\n\nFill {unknown_var} in.", "Answer.", "Answer in a word.\n\nUse {{name}}."]

    @dataclass
    class Edits:
        calls_each: int = 1

        async def propose(self, best: Candidate) -> CandidateProposal | None:
            text = texts.pop(0) if texts else best.text
            return CandidateProposal(Operator.REFLECT, Candidate(split_blocks(text)), "shorter")

    scorer = FunctionScorer(lambda candidate, _: float("word" in candidate.text))
    space = SearchSpace(SPACE.topics, [start.instruction, split_blocks(f"{start.text}\n\nWell.")])
    inputs = SearchInputs(space, ITEMS, scorer, Races(), Edits())
    found = await evolve(start, inputs, CallQuota(400), 0)
    assert found.best.text == "Answer in a word.\n\nUse {{name}}."
    assert found.set_aside >= 2


async def test_a_search_ends_where_no_race_can_begin_any_more() -> None:
    @dataclass
    class Dear:
        calls_each: int = 30

        async def propose(self, best: Candidate) -> CandidateProposal | None:
            return CandidateProposal(Operator.REFLECT, Candidate(split_blocks("{odd}")), "odd")

    scorer = FunctionScorer(by_good_demonstrations)
    races = Races()
    await evolve(START, SearchInputs(SPACE, ITEMS, scorer, races, Dear()), CallQuota(45), 0)
    assert scorer.asked == 0
    assert races.kept == []
