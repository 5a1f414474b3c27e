"""A pattern that is said to give one answer gives it in every text."""

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.isolation.constant_patterns import constant_answer

TEXTS = ["".join(text) for size in range(5) for text in itertools.product("ab\n", repeat=size)]
PIECES = (
    *("a", "b", r"\n", "^", "$", r"\A", r"\Z", ".", r"\s", "[^a]", "(?:a|^)", "(?:$|b)", "(a)"),
    *("a*", "b?", "(?:a^)?", r"\b", "(?=a)", "(?!)", r"[^\s\S]", r"(?:\n$)+", "(?>a*)", "a*+"),
)


@given(st.lists(st.sampled_from(PIECES), max_size=5), st.sampled_from(["", "(?m)", "(?s)", "(?i)"]))
def test_what_is_proven_holds_in_every_text(pieces: list[str], flags: str) -> None:
    pattern = flags + "".join(pieces)
    answer = constant_answer(pattern)
    is_found = [re.search(pattern, text) is not None for text in TEXTS]
    assert answer != "never" or not any(is_found)
    assert answer != "always" or all(is_found)


@pytest.mark.parametrize("pattern", ["a^", "$a", r"\Za", "(?!)", r"x[^\S\s]", "(a^|b^)", "(a^)+b"])
def test_a_pattern_that_no_text_can_match_is_known(pattern: str) -> None:
    assert constant_answer(pattern) == "never"


@pytest.mark.parametrize("pattern", ["", ".*", r"\d*", "(a|b)?", r"(?i)x{0,3}"])
def test_a_pattern_that_every_text_matches_is_known(pattern: str) -> None:
    assert constant_answer(pattern) == "always"


@pytest.mark.parametrize("pattern", ["^$", "^.*$", r"$\n", r"\d+", "(?m)a^", "(?=a)", r"(x)?\1"])
def test_a_pattern_that_depends_on_the_text_is_none(pattern: str) -> None:
    assert constant_answer(pattern) is None
