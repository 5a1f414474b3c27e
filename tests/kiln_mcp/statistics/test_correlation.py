import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from kiln_mcp.statistics import (
    CannotTell,
    kendall_tau_b,
    mean_absolute_error,
    mean_squared_error,
    pearson,
    spearman,
)

scores = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=2, max_size=40)


@given(scores)
def test_correlations_are_those_of_scipy_or_undefined_where_its_are(
    cells: list[tuple[int, int]],
) -> None:
    first, second = [a for a, _ in cells], [b for _, b in cells]
    ours = [kendall_tau_b(first, second), spearman(first, second), pearson(first, second)]
    if len(set(first)) == 1 or len(set(second)) == 1:
        assert all(isinstance(value, CannotTell) for value in ours)
        return
    theirs = [
        stats.kendalltau(first, second).statistic,
        stats.spearmanr(first, second).statistic,
        stats.pearsonr(first, second).statistic,
    ]
    assert ours == pytest.approx([float(value) for value in theirs], abs=1e-9)


def test_one_item_has_no_correlation() -> None:
    assert isinstance(kendall_tau_b([1.0], [1.0]), CannotTell)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_score_that_is_no_number_leaves_a_correlation_undefined(value: float) -> None:
    scores = [1.0, value, 0.0, 1.0]
    for measure in (kendall_tau_b, spearman, pearson):
        assert isinstance(measure(scores, scores), CannotTell)


def test_scores_of_different_items_are_refused() -> None:
    for measure in (kendall_tau_b, spearman, pearson, mean_absolute_error, mean_squared_error):
        with pytest.raises(ValueError, match=r"."):
            measure([1.0, 2.0], [1.0])


@given(scores)
def test_a_squared_mean_distance_is_at_least_the_square_of_the_mean_distance(
    cells: list[tuple[int, int]],
) -> None:
    first, second = [a for a, _ in cells], [b for _, b in cells]
    assert mean_squared_error(first, second) >= mean_absolute_error(first, second) ** 2 - 1e-9


def test_a_mean_distance_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"at least one item"):
        mean_absolute_error([], [])


def test_scores_whose_spread_a_float_cannot_hold_have_no_correlation() -> None:
    tiny = [0.0, 5e-324]
    assert isinstance(pearson(tiny, [1.0, 2.0]), CannotTell)
