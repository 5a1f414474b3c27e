import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from kiln_mcp.statistics import CannotTell, holm, mcnemar_exact, sign_test, wilcoxon_signed_rank

p_values = st.lists(st.floats(0, 1), max_size=12)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemars_exact_p_is_that_of_the_binomial_test(first: int, second: int) -> None:
    expected = 1.0 if first + second == 0 else float(binomtest(first, first + second).pvalue)
    assert mcnemar_exact(first, second) == pytest.approx(expected)
    assert mcnemar_exact(second, first) == mcnemar_exact(first, second)


def test_negative_counts_are_refused() -> None:
    with pytest.raises(ValueError, match=r"below 0"):
        mcnemar_exact(-1, 2)


def test_the_sign_test_leaves_ties_out() -> None:
    assert sign_test([0, 0, 1, 1, 1, 1, 1, 1]) == pytest.approx(2 / 64)


def test_wilcoxon_without_a_difference_says_that_it_cannot_tell() -> None:
    assert isinstance(wilcoxon_signed_rank([0, 0, 0]), CannotTell)


def test_wilcoxon_sees_a_shift_that_all_items_share() -> None:
    p = wilcoxon_signed_rank([1, 2, 1, 3, 2, 1, 2, 4, 1, 2])
    assert isinstance(p, float)
    assert p < 0.01


def test_holm_gives_the_textbook_correction() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(p_values)
def test_holm_raises_p_values_and_keeps_their_order(values: list[float]) -> None:
    corrected = holm(values)
    assert all(before <= after <= 1 for before, after in zip(values, corrected, strict=True))
    ranked = [after for _, after in sorted(zip(values, corrected, strict=True))]
    assert ranked == sorted(ranked)


def test_what_is_no_p_value_is_refused() -> None:
    with pytest.raises(ValueError, match=r"between 0 and 1"):
        holm([1.5])
