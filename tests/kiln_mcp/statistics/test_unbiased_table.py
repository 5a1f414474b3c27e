import random
from statistics import fmean, stdev

import pytest

from kiln_mcp.statistics import AuditDesign, DrawnPair, draw_probabilities, unbiased_table
from kiln_mcp.statistics.scales import PASS_FAIL

SIZES, HITS, PRIORS = (30, 20, 40), (27, 9, 28), (0.9, 0.5, 0.8)
VERDICTS = (1.0, 1.0, 0.0)


def audit(draw: random.Random, labels: int) -> list[DrawnPair]:
    """Draw as an audit draws, by what earlier labels said."""
    left, right = list(SIZES), list(HITS)
    seen, agreeing = [0] * 3, [0] * 3
    draws: list[DrawnPair] = []
    for _ in range(labels):
        chances = draw_probabilities(AuditDesign(SIZES, PRIORS), left, seen, agreeing)
        (k,) = draw.choices(range(3), weights=chances)
        agrees = draw.random() * left[k] < right[k]
        draws.append(
            DrawnPair(k, chances[k], VERDICTS[k], VERDICTS[k] if agrees else 1 - VERDICTS[k])
        )
        left[k] -= 1
        right[k] -= agrees
        seen[k] += 1
        agreeing[k] += agrees
    return draws


def agreement(draws: list[DrawnPair]) -> float:
    pool = [{verdict: size} for verdict, size in zip(VERDICTS, SIZES, strict=True)]
    table = unbiased_table(pool, PASS_FAIL, draws)
    assert sum(table.values()) == pytest.approx(1)
    passes = sum(share for (verdict, _), share in table.items() if verdict == 1)
    assert passes == pytest.approx(50 / 90), "the judge's verdicts are known"
    return sum(share for (verdict, label), share in table.items() if verdict == label)


def test_the_mean_over_repeats_is_the_truth_although_labels_steer_the_draws() -> None:
    draw = random.Random(3)
    values = [agreement(audit(draw, 25)) for _ in range(300)]
    error = stdev(values) / len(values) ** 0.5
    assert abs(fmean(values) - sum(HITS) / sum(SIZES)) < 2.5 * error


def test_a_pool_drawn_nearly_whole_is_known_nearly_exactly() -> None:
    assert agreement(audit(random.Random(5), 89)) == pytest.approx(sum(HITS) / 90, abs=0.02)


def test_labels_that_all_agree_are_an_agreement_of_one() -> None:
    draws = [DrawnPair(n % 3, 1 / 3, VERDICTS[n % 3], VERDICTS[n % 3]) for n in range(12)]
    assert agreement(draws) == pytest.approx(1)


def test_a_table_needs_a_draw() -> None:
    with pytest.raises(ValueError, match="at least one draw"):
        unbiased_table([{1.0: 4}], PASS_FAIL, [])
