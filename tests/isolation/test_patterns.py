"""A pattern that RE2 runs is found exactly where Python's `re` finds it."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isolation.patterns import found_at_once, linear_pattern
from isolation.translation import translate

ATOMS = st.sampled_from(
    [
        *("a", "b", "Z", "é", "1", " ", "\n", "_", "-", "."),
        *(r"\d", r"\D", r"\w", r"\W", r"\s", r"\S", r"\b", r"\B", r"\.", r"\n", r"\t", r"\x41"),
        *(r"\u00e9", "[abc]", "[^a]", r"[\w-]", r"[^\d]", "[]a]", "[a-c1-3]", "[[:alpha:]]"),
        *("^", "$", r"\A", r"\Z", "(?i:a)", "(?s:.)", "(?=a)", "(?<!b)"),
    ]
)
COUNTS = st.sampled_from(["", "", "", "*", "+", "?", "*?", "{2}", "{1,2}", "{,2}", "{1,}", "++"])


@st.composite
def sequences(draw: st.DrawFn) -> str:
    pieces = draw(st.lists(st.tuples(ATOMS, COUNTS), min_size=1, max_size=4))
    return "".join(atom + count for atom, count in pieces)


@st.composite
def patterns(draw: st.DrawFn) -> str:
    one, other, count = draw(sequences()), draw(sequences()), draw(COUNTS)
    shape = draw(st.sampled_from(["{0}", "(?:{0}|{1})", "({0}){2}", "(?i){0}"]))
    return shape.format(one, other, count)


TEXTS = st.text(alphabet="abZzé1\u0663 \n_-.AÉ\u017f\u212a\x1f\u2028]:", max_size=8)


@pytest.mark.filterwarnings("ignore:Possible:FutureWarning")
@given(patterns(), TEXTS)
@settings(deadline=None, max_examples=300)
def test_what_is_answered_at_once_is_what_re_answers(pattern: str, text: str) -> None:
    try:
        expected = re.search(pattern, text) is not None
    except re.error:
        return
    assert found_at_once(pattern, text) in {expected, None}


@pytest.mark.parametrize("letter", ["d", "w", "s"])
def test_a_class_holds_the_same_characters(letter: str) -> None:
    pattern = f"[^\\{letter}]"
    python = re.compile(pattern)
    for code in [*range(0x3000), *range(0xFF00, 0xFFF0)]:
        found = found_at_once(pattern, chr(code))
        assert found is (python.search(chr(code)) is not None), hex(code)


@pytest.mark.parametrize(
    "pattern",
    [
        "(?=a)b",
        "(?!a)b",
        "(?<=a)b",
        r"(a)\1",
        "(?P<n>a)(?P=n)",
        "(?>a)",
        "(?x) a",
        "(?i)é",
        "(?m)^a$",
    ],
)
def test_what_re2_lacks_or_means_otherwise_is_left_to_a_worker(pattern: str) -> None:
    assert translate(pattern) is None


@pytest.mark.parametrize("pattern", ["a++", "a{2}{3}", "(", "[z-a]", "a" * 2000, "(?:a{900}){900}"])
def test_what_re2_refuses_is_left_to_a_worker(pattern: str) -> None:
    assert linear_pattern(pattern) is None


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("^(a+)+$", "a" * 100_000 + "!"),
        (r"^(\w+\s?)*$", "Thank you for your patience today we will refund it! " * 2000),
        ("(x+x+)+y", "x" * 100_000),
        (r"(.*)(.*)(.*)(.*)[^a]{99}$", "b" * 100_000),
        (r"\d+ words", "7" * 100_000),
    ],
)
def test_patterns_that_hang_re_are_answered_at_once(pattern: str, text: str) -> None:
    started = time.process_time()
    found_at_once(pattern, text)
    assert time.process_time() - started < 1


def test_half_a_character_is_left_to_a_worker() -> None:
    assert found_at_once("a", "\ud800a") is None
