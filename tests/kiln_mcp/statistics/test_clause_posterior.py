"""Votes of erring judges are read with the error rates that they themselves show."""

import random

import pytest

from kiln_mcp.statistics.clause_posterior import ClauseVotes, VoteModel, fit_votes


def votes_on(truths: list[bool], error: float, votes: int, chooser: random.Random) -> list[int]:
    return [sum((chooser.random() < error) != truth for _ in range(votes)) for truth in truths]


@pytest.mark.parametrize("error", [0.05, 0.1, 0.2])
@pytest.mark.parametrize(("success", "side_effect"), [(0.4, 0.05), (0.8, 0.05), (0.8, 0.2)])
def test_of_edits_that_are_surely_exact_95_in_100_are(
    error: float, success: float, side_effect: float
) -> None:
    kept = exact = 0
    for seed in range(12):
        chooser = random.Random(f"{error} {success} {side_effect} {seed}")
        truths = [
            [chooser.random() < success, *(chooser.random() < side_effect for _ in range(3))]
            for _ in range(100)
        ]
        rows = [
            [
                ClauseVotes("edited" if place == 0 else "kept", broken, 5)
                for place, broken in enumerate(votes_on(truth, error, 5, chooser))
            ]
            for truth in truths
        ]
        model = fit_votes([cell for row in rows for cell in row])
        for truth, (first, *others) in zip(truths, rows, strict=True):
            certainty = model.broken_probability(first)
            for cell in others:
                certainty *= 1 - model.broken_probability(cell)
            if certainty >= 0.95:
                kept += 1
                exact += truth == [True, False, False, False]
    assert kept > 20
    assert exact >= 0.95 * kept


def test_error_rates_are_found_in_the_votes() -> None:
    chooser = random.Random(1)
    truths = [place % 3 == 0 for place in range(600)]
    cells = [ClauseVotes("all", broken, 5) for broken in votes_on(truths, 0.2, 5, chooser)]
    model = fit_votes(cells)
    assert model.false_alarms == pytest.approx(0.2, abs=0.03)
    assert model.misses == pytest.approx(0.2, abs=0.05)
    assert model.broken_share["all"] == pytest.approx(1 / 3, abs=0.05)


def test_without_votes_the_share_of_the_group_is_all_that_is_known() -> None:
    model = VoteModel(0.1, 0.1, {"edited": 0.7})
    assert model.broken_probability(ClauseVotes("edited", 0, 0)) == pytest.approx(0.7)
    assert model.broken_probability(ClauseVotes("other", 0, 0)) == pytest.approx(0.5)
    assert fit_votes([]).false_alarms == pytest.approx(0.1)
