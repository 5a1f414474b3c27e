import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiln_mcp.evals.comparison import in_words, mean_score, paired_difference, range_of
from kiln_mcp.statistics import CannotTell, Interval, ValueRange, level_of_use

verdicts = st.dictionaries(st.text("abcdef", max_size=3), st.sampled_from([0.0, 1.0]), min_size=1)


def test_only_items_that_both_were_scored_on_count() -> None:
    paired = paired_difference({"a": 1.0, "b": 0.0}, {"b": 1.0, "c": 0.0})
    assert (paired.count, paired.first, paired.second) == (1, 0.0, 1.0)


def test_systems_without_a_shared_item_have_no_difference() -> None:
    with pytest.raises(ValueError, match=r"share no item"):
        paired_difference({"a": 1.0}, {"b": 1.0})


@given(verdicts)
def test_a_system_is_never_better_than_itself(scores: dict[str, float]) -> None:
    paired = paired_difference(scores, scores)
    assert paired.difference == 0
    assert paired.p_value == 1.0
    assert not paired.conclusive
    assert in_words(paired, "A", "B").startswith("Cannot tell")


@settings(max_examples=settings().max_examples * 3 // 10)
@given(st.integers(0, 10_000))
def test_exchanging_the_systems_changes_the_sign_alone(seed: int) -> None:
    draw = random.Random(seed)
    first = {str(n): float(draw.random() < 0.5) for n in range(30)}
    second = {str(n): float(draw.random() < 0.7) for n in range(30)}
    there, back = paired_difference(first, second), paired_difference(second, first)
    assert there.difference == pytest.approx(-back.difference)
    assert there.conclusive == back.conclusive


def test_a_clear_difference_is_said_with_its_interval() -> None:
    items = [str(n) for n in range(60)]
    worse = {item: float(int(item) < 20) for item in items}
    better = {item: float(int(item) < 50) for item in items}
    words = in_words(paired_difference(worse, better), "start", "winner")
    assert words.startswith("winner is better than start by 0.500 (0.333 against 0.833 on 60")
    assert "95 % interval is +0." in words


def test_fractional_scores_are_compared_by_a_bootstrap() -> None:
    draw = random.Random(1)
    first = {str(n): draw.uniform(1, 4) for n in range(40)}
    second = {item: value + draw.uniform(0, 1) for item, value in first.items()}
    paired = paired_difference(first, second, seed=3)
    assert paired.test.startswith("Wilcoxon")
    assert paired.conclusive
    assert isinstance(paired.p_value, float)
    assert paired.p_value < 0.001


def test_scores_without_a_scale_that_all_differ_by_the_same_give_no_interval() -> None:
    paired = paired_difference({"a": 1.0, "b": 2.0}, {"a": 2.0, "b": 3.0})
    assert isinstance(paired.interval, CannotTell)
    assert "spread is unknown" in in_words(paired, "A", "B")


def test_equal_differences_of_few_stars_show_nothing_yet() -> None:
    first = {"a": 1.0, "b": 2.0, "c": 3.0}
    paired = paired_difference(
        first, {k: v + 1 for k, v in first.items()}, 0, range_of("five_star")
    )
    assert isinstance(paired.interval, Interval)
    assert not paired.conclusive


def test_an_interval_without_zero_does_not_overrule_the_test() -> None:
    first = {str(n): 0.5 for n in range(5)}
    paired = paired_difference(first, dict.fromkeys(first, 1.0), 0, ValueRange(0, 1))
    assert isinstance(paired.interval, Interval)
    assert paired.interval.low > 0
    assert paired.is_contradictory
    assert not paired.conclusive
    assert "but the test" in in_words(paired, "A", "B")


def test_a_pass_rate_has_wilsons_interval_and_other_means_a_bootstrap() -> None:
    rate = mean_score([1.0] * 10)
    assert isinstance(rate.interval, Interval)
    assert rate.interval.low == pytest.approx(0.7225, abs=1e-4)
    stars = mean_score([1.0, 4.0, 5.0, 3.0])
    assert isinstance(stars.interval, Interval)
    assert stars.interval.high < 5
    with pytest.raises(ValueError, match=r"at least one"):
        mean_score([])


def test_a_later_claim_on_the_same_items_needs_a_clearer_gain() -> None:
    first = {f"item {n}": float(n >= 9) for n in range(40)}
    second = dict.fromkeys(first, 1.0)
    first["item 39"], second["item 38"] = 0.0, 0.0
    assert paired_difference(first, second).conclusive
    later = paired_difference(first, second, level=1 - level_of_use(3))
    assert not later.conclusive
    assert "99.5833 % interval" in in_words(later, "start", "winner")
