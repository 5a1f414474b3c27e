"""Measure certificates on recorded judges: validity, labels, intervals, replay, skips.

python benchmarks/judging/measure.py DATA_FOLDER --repeats 200
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, median

import numpy as np
from pools import Pool, demo_pools, read_pools
from simulation import NEVER, Audits, Repeats, run_audits

from kiln_mcp.statistics import (
    DrawnPair,
    Interval,
    Measure,
    PairStratum,
    agreement_strata,
    judge_estimates,
    share_estimate,
    unbiased_table,
)
from kiln_mcp.statistics.audit_paths import Floats
from kiln_mcp.statistics.scales import PASS_FAIL
from kiln_mcp.statistics.stratified_posterior import STOPPING_LEVEL

GAP = 0.05
HALF_WIDTH = 0.05
MOST_DRAWS = 500
CHECKED = (
    Measure.AGREEMENT,
    Measure.KAPPA,
    Measure.TRUE_PASS_RATE,
    Measure.TRUE_FAIL_RATE,
    Measure.BIAS,
    Measure.MEAN_ERROR,
    Measure.TAU_B,
)


@dataclass
class Row:
    """The figures of one judge."""

    judge: str
    items: int
    agreement: float
    best_ratio: float
    false_at_target: float
    false_one_point: float
    false_with_skips: float
    labels: float
    labels_even: float
    width_labels: float
    width_covers: float

    @property
    def ratio(self) -> float:
        return self.labels / self.labels_even


@dataclass
class NumberRow:
    """How one number fares under the draws."""

    judge: str
    labels: int
    number: str
    truth: float
    bias: float
    standard_error: float
    covers: float


def audit_row(pool: Pool, repeats: int, width_repeats: int) -> Row:
    m = pool.mean
    # A hair above the truth: false, and as near to it as a claim can be.
    claims = (m + 1e-6, m + 0.01, m - GAP)
    ours = run_audits(pool, Repeats(repeats, MOST_DRAWS, claims))
    even = run_audits(pool, Repeats(repeats, MOST_DRAWS, claims[2:], is_even=True, salt="even"))
    skips = run_audits(
        pool,
        Repeats(repeats, MOST_DRAWS, claims[:1], skipped_disagreements=0.5, salt="skips"),
    )
    labels, covers = width_stops(pool, width_repeats)
    return Row(
        judge=pool.name,
        items=sum(pool.sizes),
        agreement=m,
        best_ratio=pool.best_ratio,
        false_at_target=share_of(ours.certified[0]),
        false_one_point=share_of(ours.certified[1]),
        false_with_skips=share_of(skips.certified[0]),
        labels=float(np.median(ours.certified[2])),
        labels_even=float(np.median(even.certified[0])),
        width_labels=labels,
        width_covers=covers,
    )


def share_of(certified: Floats) -> float:
    return float((certified < NEVER).mean())


def width_stops(pool: Pool, repeats: int) -> tuple[float, float]:
    """Stop once the interval is narrow enough, looking every 10 labels; median and coverage."""
    looks = tuple(range(30, min(MOST_DRAWS, sum(pool.sizes)) + 1, 10))
    audits = run_audits(pool, Repeats(repeats, MOST_DRAWS, checkpoints=looks, salt="width"))
    stops: list[int] = []
    covered = 0
    for repeat in range(repeats):
        for look in looks:
            labels, right = (part[repeat].astype(int).tolist() for part in audits.counts[look])
            strata = agreement_strata(pool.sizes, labels, right, pool.priors)
            interval = share_estimate(strata, STOPPING_LEVEL, seed=repeat).interval
            assert isinstance(interval, Interval)
            if interval.width / 2 <= HALF_WIDTH or look == looks[-1]:
                stops.append(look)
                covered += pool.mean in interval
                break
    return median(stops), covered / repeats


def number_rows(pool: Pool, labels: int, repeats: int) -> list[NumberRow]:
    whole = [
        PairStratum(size, _pairs(stratum.verdict or 0.0, size, hits), stratum.verdict)
        for size, hits, stratum in zip(pool.sizes, pool.agreements, pool.strata, strict=True)
    ]
    truth = judge_estimates(whole, PASS_FAIL).measures
    audits = run_audits(pool, Repeats(repeats, labels, checkpoints=(labels,), salt="numbers"))
    drawn, right = audits.counts[labels]
    values: dict[Measure, list[float]] = {measure: [] for measure in CHECKED}
    covered = dict.fromkeys(CHECKED, 0)
    verdicts = [{stratum.verdict or 0.0: len(stratum.items)} for stratum in pool.strata]
    for repeat in range(repeats):
        strata = [
            PairStratum(size, _pairs(stratum.verdict or 0.0, int(n), int(s)), stratum.verdict)
            for size, stratum, n, s in zip(
                pool.sizes, pool.strata, drawn[repeat], right[repeat], strict=True
            )
        ]
        table = unbiased_table(verdicts, PASS_FAIL, _draws(pool, audits, repeat))
        estimates = judge_estimates(strata, PASS_FAIL, seed=repeat, table=table).measures
        for measure in CHECKED:
            estimate, true = estimates[measure], truth[measure].value
            if isinstance(estimate.value, float) and isinstance(true, float):
                values[measure].append(estimate.value)
                covered[measure] += isinstance(estimate.interval, Interval) and (
                    true in estimate.interval
                )
    return [
        NumberRow(
            judge=pool.name,
            labels=labels,
            number=measure,
            truth=float(truth[measure].value),  # pyright: ignore[reportArgumentType]
            bias=fmean(own) - float(truth[measure].value),  # pyright: ignore[reportArgumentType]
            standard_error=float(np.std(own) / len(own) ** 0.5),
            covers=covered[measure] / len(own),
        )
        for measure, own in values.items()
        if own
    ]


def _draws(pool: Pool, audits: Audits, repeat: int) -> list[DrawnPair]:
    draws: list[DrawnPair] = []
    for strata, chances, outcomes in audits.draws:
        place = int(strata[repeat])
        verdict = pool.strata[place].verdict or 0.0
        label = verdict if outcomes[repeat] else 1 - verdict
        draws.append(DrawnPair(place, float(chances[repeat]), verdict, label))
    return draws


def _pairs(verdict: float, count: int, right: int) -> list[tuple[float, float]]:
    return [(verdict, verdict)] * right + [(verdict, 1 - verdict)] * (count - right)


def print_audits(rows: Sequence[Row], repeats: int) -> None:
    print(
        "| judge | items | agreement | best ratio | false at target | 1 point | skips | "
        "labels | even | ratio | ± .05 | covers |"
    )
    print("|" + "---|" * 12)
    for r in rows:
        print(
            f"| {r.judge} | {r.items} | {r.agreement:.3f} | {r.best_ratio:.2f} | "
            f"{r.false_at_target:.3f} | {r.false_one_point:.3f} | {r.false_with_skips:.3f} | "
            f"{r.labels:.0f} | {r.labels_even:.0f} | {r.ratio:.2f} | {r.width_labels:.0f} | "
            f"{r.width_covers:.3f} |"
        )
    most = 0.05 + 2 * (0.05 * 0.95 / repeats) ** 0.5
    at_target = fmean(r.false_at_target for r in rows)
    print(
        f"\nFalse at the target: mean {at_target:.3f}, most "
        f"{max(r.false_at_target for r in rows):.3f} (bar {most:.3f}); one point under: mean "
        f"{fmean(r.false_one_point for r in rows):.3f}; with skips: most "
        f"{max(r.false_with_skips for r in rows):.3f}."
    )
    easy = [r.ratio for r in rows if r.best_ratio <= 0.45 and r.labels_even < MOST_DRAWS]
    if easy:
        print(
            f"Labels where the best ratio is at most .45: {min(easy):.2f} to {max(easy):.2f} "
            f"of even, median {median(easy):.2f} ({len(easy)} judges)."
        )
    others = [r.ratio for r in rows if r.labels_even < MOST_DRAWS]
    print(f"Labels of all: at most {max(others):.2f} of even, median {median(others):.2f}.")
    print(
        f"± .05: covers {min(r.width_covers for r in rows):.3f} at least, "
        f"{fmean(r.width_covers for r in rows):.3f} on the mean."
    )


def print_numbers(rows: Sequence[NumberRow]) -> None:
    print("\n| judge | labels | number | truth | bias | bias in SE | covers |\n|" + "---|" * 7)
    for r in rows:
        print(
            f"| {r.judge} | {r.labels} | {r.number} | {r.truth:.3f} | {r.bias:+.4f} | "
            f"{abs(r.bias) / max(r.standard_error, 1e-12):.1f} | {r.covers:.3f} |"
        )
    print()
    for labels in sorted({r.labels for r in rows}):
        own = [r for r in rows if r.labels == labels]
        print(
            f"{labels} labels: covers {min(r.covers for r in own):.3f} at least, "
            f"{fmean(r.covers for r in own):.3f} on the mean; below .93: "
            f"{sum(r.covers < 0.93 for r in own)} of {len(own)}."
        )
    far = sum(abs(r.bias) > 2 * r.standard_error for r in rows)
    print(f"Biased by more than 2 SE: {far} of {len(rows)} numbers; 1 in 22 is chance.")


def print_demo(file: Path, repeats: int) -> None:
    certified = [
        share_of(run_audits(pool, Repeats(repeats, 34, (0.85,))).certified[0])
        for pool in demo_pools(file)
    ]
    print(f"\nThe demo's ten judges: certified at .85 in {max(certified):.3f} of audits at most.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="The folder with the recorded judges.")
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--width-repeats", type=int, default=50)
    parser.add_argument("--number-repeats", type=int, default=200)
    parser.add_argument(
        "--number-labels", type=int, nargs="+", default=[30, 60, 120], help="After so many labels."
    )
    parser.add_argument("--numbers-only", action="store_true", help="Measure no audits.")
    parser.add_argument("--pools", type=int, default=0, help="Take every n-th pool alone.")
    parser.add_argument("--json", type=Path, help="Where the figures go too.")
    options = parser.parse_args()
    started = time.process_time()
    pools = list(read_pools(options.data))[:: options.pools or 1]
    rows: list[Row] = []
    if not options.numbers_only:
        rows = [audit_row(pool, options.repeats, options.width_repeats) for pool in pools]
        print_audits(rows, options.repeats)
        print_demo(options.data / "kiln_demo_golden.csv", options.repeats)
    numbers = [
        row
        for pool in pools[:: max(1, len(pools) // 6)]
        for labels in options.number_labels
        for row in number_rows(pool, labels, options.number_repeats)
    ]
    print_numbers(numbers)
    print(f"\n{time.process_time() - started:.0f} s of CPU.")
    if options.json:
        content = {"audits": [*map(asdict, rows)], "numbers": [*map(asdict, numbers)]}
        options.json.write_text(json.dumps(content, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
