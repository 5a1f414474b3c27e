import tracemalloc
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiln_mcp.datasets.near_duplicates import (
    Pair,
    diversity,
    group_names,
    jaccard,
    near_duplicates,
    shingles,
)

texts = st.lists(st.lists(st.sampled_from("abcde"), max_size=6).map(" ".join), max_size=25)
ORDER = "Please cancel my order of two blue shirts from last Monday"


@given(texts)
def test_equal_texts_are_always_found(lines: list[str]) -> None:
    pairs = {(pair.first, pair.second) for pair in near_duplicates(lines)}
    for second, text in enumerate(lines):
        for first in range(second):
            if shingles(text) == shingles(lines[first]):
                assert (first, second) in pairs


@given(texts, st.sampled_from((0.3, 0.5, 0.7, 0.9, 1.0)))
def test_the_pairs_are_those_that_comparing_all_with_all_finds(
    lines: list[str], threshold: float
) -> None:
    sets = [shingles(line) for line in lines]
    expected = {
        (first, second)
        for second in range(len(sets))
        for first in range(second)
        if jaccard(sets[first], sets[second]) >= threshold
    }
    assert {(pair.first, pair.second) for pair in near_duplicates(lines, threshold)} == expected


@given(texts.filter(lambda lines: len(lines) > 1))
def test_the_nearest_similarity_is_that_of_comparing_all_with_all(lines: list[str]) -> None:
    sets = [shingles(line) for line in lines]
    nearest = [
        max(jaccard(own, other) for other in (*sets[:place], *sets[place + 1 :]))
        for place, own in enumerate(sets)
    ]
    assert diversity(lines).nearest_similarity == pytest.approx(fmean(nearest), abs=1e-4)


def test_of_many_texts_some_are_drawn_and_nothing_takes_the_square_of_their_number() -> None:
    lines = [f"text {number} of {number % 7} and {number * 31 % 97}" for number in range(3000)]
    assert diversity(lines) == diversity(lines)
    assert list(near_duplicates([*lines, lines[5]]))[-1] == Pair(5, 3000, 1.0)


@given(texts, st.data())
def test_near_duplicates_and_equal_keys_share_a_group(
    lines: list[str], data: st.DataObject
) -> None:
    keys = [data.draw(st.sampled_from(["x", "y", None])) for _ in lines]
    groups = group_names(lines, keys)
    for pair in near_duplicates(lines):
        assert groups[pair.first] == groups[pair.second]
    for key in ("x", "y"):
        assert len({group for group, own in zip(groups, keys, strict=True) if own == key}) <= 1


def test_a_changed_word_makes_a_near_duplicate_and_another_sentence_does_not() -> None:
    found = near_duplicates([ORDER, ORDER.replace("Monday", "Friday"), "Where is my parcel now?"])
    assert [(pair.first, pair.second) for pair in found] == [(0, 1)]


def test_repetition_lowers_diversity() -> None:
    varied = diversity([ORDER, "Where is my parcel now?", "I want a refund, quickly"])
    same = diversity([ORDER, ORDER, ORDER])
    assert varied.distinct_pairs == 1.0
    assert varied.nearest_similarity < 0.1
    assert same.distinct_pairs < 0.5
    assert same.nearest_similarity == 1.0


def test_common_shingles_do_not_hide_duplicates_in_a_large_set() -> None:
    lines = [f"common words here item{place}" for place in range(300)]
    pairs = near_duplicates([*lines, lines[7]])
    assert (7, 300) in {(pair.first, pair.second) for pair in pairs}


def test_a_text_of_megabytes_takes_little_memory() -> None:
    text = "x " * 500_000
    tracemalloc.start()
    assert shingles(text) == {"x", "x x"}
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * len(text), peak
