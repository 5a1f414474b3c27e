import random
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiln_mcp.statistics import Interval
from kiln_mcp.statistics.clause_ambiguity import (
    AmbiguityDecision,
    ClauseAmbiguity,
    measure_ambiguity,
)
from kiln_mcp.statistics.reading_noise import excess_of
from kiln_mcp.statistics.reading_tables import pair_table, reading_table
from kiln_mcp.statistics.reading_verdicts import Cell, ReadingVerdicts

AMBIGUOUS, NOISE, CANNOT_TELL = AmbiguityDecision
Truth = Callable[[int, int, int], bool]
"""What a reading says, without noise, of a clause and an item."""


def panel(
    truth: Truth,
    *,
    seed: int = 0,
    flips: float = 0.08,
    clauses: int = 5,
    items: int = 24,
    readings: int = 4,
    repeats: int = 2,
) -> dict[Cell, list[bool]]:
    draw = random.Random(seed)
    return {
        Cell(f"c{c}", f"i{i}", f"r{r}"): [
            truth(c, i, r) != (draw.random() < flips) for _ in range(repeats)
        ]
        for c in range(clauses)
        for i in range(items)
        for r in range(readings)
    }


def clear(clause: int, item: int, reading: int) -> bool:
    return (clause + item) % 3 != 0


def split(clause: int, item: int, reading: int) -> bool:
    """Readings of clause 1 go two ways on a third of the items."""
    return clear(clause, item, 0) != (clause == 1 and item % 3 == 0 and reading >= 2)


def by_clause(verdicts: ReadingVerdicts) -> Mapping[str, ClauseAmbiguity]:
    return {entry.clause: entry for entry in measure_ambiguity(verdicts)}


def decisions(verdicts: ReadingVerdicts) -> set[AmbiguityDecision]:
    return {entry.decision for entry in measure_ambiguity(verdicts)}


def test_the_clause_whose_readings_split_comes_first_with_the_items_that_split_them() -> None:
    first = measure_ambiguity(panel(split))[0]
    assert (first.clause, first.decision) == ("c1", AMBIGUOUS)
    assert {int(item[1:]) % 3 for item in first.splits[:6]} == {0}
    assert first.noise is not None
    assert first.disagreement > first.noise + 0.1
    assert first.interval.low <= first.excess <= first.interval.high


def test_a_planted_clause_is_first_in_most_panels_and_found_in_most() -> None:
    results = [measure_ambiguity(panel(split, seed=seed))[0] for seed in range(10)]
    assert sum(entry.clause == "c1" for entry in results) >= 9
    assert sum(entry.decision is AMBIGUOUS for entry in results) >= 7


@pytest.mark.parametrize("flips", [0.02, 0.1, 0.25])
@pytest.mark.parametrize("clauses", [1, 2, 6])
def test_noise_alone_is_never_called_ambiguous(flips: float, clauses: int) -> None:
    alarms = [
        AMBIGUOUS in decisions(panel(clear, seed=seed, flips=flips, clauses=clauses))
        for seed in range(5)
    ]
    assert sum(alarms) <= 1


def test_a_reading_that_is_strict_on_every_clause_makes_none_ambiguous() -> None:
    def one_is_strict(clause: int, item: int, reading: int) -> bool:
        return clear(clause, item, 0) and not (reading == 3 and item % 4 == 1)

    assert AMBIGUOUS not in decisions(panel(one_is_strict))


def test_a_reading_that_errs_at_random_makes_a_single_clause_not_ambiguous() -> None:
    draw = random.Random(1)
    verdicts = panel(clear, clauses=1, flips=0.02) | {
        Cell("c0", f"i{i}", "r3"): [clear(0, i, 0) != (draw.random() < 0.3) for _ in range(2)]
        for i in range(24)
    }
    assert AMBIGUOUS not in decisions(verdicts)


def test_opinions_that_each_reading_repeats_make_a_single_clause_ambiguous() -> None:
    def own_opinion(clause: int, item: int, reading: int) -> bool:
        return random.Random(100 * item + reading).random() < 0.5

    (only,) = measure_ambiguity(panel(own_opinion, clauses=1, flips=0.02))
    assert only.decision is AMBIGUOUS
    assert "No other clause shows" in only.reason


@pytest.mark.parametrize("flips", [0.02, 0.1])
@pytest.mark.parametrize("clauses", [1, 2])
def test_one_dissenter_of_four_is_found_in_most_panels_on_few_clauses(
    clauses: int, flips: float
) -> None:
    def dissent(clause: int, item: int, reading: int) -> bool:
        return clear(clause, item, 0) != (clause == 0 and item % 3 == 0 and reading == 3)

    results = [
        by_clause(panel(dissent, seed=seed, clauses=clauses, flips=flips))["c0"].decision
        for seed in range(10)
    ]
    assert results.count(AMBIGUOUS) >= 7


def test_a_panel_too_small_for_its_noise_says_how_many_verdicts_would_tell() -> None:
    unsure = [
        entry
        for seed in range(10)
        for entry in measure_ambiguity(panel(split, seed=seed, clauses=2, flips=0.25))
        if entry.clause == "c1" and entry.decision is CANNOT_TELL
    ]
    assert unsure
    assert all("would tell" in entry.reason for entry in unsure)
    assert all(entry.repeats is None or entry.repeats > 2 for entry in unsure)


def test_only_another_clause_shows_that_two_pairs_of_readings_always_differ() -> None:
    def two_pairs(clause: int, item: int, reading: int) -> bool:
        is_contested = (item + clause) % 5 == 0
        return clear(clause, item, 0) != (is_contested and reading >= 2)

    (only,) = measure_ambiguity(panel(two_pairs, clauses=1, items=48))
    assert only.decision is AMBIGUOUS
    assert AMBIGUOUS not in decisions(panel(two_pairs, clauses=3, items=48))


def test_two_readings_show_ambiguity_if_one_of_them_is_stricter() -> None:
    def stricter(clause: int, item: int, reading: int) -> bool:
        return item % 2 == 0 or (clause == 0 and item % 4 == 1 and reading == 0)

    strict, _ = measure_ambiguity(panel(stricter, clauses=2, readings=2, items=40, repeats=3))
    assert strict.decision is AMBIGUOUS


def test_readings_that_agree_on_many_outputs_are_called_noise() -> None:
    results = measure_ambiguity(panel(clear, flips=0.0, items=40))
    assert {entry.decision for entry in results} == {NOISE}
    assert all(entry.excess == 0 and not entry.splits for entry in results)


def test_without_repeats_nothing_is_told_and_the_most_split_clause_still_comes_first() -> None:
    results = measure_ambiguity(panel(split, repeats=1, flips=0.0))
    assert {entry.decision for entry in results} == {CANNOT_TELL}
    assert results[0].clause == "c1"
    assert "repeated" in results[0].reason


def test_one_reading_or_few_outputs_tell_nothing() -> None:
    (alone, *_) = measure_ambiguity(panel(split, readings=1))
    assert (alone.decision, alone.interval) == (CANNOT_TELL, Interval(0.0, 1.0))
    (few, *_) = measure_ambiguity(panel(split, items=4))
    assert few.decision is CANNOT_TELL
    assert "too few" in few.reason


def test_cells_without_verdicts_and_cells_with_one_are_taken_as_they_are() -> None:
    verdicts = panel(split)
    kept = {cell: values[: 1 + n % 2] for n, (cell, values) in enumerate(verdicts.items()) if n % 5}
    assert by_clause(kept)["c1"].excess > max(
        entry.excess for clause, entry in by_clause(kept).items() if clause != "c1"
    )


def test_a_clause_that_one_reading_judged_is_told_apart_from_the_others() -> None:
    verdicts = panel(split) | {Cell("c9", f"i{i}", "r0"): [True, True] for i in range(24)}
    lonely = by_clause(verdicts)["c9"]
    assert lonely.decision is CANNOT_TELL
    assert "One reading" in lonely.reason


def test_a_clause_is_found_if_no_output_has_all_readings() -> None:
    verdicts = {
        cell: values
        for cell, values in panel(split, clauses=2).items()
        if int(cell.item[1:]) % 4 != int(cell.reading[1:])
    }
    assert by_clause(verdicts)["c1"].decision is AMBIGUOUS


def test_the_same_seed_gives_the_same_numbers() -> None:
    assert measure_ambiguity(panel(split), 3) == measure_ambiguity(panel(split), 3)


def test_a_table_needs_a_verdict() -> None:
    with pytest.raises(ValueError, match="at least one verdict"):
        reading_table({Cell("c", "i", "r"): []})


@given(st.lists(st.lists(st.booleans(), min_size=2, max_size=4), min_size=2, max_size=12))
def test_excess_is_disagreement_less_noise_whatever_the_verdicts(cells: list[list[bool]]) -> None:
    verdicts = {Cell("c", f"i{n // 2}", f"r{n % 2}"): values for n, values in enumerate(cells)}
    table = pair_table(reading_table(verdicts))
    assert ((table.disagreements >= 0) & (table.disagreements <= 1)).all()
    assert abs(table.excess - (table.disagreements - table.noise)).max() < 1e-12


@given(st.integers(0, 1000))
def test_the_order_of_cells_does_not_matter_for_the_numbers(seed: int) -> None:
    verdicts = panel(split, seed=seed, items=6, clauses=2, readings=3)
    items = list(verdicts.items())
    table = pair_table(reading_table(dict(reversed(items))))
    assert table.excess.sum() == pytest.approx(pair_table(reading_table(verdicts)).excess.sum())


@given(st.integers(0, 1000))
def test_sums_over_readings_give_the_excess_of_all_pairs(seed: int) -> None:
    draw = random.Random(seed)
    counts = [[draw.choice([0, 1, 2, 3]) for _ in range(3)] for _ in range(6)]
    verdicts = {
        Cell("c", f"i{i}", f"r{r}"): [draw.random() < 0.5 for _ in range(count)]
        for i, row in enumerate(counts)
        for r, count in enumerate(row)
    } | {Cell("c", "i9", f"r{r}"): [True, False] for r in range(3)}
    table = reading_table(verdicts)
    by_pairs = pair_table(table).excess.sum()
    assert excess_of(table.passes[:1], table.counts[0])[0] == pytest.approx(by_pairs)
