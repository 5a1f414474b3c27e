"""Repeated audits of a pool whose labels are known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log
from zlib import crc32

import numpy as np
from pools import Pool

from kiln_mcp.statistics.audit_paths import AuditPaths, Floats, Integers

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


@dataclass(frozen=True)
class Repeats:
    """How a pool is audited.

    Attributes:
        count: How often.
        draws: The most draws of one audit.
        claims: The claims that are tracked.
        is_even: Whether every item is as likely: one stratum.
        skipped_disagreements: The share of disagreements that the person passes over.
        checkpoints: The draws after which labels are counted.
        salt: Tells runs over the same pool apart; each has its own random numbers.
    """

    count: int
    draws: int
    claims: Sequence[float] = ()
    is_even: bool = False
    skipped_disagreements: float = 0.0
    checkpoints: Sequence[int] = ()
    salt: str = ""


def run_audits(pool: Pool, repeats: Repeats) -> Audits:
    """Audit a pool many times, with a look after every label."""
    claims, count = repeats.claims, repeats.count
    draw = np.random.default_rng(crc32(f"{pool.name} {repeats.salt}".encode()))
    sizes, hits, priors = pool.sizes, pool.agreements, pool.priors
    if repeats.is_even:
        total = sum(sizes)
        prior = sum(s * p for s, p in zip(sizes, priors, strict=True)) / total
        sizes, hits, priors = (total,), (sum(hits),), (prior,)
    paths = AuditPaths(sizes, priors, claims, count)
    right: Floats = np.tile(np.asarray(hits, dtype=np.float64), (count, 1))
    rows = np.arange(count)
    certified = np.full((len(claims), count), NEVER, dtype=np.float64)
    counts: dict[int, tuple[Floats, Floats]] = {}
    draws: list[tuple[Integers, Floats, Floats]] = []
    needed = np.asarray(claims)[:, None] * sum(sizes) - 1e-9
    for step in range(1, min(repeats.draws, sum(sizes)) + 1):
        chances = paths.probabilities()
        strata = paths.draw_strata(draw, chances)
        agrees = draw.random(count) * paths.left[rows, strata] < right[rows, strata]
        outcome = agrees.astype(np.float64)
        right[rows, strata] -= outcome
        is_skipped = ~agrees & (draw.random(count) < repeats.skipped_disagreements)
        is_label = (~is_skipped).astype(np.float64)
        paths.observe(strata, outcome, np.maximum(outcome, is_skipped), is_label, chances)
        is_sure = paths.agreement_bounds[0][None, :] >= needed
        is_shown = (paths.log_evidence[0].T >= THRESHOLD) | is_sure
        certified = np.where(is_shown & (certified == NEVER), step, certified)
        draws.append((strata, chances[rows, strata], outcome))
        if step in repeats.checkpoints:
            counts[step] = paths.labels.copy(), paths.agreements.copy()
    return Audits(certified, counts, draws)
