"""The published numbers of Kiln's demo project, to the digits that were published."""

import csv
from pathlib import Path

import pytest

from kiln_mcp.statistics import (
    AuditDesign,
    AuditResult,
    CannotTell,
    Interval,
    Measure,
    PairStratum,
    audit_standing,
    best_constant_answer,
    cohens_kappa,
    holm,
    judge_estimates,
    kappa_interval,
    kendall_tau_b,
    mcnemar_exact,
    mean_absolute_error,
    mean_squared_error,
    pearson,
    scale_of,
    spearman,
)

GOLDEN = Path(__file__).parents[2] / "data" / "kiln_demo" / "golden.csv"
PUBLISHED = {
    "122666264012": (0.0185, 0.0185, 0.0185, 0.6176, 0.6176),
    "166263142232": (-0.3105, -0.3105, -0.3105, 0.6471, 0.6471),
    "208184026334": (-0.1387, -0.1387, -0.1387, 0.6765, 0.6765),
    "235154968279": (-0.1415, -0.1557, -0.1707, 0.6471, 0.6471),
    "238750447320": (-0.1387, -0.1387, -0.1387, 0.5588, 0.5588),
    "253553667211": (-0.1716, -0.1716, -0.1716, 0.5882, 0.5882),
    "260030047966": (-0.1231, -0.1484, -0.1195, 0.4706, 0.4706),
    "328450355429": (-0.0084, -0.0084, -0.0084, 0.4412, 0.4412),
    "622735165486": (0.0872, 0.0872, 0.0872, 0.5588, 0.5588),
    "794675147392": (0.1110, 0.1110, 0.1110, 0.6176, 0.6176),
}
DEFAULT_JUDGE = "328450355429"


def scores_of(judge: str) -> tuple[list[float], list[float]]:
    """Return the judge's scores and the person's labels, item by item."""
    with GOLDEN.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["judge_id"] == judge]
    rows.sort(key=lambda row: row["item"])
    return [float(row["judge_score"]) for row in rows], [float(row["human"]) for row in rows]


@pytest.mark.parametrize("judge", PUBLISHED)
def test_correlations_and_distances_are_the_published_ones(judge: str) -> None:
    judged, labelled = scores_of(judge)
    measures = (kendall_tau_b, spearman, pearson, mean_squared_error, mean_absolute_error)
    found = tuple(measure(judged, labelled) for measure in measures)
    assert found == pytest.approx(PUBLISHED[judge], abs=6e-5)


def test_the_default_judge_has_the_published_kappa_and_rates() -> None:
    judged, labelled = scores_of(DEFAULT_JUDGE)
    assert cohens_kappa(judged, labelled) == pytest.approx(-0.008, abs=5e-4)
    interval = kappa_interval(judged, labelled)
    assert isinstance(interval, Interval)
    assert (interval.low, interval.high) == pytest.approx((-0.31, 0.32), abs=0.05)
    strata = [PairStratum(34, list(zip(judged, labelled, strict=True)))]
    measures = judge_estimates(strata, scale_of("pass_fail")).measures
    assert measures[Measure.TRUE_PASS_RATE].value == pytest.approx(0.615, abs=5e-4)
    assert measures[Measure.TRUE_FAIL_RATE].value == pytest.approx(0.375, abs=5e-4)


@pytest.mark.parametrize("judge", PUBLISHED)
def test_no_judge_beats_the_constant_answer_or_chance(judge: str) -> None:
    judged, labelled = scores_of(judge)
    best = best_constant_answer(labelled)
    assert best.agreement == pytest.approx(26 / 34)
    assert 1 - mean_absolute_error(judged, labelled) < best.agreement
    verdicts = [score >= 0.5 for score in judged]
    kappa = cohens_kappa(verdicts, [score >= 0.5 for score in labelled])
    assert not isinstance(kappa, CannotTell)
    assert kappa < 0.06


def test_no_judge_differs_significantly_from_the_default_one() -> None:
    default, labelled = scores_of(DEFAULT_JUDGE)
    right = [(s >= 0.5) == (h >= 0.5) for s, h in zip(default, labelled, strict=True)]
    p_values: list[float] = []
    for judge in PUBLISHED:
        judged, _ = scores_of(judge)
        other = [(s >= 0.5) == (h >= 0.5) for s, h in zip(judged, labelled, strict=True)]
        pairs = list(zip(right, other, strict=True))
        p_values.append(mcnemar_exact(pairs.count((True, False)), pairs.count((False, True))))
    assert min(p_values) == pytest.approx(0.065, abs=1e-3)
    assert min(holm(p_values)) > 0.5


@pytest.mark.parametrize("judge", PUBLISHED)
def test_the_whole_golden_set_certifies_no_judge_at_85_percent(judge: str) -> None:
    judged, labelled = scores_of(judge)
    agreements = [(s >= 0.5) == (h >= 0.5) for s, h in zip(judged, labelled, strict=True)]
    results = [AuditResult(0, (1.0,), agrees) for agrees in agreements]
    standing = audit_standing(AuditDesign((34,), (0.9,)), results, [0.85])
    assert standing.claims[0].certified_after is None, "at no look"
