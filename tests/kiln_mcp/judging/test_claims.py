"""What a search for a better judge may claim on the labels that it was made from."""

import random

import pytest

from kiln_mcp.judging.judge_versions import JudgeVersion
from kiln_mcp.judging.refinement.claims import claim_of, claim_sentence, power_sentence
from kiln_mcp.judging.refinement.search import JudgeSearchResult, StopReason, TriedVersion


def tried(name: str, agreements: list[float]) -> TriedVersion:
    return TriedVersion(JudgeVersion((name,)), "", {}, tuple(agreements), 0.0)


def search(columns: list[list[float]]) -> JudgeSearchResult:
    """Return a search that kept the version with the highest agreement."""
    versions = tuple(tried(str(n), column) for n, column in enumerate(columns))
    best = max(range(len(versions)), key=lambda n: versions[n].agreement)
    return JudgeSearchResult(versions, best, 0, StopReason.CALLS)


@pytest.mark.slow
def test_of_equal_versions_the_best_is_claimed_to_gain_in_few_searches() -> None:
    draw, claims, above, searches = random.Random(4), 0, 0, 100
    for seed in range(searches):
        items = [draw.random() < 0.5 for _ in range(60)]
        columns = [
            [float(draw.random() < (0.95 if easy else 0.6)) for easy in items] for _ in range(9)
        ]
        claim = claim_of(search(columns), seed)
        claims += claim.is_gain_shown
        above += claim.estimate.low > 0.775
    assert claims <= 9, "5 % of 100, and two standard errors"
    assert above <= 9


def test_a_gain_of_all_disagreements_is_shown_by_thirty_labels() -> None:
    start = [1.0] * 18 + [0.0] * 12
    claim = claim_of(search([start, [1.0] * 30]), 0)
    assert claim.is_gain_shown
    assert "a gain of +" in claim_sentence(claim, "A", "A v2")


def test_without_a_better_version_nothing_is_claimed() -> None:
    claim = claim_of(search([[1.0, 0.0], [0.0, 0.0]]), 0)
    assert (claim.gain, claim.is_gain_shown) == (None, False)
    assert claim_sentence(claim, "A", None).startswith("No version differs less")


def test_the_power_of_few_labels_is_said_in_per_cent() -> None:
    sentence = power_sentence(12)
    assert "60 in 40%" in sentence
    assert "120 in 67%" in sentence
