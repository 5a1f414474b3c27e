import pytest
from hypothesis import strategies as st

from kiln_mcp.statistics import (
    best_constant_answer,
    cohens_kappa,
    percent_agreement,
)

pairs = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=1)


def test_kappa_of_the_textbook_table_is_four_tenths() -> None:
    first = ["yes"] * 25 + ["no"] * 25
    second = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    assert cohens_kappa(first, second) == pytest.approx(0.4)


def test_nothing_to_compare_is_an_error_and_not_a_number() -> None:
    with pytest.raises(ValueError, match=r"0 and 0"):
        percent_agreement([], [])
    with pytest.raises(ValueError, match=r"1 and 2"):
        cohens_kappa(["a"], ["a", "b"])
    with pytest.raises(ValueError, match=r"at least one label"):
        best_constant_answer([])
