import random
from math import log
from statistics import median

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiln_mcp.statistics import (
    AuditDesign,
    AuditResult,
    audit_standing,
    draw_probabilities,
    prior_of,
)
from kiln_mcp.statistics.audit_paths import AuditPaths

DESIGN = AuditDesign(sizes=(40, 25, 35), priors=(0.9, 0.6, 0.5))
CLAIM = 0.7


def results_of(
    seed: int, count: int, shares: tuple[float, ...] = (0.95, 0.6, 0.7)
) -> list[AuditResult]:
    """Return the results of draws in their order, drawn as an audit draws them."""
    draw = random.Random(seed)
    left, labels, right = list(DESIGN.sizes), [0] * 3, [0] * 3
    results: list[AuditResult] = []
    for _ in range(count):
        chances = draw_probabilities(DESIGN, left, labels, right)
        (k,) = draw.choices(range(3), weights=chances)
        agrees = draw.random() < shares[k]
        results.append(AuditResult(k, chances, agrees))
        left[k] -= 1
        labels[k] += 1
        right[k] += agrees
    return results


def specified_evidence(results: list[AuditResult], claim: float) -> tuple[float, float]:
    """Compute the capital for a claim and against it, item by item as the method is written."""
    total = sum(DESIGN.sizes)
    left, labels, right = list(DESIGN.sizes), [0] * 3, [0] * 3
    logs = [0.0, 0.0]
    for step, result in enumerate(results):
        alpha = [right[k] + 2 * DESIGN.priors[k] for k in range(3)]
        beta = [labels[k] - right[k] + 2 * (1 - DESIGN.priors[k]) for k in range(3)]
        share = [alpha[k] / (alpha[k] + beta[k]) for k in range(3)]
        expected = sum(left[k] * share[k] for k in range(3))
        rest = claim - sum(right) / total
        odds = [left[k] / p if left[k] else 0.0 for k, p in enumerate(result.probabilities)]
        values = [
            (
                (expected + (1 - share[k]) * odds[k]) / total,
                (expected - share[k] * odds[k]) / total,
            )
            for k in range(3)
        ]
        variance = sum(
            p * (odds[k] / total) ** 2 * share[k] * (1 - share[k])
            for k, p in enumerate(result.probabilities)
        )
        for direction, sign in enumerate((1, -1)):
            gains = [(sign * (a - rest), sign * (b - rest)) for a, b in values]
            open_gains = [gain for k, gain in enumerate(gains) if left[k]]
            worst = min(min(gain) for gain in open_gains)
            most = 0.75 / -worst if worst < 0 else 0.0
            chances = [
                (p * share[k] if x == 0 else p * (1 - share[k]), gains[k][x])
                for k, p in enumerate(result.probabilities)
                if left[k]
                for x in (0, 1)
            ]
            low, high = 0.0, most
            for _ in range(40):
                middle = (low + high) / 2
                slope = sum(weight * gain / (1 + middle * gain) for weight, gain in chances)
                low, high = (middle, high) if slope > 0 else (low, middle)
            kelly = low if sum(weight * gain for weight, gain in chances) > 0 else 0.0
            least = 1.5 * (variance / (step + 10)) ** 0.5
            stake = min(max(kelly, least / (variance + least**2)), most)
            logs[direction] += log(1 + stake * gains[result.stratum][0 if result.agrees else 1])
        left[result.stratum] -= 1
        labels[result.stratum] += 1
        right[result.stratum] += bool(result.agrees)
    return logs[0], logs[1]


@pytest.mark.parametrize("seed", range(4))
def test_the_evidence_is_that_of_the_written_method_to_nine_digits(seed: int) -> None:
    results = results_of(seed, 60)
    (claim,) = audit_standing(DESIGN, results, [CLAIM]).claims
    expected = specified_evidence(results, CLAIM)
    assert (claim.log_evidence, claim.log_counter_evidence) == pytest.approx(expected, abs=1e-9)


def test_the_limits_narrow_with_every_label_and_hold_the_mean() -> None:
    standing = audit_standing(DESIGN, results_of(3, 90))
    lows = [limits.low for limits in standing.steps]
    highs = [limits.high for limits in standing.steps]
    assert lows == sorted(lows)
    assert highs == sorted(highs, reverse=True)
    assert 0.6 < standing.limits.low < 0.76 < standing.limits.high < 0.9


def test_a_pool_labelled_whole_leaves_no_doubt() -> None:
    results = results_of(5, 100)
    standing = audit_standing(DESIGN, results)
    assert standing.limits.low == standing.limits.high == standing.agreements / 100
    claims = audit_standing(
        DESIGN, results, [standing.agreements / 100, standing.agreements / 100 + 0.01]
    ).claims
    assert [claim.certified_after is not None for claim in claims] == [True, False]
    assert claims[1].refuted_after is not None


def test_before_the_first_label_everything_is_possible() -> None:
    standing = audit_standing(DESIGN, [], [CLAIM])
    assert (standing.limits.low, standing.limits.high) == (0.0, 1.0)
    assert standing.claims[0].certified_after is None


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.sets(st.integers(0, 24), max_size=12))
def test_a_skip_is_a_disagreement_for_the_claim_and_an_agreement_against_it(
    seed: int, skipped: set[int]
) -> None:
    results = results_of(seed, 25)

    def instead(value: bool | None) -> list[AuditResult]:
        return [
            AuditResult(r.stratum, r.probabilities, value if n in skipped else r.agrees)
            for n, r in enumerate(results)
        ]

    skips, worst, best = (audit_standing(DESIGN, instead(v), [CLAIM]) for v in (None, False, True))
    assert skips.limits.low == worst.limits.low
    assert skips.limits.high == best.limits.high
    assert skips.claims[0].log_evidence == worst.claims[0].log_evidence
    assert skips.claims[0].log_counter_evidence == best.claims[0].log_counter_evidence
    assert skips.skips == len(skipped)


@pytest.mark.parametrize("seed", range(6))
def test_labels_that_are_taken_away_never_narrow_the_limits(seed: int) -> None:
    results, draw = results_of(seed, 60), random.Random(seed)
    fewer = [
        AuditResult(r.stratum, r.probabilities, None if draw.random() < 0.2 else r.agrees)
        for r in results
    ]
    labelled, with_skips = (audit_standing(DESIGN, own).limits for own in (results, fewer))
    assert with_skips.low <= labelled.low
    assert with_skips.high >= labelled.high


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(*[st.integers(0, 12)] * 3),
    st.tuples(*[st.integers(0, 20)] * 3),
    st.tuples(*[st.floats(0, 1)] * 3),
)
def test_every_item_left_has_at_least_three_tenths_of_an_even_chance(
    left: tuple[int, ...], labels: tuple[int, ...], shares: tuple[float, ...]
) -> None:
    if not any(left):
        with pytest.raises(ValueError, match="Every item"):
            draw_probabilities(DESIGN, left, labels, labels)
        return
    right = [round(count * share) for count, share in zip(labels, shares, strict=True)]
    chances = draw_probabilities(DESIGN, left, labels, right)
    assert sum(chances) == pytest.approx(1)
    for chance, items in zip(chances, left, strict=True):
        assert chance >= 0.3 * items / sum(left) - 1e-12
        assert (chance > 0) == (items > 0)


def test_a_result_that_does_not_fit_the_strata_is_refused() -> None:
    with pytest.raises(ValueError, match="stratum 3"):
        audit_standing(DESIGN, [AuditResult(3, (0.2, 0.3, 0.5), True)])
    with pytest.raises(ValueError, match="probability 0"):
        audit_standing(DESIGN, [AuditResult(1, (0.0, 0.5, 0.5), True)])
    with pytest.raises(ValueError, match="no item left"):
        audit_standing(AuditDesign((1, 1), (0.5, 0.5)), [AuditResult(0, (0.5, 0.5), True)] * 2)
    with pytest.raises(ValueError, match="at least one stratum"):
        AuditDesign((), ())
    with pytest.raises(ValueError, match="between 0 and 1"):
        AuditDesign((3,), (1.0,))


def test_a_prior_follows_the_panel_within_bounds() -> None:
    assert [prior_of(share) for share in (0.0, 0.3, 0.9)] == [0.95, 0.7, 0.5]


Numbers = tuple[int, ...]


def certified_after(
    sizes: Numbers, agreements: Numbers, priors: tuple[float, ...], claim: float, paths: int
) -> list[float]:
    """Return the labels after which audits of a pool certify a claim; infinity if they never do."""
    draw = np.random.default_rng(11)
    audits = AuditPaths(sizes, priors, (claim,), paths)
    right = np.tile(np.asarray(agreements, dtype=np.float64), (paths, 1))
    rows, certified = np.arange(paths), np.full(paths, np.inf)
    for count in range(1, sum(sizes) // 2):
        chances = audits.probabilities()
        strata = audits.draw_strata(draw, chances)
        hits = draw.random(paths) * audits.left[rows, strata] < right[rows, strata]
        outcomes = hits.astype(np.float64)
        audits.observe(strata, outcomes, outcomes, np.ones(paths), chances)
        right[rows, strata] -= outcomes
        is_over = (audits.log_evidence[0, :, 0] >= log(20)) & np.isinf(certified)
        certified[is_over] = count
    return certified.tolist()


def share_certified(agreements: Numbers, claim: float, paths: int) -> float:
    """Return the share of audits of one pool that certify a claim."""
    labels = certified_after((150, 60, 40), agreements, (0.9, 0.7, 0.5), claim, paths)
    return sum(np.isfinite(labels)) / paths


def test_a_false_claim_is_certified_in_one_of_twenty_audits_at_most() -> None:
    """The truth lies just below the claim, and everybody looks after each label."""
    rate = share_certified((135, 42, 20), claim=198 / 250, paths=300)
    assert rate <= 0.05 + 2 * (0.05 * 0.95 / 300) ** 0.5


def test_a_true_claim_is_certified_mostly() -> None:
    assert share_certified((148, 55, 30), claim=0.85, paths=100) > 0.8


@pytest.mark.slow
def test_a_panel_that_differs_where_the_judge_errs_saves_more_than_half_of_the_labels() -> None:
    """The best allocation over these strata takes .31 of the labels of an even draw."""
    claim = 884 / 1000 - 0.05
    audited = certified_after((800, 200), (792, 92), (0.95, 0.5), claim, 150)
    even = certified_after((1000,), (884,), (0.86,), claim, 150)
    assert median(audited) < 0.5 * median(even)
