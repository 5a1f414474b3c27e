import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiln_mcp.statistics.review_draws import draw_review, labels_to_reach, review_agreement

POOL = {f"i{n:03}": float(n) for n in range(100)}


def test_half_are_the_most_informative_and_half_are_drawn_at_random() -> None:
    drawn = draw_review(POOL, 20, seed=1)
    assert len(drawn.at_random) == len(drawn.informative) == 10
    rest = sorted(POOL.keys() - set(drawn.at_random), reverse=True)
    assert list(drawn.informative) == rest[:10]
    assert drawn.probability == 0.1
    assert sorted(drawn.order) == sorted([*drawn.at_random, *drawn.informative])


def test_every_item_is_drawn_at_random_with_the_same_probability() -> None:
    counts = dict.fromkeys(POOL, 0)
    for seed in range(2000):
        for item in draw_review(POOL, 20, seed).at_random:
            counts[item] += 1
    assert all(140 < count < 260 for count in counts.values())


def test_the_order_shows_neither_half() -> None:
    first_is_random = 0
    for seed in range(400):
        drawn = draw_review(POOL, 10, seed)
        first_is_random += drawn.order[0] in drawn.at_random
    assert 150 < first_is_random < 250


def test_a_small_pool_is_shown_whole_and_counts_as_drawn() -> None:
    drawn = draw_review({"a": 1.0, "b": 0.0}, 10, seed=0)
    assert (sorted(drawn.at_random), drawn.probability) == (["a", "b"], 1.0)
    assert draw_review({}, 4, seed=0).order == []


@given(st.integers(1, 40), st.integers(0, 99), st.sets(st.sampled_from(sorted(POOL))))
def test_no_labelled_item_is_drawn_and_none_twice(count: int, seed: int, used: set[str]) -> None:
    drawn = draw_review(POOL, count, seed, frozenset(used))
    assert used.isdisjoint(drawn.order)
    assert len(set(drawn.order)) == len(drawn.order) == min(count, len(POOL) - len(used))


def test_a_review_shows_at_least_one_item() -> None:
    with pytest.raises(ValueError, match="at least 1 item"):
        draw_review(POOL, 0, seed=0)


def test_a_goal_is_reached_when_the_interval_lies_above_it() -> None:
    early = review_agreement(9, 9, pool=200, goal=0.9)
    assert not early.is_reached
    assert not early.is_out_of_reach
    assert review_agreement(60, 60, pool=200, goal=0.9).is_reached
    assert review_agreement(10, 30, pool=200, goal=0.9).is_out_of_reach
    assert review_agreement(8, 8, pool=8, goal=1.0).is_reached


def test_no_label_tells_nothing() -> None:
    nothing = review_agreement(0, 0, pool=50, goal=0.8)
    assert not nothing.is_reached
    assert not nothing.is_out_of_reach
    assert nothing.interval.width > 0.8
    assert review_agreement(0, 0, pool=0, goal=0.8).interval.width == 1.0


def test_the_interval_covers_the_agreement_although_the_person_stops_at_the_goal() -> None:
    covered = 0
    for seed in range(60):
        draw = random.Random(seed)
        pool = [draw.random() < 0.9 for _ in range(120)]
        order = draw.sample(pool, 60)
        result = review_agreement(sum(order[:10]), 10, 120, 0.85)
        for labels in range(20, 61, 10):
            if result.is_reached:
                break
            result = review_agreement(sum(order[:labels]), labels, 120, 0.85)
        covered += sum(pool) / 120 in result.interval
    assert covered >= 54


def test_an_interval_is_narrower_for_a_person_who_does_not_stop_at_the_goal() -> None:
    stops = review_agreement(27, 30, 200, 0.9)
    assert review_agreement(27, 30, 200, 0.9, may_stop=False).interval.width < stops.interval.width


def test_a_goal_outside_its_range_is_refused() -> None:
    with pytest.raises(ValueError, match="agreement to reach"):
        review_agreement(1, 1, 10, goal=0.0)


def test_the_labels_that_a_goal_takes_grow_with_it() -> None:
    few, many = labels_to_reach(0.8, 200), labels_to_reach(0.95, 200)
    assert few is not None
    assert many is not None
    assert few < many < 200
    assert labels_to_reach(0.95, 50, share=0.5) is None
