"""What the parts of a split have in common is found, and nothing else."""

import random
from collections.abc import Sequence

import pytest

from kiln_mcp.datasets.clusters import cluster_names
from kiln_mcp.datasets.leaks import Leaks, find_leaks
from kiln_mcp.datasets.near_duplicates import NearDuplicates

SYLLABLES = ("ba", "de", "ki", "lo", "mu", "ra", "ne", "po", "su", "ti", "vo", "wa", "zi", "ge")


def random_words(draw: random.Random, count: int, syllables: int = 3) -> list[str]:
    return ["".join(draw.choices(SYLLABLES, k=syllables)) for _ in range(count)]


def unrelated(count: int, seed: int = 0) -> list[str]:
    draw = random.Random(seed)
    return [" ".join(random_words(draw, 9)) for _ in range(count)]


def leaks_of(
    texts: Sequence[str], parts: Sequence[str], topics: Sequence[str | None] | None = None
) -> Leaks:
    return find_leaks(NearDuplicates(texts), parts, {"topic": topics or [None] * len(texts)})


def test_unrelated_texts_without_topics_are_a_clean_split() -> None:
    leaks = leaks_of(unrelated(40), ["train", "test"] * 20)
    assert leaks.is_clean
    assert (leaks.compared_items, leaks.nearest[0].similarity < 0.6) == (20, True)


def test_each_planted_duplicate_is_found_and_is_the_nearest_neighbour() -> None:
    texts = unrelated(30)
    copies = [f"{text.upper()}!" for text in texts[:7]]
    leaks = leaks_of([*texts, *copies], ["train"] * 30 + ["test"] * 7)
    assert (leaks.duplicates.pairs, leaks.duplicates.across) == (7, 7)
    assert {(pair.place, pair.other) for pair in leaks.nearest} <= {
        (30 + place, place) for place in range(7)
    }
    assert leaks.mean_similarity == pytest.approx(1.0, abs=0.01)
    assert not leaks.is_clean


def test_duplicates_within_one_part_are_no_leak() -> None:
    texts = unrelated(10)
    leaks = leaks_of([*texts, *texts], [*["train"] * 5, *["test"] * 5] * 2)
    assert (leaks.duplicates.pairs, leaks.duplicates.across, leaks.is_clean) == (10, 0, True)


def test_pairs_that_differ_in_a_number_are_alike_across_parts() -> None:
    texts = [f"{text} 17" for text in unrelated(6)]
    others = [text.replace("17", "23") for text in texts]
    leaks = leaks_of([*texts, *others], ["train"] * 6 + ["val"] * 6)
    assert (leaks.duplicates.across, leaks.alike.across, leaks.is_clean) == (0, 6, False)


def test_pairs_of_the_same_form_across_parts_are_found() -> None:
    """41 forms with two texts each, which are too unlike to count as alike."""
    draw = random.Random(2)
    texts = list[str]()
    for _ in range(41):
        form = random_words(draw, 4, syllables=1)
        for filler in random_words(draw, 2, syllables=9):
            texts.append(" ".join([*form, filler, *form[:2]]))
    across = [place < 22 for place in range(41)]
    parts = [part for is_across in across for part in ("train", "test" if is_across else "train")]
    leaks = leaks_of(texts, parts)
    assert leaks.alike.across == 0
    assert (leaks.same_form.pairs, leaks.same_form.across) == (41, 22)
    assert leaks.same_form.example == (0, 1)
    assert not leaks.is_clean


def test_topics_in_several_parts_are_named() -> None:
    topics = ["returns", "payment", "returns", None, "", "travel"]
    leaks = leaks_of(unrelated(6), ["train", "train", "test", "test", "train", "golden"], topics)
    assert leaks.shared["topic"].shared == ("returns",)
    assert leaks.shared["topic"].total == 3
    assert not leaks.is_clean


def test_one_part_alone_leaks_nothing() -> None:
    leaks = leaks_of(unrelated(5), ["train"] * 5)
    assert (leaks.is_clean, leaks.nearest, leaks.mean_similarity) == (True, (), 0.0)


def test_of_many_items_some_are_looked_up() -> None:
    draw = random.Random(6)
    texts = [" ".join(random_words(draw, 4)) for _ in range(1300)]
    assert leaks_of(texts, ["train", "test"] * 650).compared_items == 500


def test_alike_texts_and_equal_values_of_any_column_share_a_cluster() -> None:
    texts = unrelated(6)
    texts[1] = f"{texts[0]} please"
    names = cluster_names(
        NearDuplicates(texts), [None, "x", "x", None, None, None], [None, None, "y", "y", None, "z"]
    )
    assert len({names[0], names[1], names[2], names[3]}) == 1
    assert len(set(names)) == 3
