"""A plan has its quotas exactly, and nothing that it spreads goes together with anything else."""

from collections import Counter
from collections.abc import Callable, Hashable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiln_mcp.synthesis.coverage_plan import (
    Aim,
    Factors,
    Quota,
    Slot,
    largest_remainder,
    plan_slots,
    usual_quotas,
)

CLAUSES = ["c1", "c2", "c3", "c4"]


def topics(count: int) -> dict[str, int]:
    return {f"topic {number}": 1 for number in range(count)}


def misfit(
    slots: tuple[Slot, ...], first: Callable[[Slot], Hashable], second: Callable[[Slot], Hashable]
) -> float:
    """Return the largest distance of a cell from its count if both were independent."""
    cells = Counter((first(slot), second(slot)) for slot in slots)
    rows, columns = Counter(map(first, slots)), Counter(map(second, slots))
    return max(
        abs(cells[row, column] - rows[row] * columns[column] / len(slots))
        for row in rows
        for column in columns
    )


@pytest.mark.parametrize("topic_count", range(1, 21))
@pytest.mark.parametrize("count", [40, 100, 200])
def test_topic_and_aim_are_uncorrelated_for_any_number_of_topics(
    topic_count: int, count: int
) -> None:
    for seed in range(3):
        slots = plan_slots(usual_quotas(CLAUSES, count), Factors(topics(topic_count)), seed)
        # No table of whole numbers can be nearer to independence in every cell.
        assert misfit(slots, lambda slot: slot.topic, lambda slot: slot.aim) < 1


@pytest.mark.parametrize("topic_count", [4, 9, 14])
def test_topics_that_shared_the_cycle_of_aims_get_several_aims(topic_count: int) -> None:
    slots = plan_slots(usual_quotas([], 5 * topic_count), Factors(topics(topic_count)), 0)
    for topic in topics(topic_count):
        assert {slot.aim for slot in slots if slot.topic == topic} == set(Aim) - {Aim.ANY}


@given(
    st.integers(1, 12), st.integers(1, 300), st.lists(st.sampled_from(CLAUSES), unique=True),
    st.integers(0, 5),
)  # fmt: skip
def test_a_plan_has_its_quotas_exactly_and_treats_topics_alike(
    topic_count: int, count: int, clauses: list[str], seed: int
) -> None:
    quotas = usual_quotas(clauses, count)
    slots = plan_slots(quotas, Factors(topics(topic_count)), seed)
    assert len(slots) == count
    assert [slot.number for slot in slots] == list(range(1, count + 1))
    planned = Counter((slot.clause, slot.aim) for slot in slots)
    assert planned == {(quota.clause, quota.aim): quota.count for quota in quotas}
    per_topic = Counter(slot.topic for slot in slots)
    sizes = [per_topic[topic] for topic in topics(topic_count)]
    assert max(sizes) - min(sizes) <= 1


def test_personas_classes_and_sources_go_together_with_nothing() -> None:
    factors = Factors(topics(6), ["hurried", "polite", "angry"], ["spam", "billing"], 10)
    slots = plan_slots(usual_quotas(CLAUSES, 120), factors, 1)
    pairs: list[tuple[Callable[[Slot], Hashable], Callable[[Slot], Hashable]]] = [
        (lambda slot: slot.topic, lambda slot: slot.persona),
        (lambda slot: slot.aim, lambda slot: slot.persona),
        (lambda slot: slot.label, lambda slot: slot.persona),
        (lambda slot: slot.topic, lambda slot: slot.label),
        (lambda slot: (slot.clause, slot.aim), lambda slot: slot.label),
    ]
    assert all(misfit(slots, first, second) <= 2 for first, second in pairs)
    assert Counter(slot.label for slot in slots) == {"spam": 60, "billing": 60}
    assert set(Counter(slot.source for slot in slots).values()) == {12}


def test_shares_of_topics_are_kept_within_each_outcome() -> None:
    slots = plan_slots(usual_quotas([], 100), Factors({"often": 3, "rare": 1, "never": 0}), 4)
    assert Counter(slot.topic for slot in slots) == {"often": 75, "rare": 25}
    passing = Counter(slot.topic for slot in slots if slot.aim is Aim.PASS)
    assert passing == {"often": 30, "rare": 10}


def test_the_seed_decides_and_nothing_else() -> None:
    quotas, factors = usual_quotas(CLAUSES, 60), Factors(topics(7), ["a", "b"])
    assert plan_slots(quotas, factors, 3) == plan_slots(quotas, factors, 3)
    assert plan_slots(quotas, factors, 3) != plan_slots(quotas, factors, 4)


def test_a_plan_without_a_topic_with_a_share_is_refused() -> None:
    with pytest.raises(ValueError, match="a share above 0"):
        plan_slots([Quota(aim=Aim.PASS, count=2)], Factors({"never": 0}), 0)
    with pytest.raises(ValueError, match="a share must be above 0"):
        largest_remainder(3, [0, 0])
