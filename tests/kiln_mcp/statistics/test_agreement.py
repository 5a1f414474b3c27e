import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiln_mcp.statistics import (
    CannotTell,
    DetectionCounts,
    Interval,
    LabelStratum,
    best_constant_answer,
    cohens_kappa,
    kappa_interval,
    percent_agreement,
    stratified_kappa,
    stratified_kappa_interval,
)

pairs = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=1)


def test_kappa_of_the_textbook_table_is_four_tenths() -> None:
    first = ["yes"] * 25 + ["no"] * 25
    second = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    assert cohens_kappa(first, second) == pytest.approx(0.4)


@given(pairs)
def test_kappa_is_symmetric_and_never_above_one(cells: list[tuple[str, str]]) -> None:
    first, second = [a for a, _ in cells], [b for _, b in cells]
    kappa, swapped = cohens_kappa(first, second), cohens_kappa(second, first)
    if isinstance(kappa, CannotTell):
        assert swapped == kappa
    else:
        assert swapped == pytest.approx(kappa)
        assert kappa <= 1 + 1e-12


@given(st.lists(st.sampled_from("ab"), min_size=2).filter(lambda labels: len(set(labels)) == 2))
def test_a_rater_agrees_fully_with_itself(labels: list[str]) -> None:
    assert cohens_kappa(labels, labels) == pytest.approx(1.0)
    assert percent_agreement(labels, labels) == 1.0


@given(st.lists(st.booleans(), min_size=2).filter(lambda labels: len(set(labels)) == 2))
def test_a_constant_judge_has_kappa_zero(labels: list[bool]) -> None:
    assert cohens_kappa([True] * len(labels), labels) == pytest.approx(0.0)


def test_when_only_one_label_occurs_kappa_says_that_it_cannot_tell() -> None:
    assert isinstance(cohens_kappa(["x"] * 5, ["x"] * 5), CannotTell)
    assert isinstance(kappa_interval(["x"] * 5, ["x"] * 5), CannotTell)


def test_ten_agreements_of_ten_do_not_prove_a_perfect_judge() -> None:
    labels = [True] * 5 + [False] * 5
    interval = kappa_interval(labels, labels)
    assert isinstance(interval, Interval)
    assert interval.low < 0.85


@pytest.mark.parametrize(("total", "accuracy"), [(34, 0.5), (30, 0.9), (100, 0.85)])
def test_the_kappa_interval_covers_the_true_kappa(total: int, accuracy: float) -> None:
    draw = random.Random(4)
    base, runs, covered = 0.7, 60, 0
    agree = accuracy
    judge_pass = base * accuracy + (1 - base) * (1 - accuracy)
    chance = base * judge_pass + (1 - base) * (1 - judge_pass)
    truth = (agree - chance) / (1 - chance)
    for run in range(runs):
        labels = [draw.random() < base for _ in range(total)]
        judged = [label if draw.random() < accuracy else not label for label in labels]
        interval = kappa_interval(judged, labels, seed=run)
        covered += isinstance(interval, Interval) and truth in interval
    assert covered / runs >= 0.9


def test_the_best_constant_answer_is_the_commonest_label() -> None:
    best = best_constant_answer([1, 0, 1, 1])
    assert (best.label, best.agreement) == (1, 0.75)


def test_rates_of_a_judge_are_taken_over_the_labels() -> None:
    counts = DetectionCounts.of([True, False, True, False], [True, True, True, False])
    assert counts.true_positive_rate == pytest.approx(2 / 3)
    assert counts.true_negative_rate == 1.0


def test_a_rate_without_items_says_so() -> None:
    assert isinstance(DetectionCounts(0, 1, 1, 0).true_positive_rate, CannotTell)
    assert isinstance(DetectionCounts(1, 0, 0, 1).true_negative_rate, CannotTell)


def test_nothing_to_compare_is_an_error_and_not_a_number() -> None:
    with pytest.raises(ValueError, match=r"0 and 0"):
        percent_agreement([], [])
    with pytest.raises(ValueError, match=r"1 and 2"):
        cohens_kappa(["a"], ["a", "b"])
    with pytest.raises(ValueError, match=r"at least one label"):
        best_constant_answer([])


def test_one_stratum_gives_the_plain_kappa() -> None:
    judged, labelled = ["a", "a", "b", "b", "a"], ["a", "b", "b", "b", "a"]
    assert stratified_kappa([LabelStratum(7.0, judged, labelled)]) == pytest.approx(
        cohens_kappa(judged, labelled)
    )


def test_strata_are_weighted_back_to_the_population_for_kappa() -> None:
    """A tenth of the population has half of the labels; kappa is that of the whole."""
    draw = random.Random(6)
    population = [
        (judged, judged if draw.random() < right else not judged)
        for judged, right, count in ((True, 0.95, 9000), (False, 0.4, 1000))
        for _ in range(count)
    ]
    truth = cohens_kappa([a for a, _ in population], [b for _, b in population])
    assert isinstance(truth, float)
    covered = 0
    for run in range(30):
        strata = [
            LabelStratum(size, [a for a, _ in sample], [b for _, b in sample])
            for size, part in ((9000, population[:9000]), (1000, population[9000:]))
            for sample in [draw.sample(part, 40)]
        ]
        interval = stratified_kappa_interval(strata, seed=run)
        covered += isinstance(interval, Interval) and truth in interval
    assert covered >= 26


def test_strata_without_labels_cannot_be_measured() -> None:
    with pytest.raises(ValueError, match=r"at least one labelled"):
        stratified_kappa([LabelStratum(1.0, [], [])])
    with pytest.raises(ValueError, match=r"do not fit"):
        stratified_kappa([LabelStratum(1.0, ["a"], [])])
    assert isinstance(stratified_kappa([LabelStratum(1.0, ["a"], ["a"])]), CannotTell)
    assert isinstance(stratified_kappa_interval([LabelStratum(1.0, ["a"], ["a"])]), CannotTell)
