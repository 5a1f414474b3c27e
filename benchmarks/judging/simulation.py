"""Repeated audits of a pool whose labels are known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log
from zlib import crc32

import numpy as np

from kiln_mcp.statistics.audit_paths import AuditPaths, Floats, Integers
from pools import Pool

THRESHOLD = log(20)
NEVER = 10**9


@dataclass(frozen=True)
class Audits:
    """What repeated audits came to.

    Attributes:
        certified: The labels after which each claim was certified, by claim and repeat.
        counts: Labels and agreements by repeat and stratum, after so many draws.
        draws: The draws in order: by repeat the stratum, its probability, and the agreement.
    """

    certified: Floats
    counts: Mapping[int, tuple[Floats, Floats]]
    draws: Sequence[tuple[Integers, Floats, Floats]]


def run_audits(
    pool: Pool,
    claims: Sequence[float],
    repeats: int,
    most: int,
    *,
    is_even: bool = False,
    skipped_disagreements: float = 0.0,
    checkpoints: Sequence[int] = (),
    salt: str = "",
) -> Audits:
    """Audit a pool many times, with a look after every label.

    Args:
        is_even: Whether every item is as likely: one stratum.
        skipped_disagreements: The share of disagreements that the person passes over.
        salt: Tells runs over the same pool apart; each has its own random numbers.
    """
    draw = np.random.default_rng(crc32(f"{pool.name} {salt}".encode()))
    sizes, hits, priors = pool.sizes, pool.agreements, pool.priors
    if is_even:
        total = sum(sizes)
        prior = sum(s * p for s, p in zip(sizes, priors, strict=True)) / total
        sizes, hits, priors = (total,), (sum(hits),), (prior,)
    paths = AuditPaths(sizes, priors, claims, repeats)
    right: Floats = np.tile(np.asarray(hits, dtype=np.float64), (repeats, 1))
    rows = np.arange(repeats)
    certified = np.full((len(claims), repeats), NEVER, dtype=np.float64)
    counts: dict[int, tuple[Floats, Floats]] = {}
    draws: list[tuple[Integers, Floats, Floats]] = []
    needed = np.asarray(claims)[:, None] * sum(sizes) - 1e-9
    for step in range(1, min(most, sum(sizes)) + 1):
        chances = paths.probabilities()
        strata = paths.draw_strata(draw, chances)
        agrees = draw.random(repeats) * paths.left[rows, strata] < right[rows, strata]
        outcome = agrees.astype(np.float64)
        right[rows, strata] -= outcome
        is_skipped = ~agrees & (draw.random(repeats) < skipped_disagreements)
        is_label = (~is_skipped).astype(np.float64)
        paths.observe(strata, outcome, np.maximum(outcome, is_skipped), is_label, chances)
        is_shown = (paths.log_evidence[0].T >= THRESHOLD) | (paths.agreement_bounds[0][None, :] >= needed)
        certified = np.where(is_shown & (certified == NEVER), step, certified)
        draws.append((strata, chances[rows, strata], outcome))
        if step in checkpoints:
            counts[step] = paths.labels.copy(), paths.agreements.copy()
    return Audits(certified, counts, draws)
