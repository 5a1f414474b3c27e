"""Near-duplicates: what counts as one, and that many texts are compared as few are."""

import itertools
import random
import tracemalloc
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiln_mcp.datasets.duplicates import earlier_duplicates
from kiln_mcp.datasets.near_duplicates import NEAR, NearDuplicates
from kiln_mcp.datasets.text_vectors import TextVectors
from kiln_mcp.datasets.words import words
from many_texts import DAYS, NAMES, bookings, letters

texts = st.lists(st.lists(st.sampled_from("abcde"), max_size=6).map(" ".join), max_size=25)
ORDER = "Please cancel my order of two blue shirts from last Monday"
BEDS = "Kann ich das Sofa im Laden abholen, statt für den Transport zu bezahlen"
TENTS = "強風の中でも一人で設営できるテントはどれですか"
OTHERS = [
    "Where is my parcel now?",
    "The lamp arrived with a broken shade",
    "我可以去商店自己取沙发吗",
]


def pairs_of(lines: Sequence[str]) -> set[tuple[int, int]]:
    """Return the pairs of texts that are duplicates."""
    return {
        pair
        for firsts, seconds in NearDuplicates(lines).duplicate_pairs()
        for pair in zip(firsts.tolist(), seconds.tolist(), strict=True)
    }


@pytest.mark.parametrize(
    ("text", "other"),
    [
        (ORDER, "please CANCEL my order, of two blue shirts; from last monday!!"),
        (ORDER, "Plaese cancel my ordr of two blue shirts from last Monday"),
        (ORDER, "two blue shirts from last Monday please cancel my order of"),
        (ORDER, "Please terminate my order of two blue shirts from last Monday"),
        (ORDER, f"Hello, I hope you are well. {ORDER}. Thanks!"),
        (BEDS, "Guten Tag, kann ich das Sofa im Laden mitnehmen, statt für Transport zu bezahlen"),
        (TENTS, "こんにちは。強風の中でも一人で設営できるテントはどれですか。"),
        (TENTS, "強い風の中でも一人で設営できるテントはどれ"),
        ("The error 20981 is back", "the error 20,981 is back"),
    ],
)
def test_edits_that_keep_the_meaning_leave_a_duplicate(text: str, other: str) -> None:
    assert pairs_of([text, *OTHERS, other]) == {(0, 4)}


def test_a_number_decides_what_a_text_is_about() -> None:
    lines = ["My parcel 4471 has not arrived", "My parcel 4472 has not arrived"]
    near = NearDuplicates(lines)
    assert near.duplicate_count == 0
    assert near.alike_groups.tolist() == [0, 0]


def visas(*countries: str) -> list[str]:
    return [f"Which visa do I need to travel to {country}?" for country in countries]


def test_words_in_the_gap_of_a_common_form_decide_and_few_may_be_synonyms() -> None:
    assert pairs_of(visas("Brazil", "Kenya", "Japan", "Canada")) == set()
    assert pairs_of(visas("Brazil", "Kenya", "Japan")) == {(0, 1), (0, 2), (1, 2)}


def test_spellings_in_one_place_are_no_form() -> None:
    lines = visas("Brazil", "Brasil", "Brazill", "Bresil", "Brazli")
    assert NearDuplicates(lines).duplicate_count == 4


def test_a_duplicate_of_a_form_has_its_words() -> None:
    lines = [*visas("Brazil", "Kenya", "Japan", "Canada"), f"Hello! {visas('Japan')[0]}"]
    assert pairs_of(lines) == {(2, 4)}


def test_the_gap_of_a_form_may_hold_several_words_and_recur() -> None:
    shops = ["old town", "harbour", "north gate", "central station", "airport"]
    lines = [
        f"Can I collect the {item} from the shop at the {shop} after work?"
        for item, shop in zip(("rug", "lamp", "kettle", "tent", "sofa"), shops, strict=True)
    ]
    assert pairs_of(lines) == set()


def test_long_texts_that_share_their_letters_alone_are_not_alike() -> None:
    draw = random.Random(1)
    lines = [" ".join(draw.choices(NAMES, k=300)) for _ in range(2)]
    near = NearDuplicates([*lines, f"Dear all, {lines[0]} {NAMES[0]}"])
    assert near.alike_groups.tolist() == [0, 1, 0]
    assert near.duplicate_groups.tolist() == [0, 1, 0]


@given(texts)
def test_equal_texts_are_always_found(lines: list[str]) -> None:
    pairs = pairs_of(lines)
    for first, second in itertools.combinations(range(len(lines)), 2):
        if lines[first] == lines[second] and lines[first]:
            assert (first, second) in pairs


@given(texts)
def test_texts_without_words_are_alike_to_nothing(lines: list[str]) -> None:
    assert not any("" in (lines[first], lines[second]) for first, second in pairs_of(lines))


@given(texts)
def test_the_similarity_is_that_of_weighted_sets(lines: list[str]) -> None:
    vectors = TextVectors(lines)
    sets = [set(words(line)) for line in lines]  # of one letter each, a triple of its own
    counts = Counter(word for own in sets for word in own)
    total = len(lines) + 100
    weights = {
        word: min(1.0, max(0.1, np.log(count / total) / np.log(0.05)))
        for word, count in counts.items()
    }

    def weight(members: set[str]) -> float:
        return sum(weights[word] for word in members)

    for first, second in itertools.combinations(range(len(lines)), 2):
        both = weight(sets[first]) + weight(sets[second])
        expected = 2 * weight(sets[first] & sets[second]) / both if both else 0.0
        found = vectors.similarity(np.array([first]), np.array([second]))[0]
        assert found == pytest.approx(expected, abs=1e-5)


def test_a_text_of_megabytes_takes_little_memory() -> None:
    text = "x " * 500_000
    tracemalloc.start()
    assert sum(1 for _ in words(text)) == 500_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * len(text), peak


def notes(count: int) -> list[str]:
    """Texts of random words, each tenth with a typing error of one before it."""
    draw = random.Random(5)
    lines = [" ".join(draw.choices(NAMES, k=9)) + f" {draw.choice(DAYS)}" for _ in range(count)]
    for place in range(9, count, 10):
        lines[place] = lines[place - 3].replace(DAYS[0], "Munday")
    return lines


@pytest.mark.parametrize("make", [bookings, letters, notes])
def test_groups_of_many_texts_are_those_of_comparing_all(
    make: Callable[[int], list[str]],
) -> None:
    """No group is larger, and 98 % of the pairs in them are found."""
    lines = make(1500)
    exact, many = NearDuplicates(lines), NearDuplicates(lines, most_products=0)
    for groups, expected in (
        (many.duplicate_groups.tolist(), exact.duplicate_groups.tolist()),
        (many.alike_groups.tolist(), exact.alike_groups.tolist()),
    ):
        both = same_group_pairs(list(zip(groups, expected, strict=True)))
        assert both == same_group_pairs(groups)
        assert both >= 0.98 * same_group_pairs(expected)
    assert (
        many.duplicate_groups.tolist()
        == NearDuplicates(lines, NEAR, most_products=0).duplicate_groups.tolist()
    )


def same_group_pairs(groups: Sequence[object]) -> int:
    return sum(size * (size - 1) // 2 for size in Counter(groups).values())


def test_texts_of_one_template_are_one_cluster_while_they_are_few() -> None:
    near = NearDuplicates([*bookings(30), ORDER, f"{ORDER}!"])
    assert len(set(near.clusters(largest=30).tolist())) == 2
    broken_up = near.clusters(largest=29).tolist()
    assert len(set(broken_up)) == 31
    assert broken_up[30] == broken_up[31]


def test_the_first_of_several_that_say_the_same_is_the_original() -> None:
    existing = [ORDER, OTHERS[0]]
    new = [OTHERS[1], OTHERS[0].upper(), f"{OTHERS[1]}!", TENTS, f"{ORDER} please"]
    assert earlier_duplicates(new, existing) == [None, 1, 2, None, 0]
    assert earlier_duplicates([], existing) == []


def test_a_dropped_text_makes_no_other_a_duplicate() -> None:
    chain = [
        "alpha bravo charlie delta echo foxtrot golf hotel",
        "alpha bravo charlie delta echo foxtrot india juliet",
        "alpha bravo charlie delta kilo lima india juliet",
    ]
    assert pairs_of(chain) == {(0, 1), (1, 2)}
    assert earlier_duplicates(chain) == [None, 0, None]
