"""The claim on items that took no part, and what a search expects of it beforehand."""

from collections.abc import Mapping
from random import Random

import pytest

from kiln_mcp.evolution.engine import (
    Budget,
    Candidate,
    Evaluation,
    Goal,
    Item,
    Measurement,
    MemoryLog,
    claim_of,
    forecast,
    prove,
    sight,
)

START, WINNER = Candidate.of("Answer."), Candidate.of("Answer well.")
TEST = [Item(f"i{n}") for n in range(60)]


def sides(
    first: Mapping[str, int], second: Mapping[str, int], count: int = 60
) -> tuple[dict[str, list[Evaluation]], dict[str, list[Evaluation]]]:
    """Return evaluations of which so many first items pass, by score."""
    one, two = (
        {
            str(n): [Evaluation({name: float(n < passes) for name, passes in side.items()})]
            for n in range(count)
        }
        for side in (first, second)
    )
    return one, two


def test_a_clear_gain_is_shown_and_the_same_result_is_not() -> None:
    gain = claim_of(*sides({"a": 20}, {"a": 32}), Measurement())
    assert gain.gain_shown
    assert gain.says == "A gain is shown in a."
    level = claim_of(*sides({"a": 20}, {"a": 20}), Measurement())
    assert not level.gain_shown


def test_a_claim_is_tested_on_one_side_at_the_error_of_its_use() -> None:
    # 6 items better, none worse: 1/64 on one side, 1/32 on both.
    evaluations = sides({"a": 20}, {"a": 26})
    first = claim_of(*evaluations, Measurement())
    assert first.scores[0].p_value == pytest.approx(1 / 64)
    assert (first.error, first.gain_shown) == (0.025, True)
    second = claim_of(*evaluations, Measurement(use=2))
    assert (second.error, second.gain_shown) == (pytest.approx(0.05 / 6), False)


def test_several_scores_share_the_error() -> None:
    changes = dict.fromkeys("abcdef", 20)
    claim = claim_of(*sides(changes, {**changes, "a": 26}), Measurement())
    assert claim.scores[0].name == "value"
    assert not next(score for score in claim.scores if score.name == "a").is_gain


def test_a_gain_is_not_claimed_while_another_score_may_have_fallen() -> None:
    goals = {"safe": Goal(weight=0, margin=0.02)}
    evaluations = sides({"a": 10, "safe": 58}, {"a": 40, "safe": 52})
    claim = claim_of(*evaluations, Measurement(goals=goals))
    assert "a" in claim.gains
    assert "safe" not in claim.gains
    assert claim.open_losses == ["safe"]
    assert not claim.gain_shown
    assert "safe may have fallen" in claim.says
    wide = claim_of(*evaluations, Measurement(goals={"safe": Goal(weight=0, margin=0.3)}))
    assert wide.gain_shown


def test_no_gain_is_told_apart_from_too_little_that_was_looked_at() -> None:
    many = claim_of(*sides({"a": 200}, {"a": 200}, count=400), Measurement())
    assert many.says.startswith("No gain: it is below")
    few = claim_of(*sides({"a": 4}, {"a": 5}, count=8), Measurement())
    assert few.says.startswith("Too little was looked at: a gain of up to")
    assert claim_of({}, {}, Measurement()).says.startswith("Too little was looked at")


async def test_repeats_of_a_noisy_evaluator_show_a_gain_that_one_run_does_not() -> None:
    async def evaluate(candidate: Candidate, item: Item) -> float:
        coin = Random(f"{candidate.id} {item.id} {item.repeat}").random()
        return float(coin < (0.6 if candidate == WINNER else 0.4))

    once = await prove(START, WINNER, TEST[:40], evaluate)
    often = await prove(START, WINNER, TEST[:40], evaluate, Measurement(repeats=6))
    assert not once.gain_shown
    assert often.gain_shown
    assert often.repeats == 6


async def test_a_measurement_goes_on_from_its_log() -> None:
    calls: list[tuple[str, str, int]] = []

    async def evaluate(candidate: Candidate, item: Item) -> Evaluation:
        calls.append((candidate.id, item.id, item.repeat))
        if len(calls) == 30:
            raise OSError("the power is off")
        return Evaluation({} if item.id == "i0" else {"a": float(candidate == WINNER)})

    log = MemoryLog()
    with pytest.raises(OSError, match="power"):
        await prove(START, WINNER, TEST, evaluate, Measurement(repeats=2, log=log, width=1))
    claim = await prove(START, WINNER, TEST, evaluate, Measurement(repeats=2, log=log))
    assert claim.gain_shown
    assert claim.failures == 4
    assert claim.scores[0].items == 59
    assert len(calls) == len(set(calls)) + 1 == 4 * len(TEST) + 1


def test_sight_asks_for_repeats_only_where_there_is_noise() -> None:
    exact, noisy = sight(60, 0.0), sight(60, 0.24)
    assert (exact.repeats, exact.evaluations) == (1, 120)
    assert noisy.repeats > 1
    assert noisy.smallest_gain < 0.25
    assert sight(1000, 0.24).smallest_gain < noisy.smallest_gain
    assert sight(60, 0.0, use=5).smallest_gain > exact.smallest_gain
    assert "60 items" in exact.says
    with pytest.raises(ValueError, match="needs items"):
        sight(0, 0.1)


def test_a_forecast_names_cost_and_a_budget_that_is_too_small() -> None:
    ahead = forecast(Budget(1200, reserve=200, proposal=1), 60, 0.0, 0.01, 0.1)
    assert ahead.proposals == 1000 // 14
    assert ahead.evaluations == 1000 - ahead.proposals
    expected = (ahead.evaluations + 120) * 0.01 + ahead.proposals * 0.1
    assert ahead.cost_usd == pytest.approx(expected)
    assert ahead.warning == ""
    assert "Too little budget to find 10 points" in forecast(Budget(60), 60).warning
    assert forecast(Budget(1200, cost_usd=1.0), 60, 0.0, 0.01).cost_usd == pytest.approx(2.2)
