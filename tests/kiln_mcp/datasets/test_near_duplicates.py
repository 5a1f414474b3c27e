import random
import tracemalloc
from collections import Counter
from collections.abc import Callable, Sequence
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiln_mcp.datasets.diversity import Diversity
from kiln_mcp.datasets.diversity import diversity as diversity_of
from kiln_mcp.datasets.near_duplicates import (
    groups_of_sets,
    near_duplicates,
    text_groups,
)
from kiln_mcp.datasets.partition import Partition
from kiln_mcp.datasets.set_bits import SetBits
from kiln_mcp.datasets.set_classes import classes_of
from kiln_mcp.datasets.shingles import NEAR, ShingleSets, jaccard, shingle_sets, shingles

texts = st.lists(st.lists(st.sampled_from("abcde"), max_size=6).map(" ".join), max_size=25)
NAMES = [
    a + b for a in ("ba", "de", "ki", "lo", "mu", "ra") for b in ("na", "ri", "ko", "le", "mi")
]
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
ORDER = "Please cancel my order of two blue shirts from last Monday"


def diversity(lines: Sequence[str]) -> Diversity:
    return diversity_of(lines, shingle_sets(lines))


def pairs_of(lines: Sequence[str], threshold: float = NEAR) -> set[tuple[int, int]]:
    """Return the pairs of texts that are alike; texts of one set are."""
    sets = shingle_sets(lines)
    alike = set(near_duplicates(sets, threshold))
    set_of = sets.set_of.tolist()
    return {
        (first, second)
        for second in range(len(lines))
        for first in range(second)
        if set_of[first] == set_of[second]
        or (min(set_of[first], set_of[second]), max(set_of[first], set_of[second])) in alike
    }


@given(texts)
def test_equal_texts_are_always_found(lines: list[str]) -> None:
    pairs = pairs_of(lines)
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
    assert pairs_of(lines, threshold) == expected


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


@given(texts, st.data())
def test_near_duplicates_and_equal_keys_share_a_group(
    lines: list[str], data: st.DataObject
) -> None:
    keys = [data.draw(st.sampled_from(["x", "y", None])) for _ in lines]
    groups = text_groups(lines).names(keys)
    for first, second in pairs_of(lines):
        assert groups[first] == groups[second]
    for key in ("x", "y"):
        assert len({group for group, own in zip(groups, keys, strict=True) if own == key}) <= 1


def test_a_changed_word_makes_a_near_duplicate_and_another_sentence_does_not() -> None:
    lines = [ORDER, ORDER.replace("Monday", "Friday"), "Where is my parcel now?"]
    assert pairs_of(lines) == {(0, 1)}
    assert text_groups(lines).duplicate_count == 1


def test_repetition_lowers_diversity() -> None:
    varied = diversity([ORDER, "Where is my parcel now?", "I want a refund, quickly"])
    same = diversity([ORDER, ORDER, ORDER])
    assert varied.distinct_pairs == 1.0
    assert varied.nearest_similarity < 0.1
    assert same.distinct_pairs < 0.5
    assert same.nearest_similarity == 1.0


def test_common_shingles_do_not_hide_duplicates_in_a_large_set() -> None:
    lines = [f"common words here item{place}" for place in range(300)]
    groups = text_groups([*lines, lines[7]]).names([None] * 301)
    assert groups[7] == groups[300]


def test_a_text_of_megabytes_takes_little_memory() -> None:
    text = "x " * 500_000
    tracemalloc.start()
    assert shingles(text) == {"x", "x x"}
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * len(text), peak


def bookings(count: int) -> list[str]:
    """Texts of one template with a number of their own, in groups that differ in three words."""
    draw = random.Random(3).choice
    return [
        f"Please book a table for {draw(range(1, 13))} at {draw(NAMES[:8])} on {draw(DAYS)} number "
        f"{number}"
        for number in range(count)
    ]


def letters(count: int) -> list[str]:
    """Texts of one template that share half of their words, some of them changed in one word."""
    random_words = random.Random(4)
    draw = random_words.choice
    lines = [
        f"{draw(NAMES)} wrote to {draw(NAMES)}{draw(NAMES)} that the invoice of {draw(NAMES)} "
        f"for {draw(range(999))} euros is late, please remind them by {draw(DAYS)} or call "
        f"{draw(NAMES)}"
        for _ in range(count)
    ]
    for place in range(0, count, 10):
        lines[place] = lines[place + 1].replace("please", "kindly")
    return lines


def same_group_pairs(groups: Sequence[object]) -> int:
    return sum(size * (size - 1) // 2 for size in Counter(groups).values())


@pytest.mark.parametrize("lines", [bookings(2000), letters(2000)], ids=["bookings", "letters"])
def test_groups_of_many_texts_of_a_template_are_those_of_comparing_all(lines: list[str]) -> None:
    """Nothing is grouped that is not alike (precision 1); of the pairs that are, 98 % (recall)."""
    sets = shingle_sets(lines)
    exact = list(range(len(sets)))
    for first, second in near_duplicates(sets):
        kept, gone = exact[first], exact[second]
        if kept != gone:
            exact = [kept if group == gone else group for group in exact]
    groups = groups_of_sets(sets)
    both = same_group_pairs(list(zip(groups, exact, strict=True)))
    assert both == same_group_pairs(groups)
    assert both >= 0.98 * same_group_pairs(exact)
    assert groups == groups_of_sets(shingle_sets(lines))


@pytest.mark.slow
@pytest.mark.parametrize("make", [bookings, letters])
def test_five_times_as_many_texts_of_a_template_take_no_ten_times_the_comparisons(
    make: Callable[[int], list[str]],
) -> None:
    def comparisons(lines: list[str]) -> int:
        counts: list[int] = []
        groups_of_sets(shingle_sets(lines), on_comparisons=counts.append)
        return sum(counts)

    few, many = comparisons(make(2000)), comparisons(make(10_000))
    assert len(make(2000)) < few
    assert many < 10 * few


def joined(sets: ShingleSets, threshold: float) -> Partition:
    """Return sets in groups, by comparing all that share a rare shingle."""
    partition = Partition(len(sets))
    pairs = np.array(list(near_duplicates(sets, threshold)), dtype=np.int64).reshape(-1, 2)
    partition.join(pairs[:, 0], pairs[:, 1])
    return partition


@given(texts, st.lists(st.integers(0, 5), max_size=25), st.sampled_from((0.3, 0.5, 0.7, 1.0)))
def test_groups_by_classes_are_those_of_comparing_all(
    lines: list[str], numbers: list[int], threshold: float
) -> None:
    """The numbers make texts of a template: some have a word that no other text has."""
    sets = shingle_sets([*lines, *(f"a b c d e own{place} {n}" for place, n in enumerate(numbers))])
    classes = classes_of(sets)
    of_classes = joined(sets.subset(classes.firsts), threshold).roots
    groups = classes.groups(of_classes, threshold).tolist()
    exact = joined(sets, threshold).roots.tolist()
    assert len(set(groups)) == len(set(exact)) == len(set(zip(groups, exact, strict=True)))


@given(texts, st.sampled_from((0.3, 0.5, 0.7, 0.9, 1.0)))
def test_the_bits_of_sets_pass_over_no_pair_that_is_alike(
    lines: list[str], threshold: float
) -> None:
    sets = shingle_sets([*lines, " ".join(f"w{number}" for number in range(3000))])
    pairs = np.array(list(near_duplicates(sets, threshold)), dtype=np.int64).reshape(-1, 2)
    assert SetBits(sets).may_be_alike(pairs[:, 0], pairs[:, 1], threshold).all()


def test_the_bits_of_sets_tell_most_pairs_that_are_not_alike() -> None:
    sets = shingle_sets(letters(300))
    firsts, seconds = np.triu_indices(len(sets), 1)
    alike = len(list(near_duplicates(sets)))
    assert SetBits(sets).may_be_alike(firsts, seconds, NEAR).sum() < 2 * alike + 50
