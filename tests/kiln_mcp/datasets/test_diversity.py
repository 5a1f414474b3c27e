"""How varied texts are."""

import pytest

from kiln_mcp.datasets.diversity import Diversity, diversity
from kiln_mcp.datasets.text_vectors import TextVectors

ORDER = "Please cancel my order of two blue shirts from last Monday"
OTHERS = ["Where is my parcel now?", "I want a refund, quickly"]


def diversity_of(*lines: str) -> Diversity:
    return diversity(TextVectors(lines))


def test_repetition_lowers_every_number() -> None:
    varied, same = diversity_of(ORDER, *OTHERS), diversity_of(ORDER, ORDER, ORDER)
    assert varied.distinct_pairs == 1.0
    assert varied.nearest_similarity < 0.3
    assert same.distinct_words == pytest.approx(1 / 3, abs=1e-3)
    assert same.distinct_pairs == pytest.approx(1 / 3, abs=1e-3)
    assert same.nearest_similarity == 1.0


def test_the_vendi_score_counts_texts_that_share_nothing() -> None:
    assert diversity_of("aaa", "bbb", "ccc", "ddd").vendi_score == 4.0
    assert diversity_of("aaa", "aaa", "bbb", "bbb").vendi_score == 2.0
    assert 2.5 < diversity_of(ORDER, *OTHERS).vendi_score < 3.0


def test_fewer_than_two_texts_count_as_fully_diverse() -> None:
    assert diversity_of() == Diversity(1.0, 1.0, 0.0, 0.0, 0)
    assert diversity_of("one") == Diversity(1.0, 1.0, 0.0, 1.0, 1)


def test_of_many_texts_always_the_same_ones_are_drawn() -> None:
    lines = [f"text {number} of {number % 7} and {number * 31 % 97}" for number in range(1200)]
    assert diversity_of(*lines) == diversity_of(*lines)
    assert diversity_of(*lines).vendi_texts == 400
