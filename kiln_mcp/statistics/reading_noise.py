"""Explanations of readings' disagreement by noise, and how well they fit.

This module imports numpy, which is slow. Import it where it is called.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import erfc, sqrt
from typing import Final

import numpy as np

from kiln_mcp.statistics.interval import Interval
from kiln_mcp.statistics.reading_tables import PairTable, ReadingTable, pair_table
from kiln_mcp.statistics.verdict_tables import Floats

DEALS: Final = 999
"""Deals of a permutation test."""
MODELLED_PANELS: Final = 400
WEIGHTINGS: Final = 1_000
"""Draws of the Bayesian bootstrap over items."""
FEWEST_OTHER_CLAUSES: Final = 3
"""Other clauses from which on their median shows what the panel always disagrees on."""
_PRIOR_ITEMS: Final = 0.5
_PRIOR_EXCESS: Final = 0.25
_PRIOR_REPEATS: Final = 2.0
_LEAST_SPLIT: Final = 0.25
_LEAST_SKEWNESS: Final = 1e-3
_LEAST_SPREAD: Final = 1e-9


@dataclass(frozen=True, slots=True)
class ClauseEvidence:
    """What the verdicts of one clause show; see `ClauseAmbiguity`.

    Attributes:
        clause: The clause's id.
        readings: Readings with verdicts.
        items: Items that two readings judged.
        repeats: Verdicts of a reading on an item, where it has any, on average.
        disagreement: How often verdicts of two readings differ.
        noise: How often two verdicts of one reading differ; None without repeats.
        excess: The disagreement beyond both noise and the floor of the panel.
        interval: Of the excess.
        p_value: Of the best explanation by noise.
        splits: The items on which readings differ, the most first.
    """

    clause: str
    readings: int
    items: int
    repeats: int
    disagreement: float
    noise: float | None
    excess: float
    interval: Interval
    p_value: float
    splits: Sequence[str]


def clause_evidence(table: ReadingTable, seed: int) -> list[ClauseEvidence]:
    """Return the evidence on each clause, in the table's order."""
    pairs = pair_table(table)
    if not table.pairs:
        return [_no_evidence(table, place) for place in range(len(table.clauses))]
    draw = np.random.default_rng(seed)
    excesses = _above_floor(pairs, draw)
    return [_evidence(table, pairs, place, excess, draw) for place, excess in enumerate(excesses)]


def _no_evidence(table: ReadingTable, place: int) -> ClauseEvidence:
    return ClauseEvidence(
        table.clauses[place], 1, 0, 0, 0.0, None, 0.0, Interval(0.0, 1.0), 1.0, ()
    )


def _evidence(
    table: ReadingTable,
    pairs: PairTable,
    place: int,
    excess: "_Excess",
    draw: np.random.Generator,
) -> ClauseEvidence:
    own = table.clause(place)
    weights = pairs.weights[place]
    total = max(float(weights.sum()), 1.0)
    value = excess.value
    has_repeats = bool((own.counts > 1).any())
    p_value = 1.0
    if has_repeats and value > 0:
        p_value = _chance(own, draw)
        if len(table.clauses) > 1:
            p_value = max(p_value, excess.p_value)
        if len(table.clauses) <= FEWEST_OTHER_CLAUSES:
            p_value = max(p_value, _weak_reading(own, draw))
    return ClauseEvidence(
        clause=table.clauses[place],
        readings=int((own.counts.sum(axis=(0, 1)) > 0).sum()),
        items=int((weights.sum(axis=1) > 0).sum()),
        repeats=_mean_repeats(own),
        disagreement=float(pairs.disagreements[place].sum()) / total,
        noise=float(pairs.noise[place].sum()) / total if has_repeats else None,
        excess=value,
        interval=excess.interval,
        p_value=p_value,
        splits=_splits(table, pairs, place),
    )


def _mean_repeats(own: ReadingTable) -> int:
    counts = own.counts[own.counts > 0]
    return round(float(counts.mean())) if len(counts) else 0


def _splits(table: ReadingTable, pairs: PairTable, place: int) -> list[str]:
    """Return the items on which readings differ beyond their noise, the most first."""
    weights = pairs.weights[place].sum(axis=1)
    scores = pairs.excess[place].sum(axis=1) / np.maximum(weights, 1)
    shares = table.shares[place]
    spread = np.nanmax(np.nan_to_num(shares, nan=-1), axis=1) - np.nanmin(
        np.nan_to_num(shares, nan=2), axis=1
    )
    order = np.argsort(-scores, kind="stable")
    return [table.items[int(n)] for n in order if scores[n] > 0 and spread[n] > _LEAST_SPLIT]


@dataclass(frozen=True, slots=True)
class _Excess:
    """A clause's disagreement beyond noise and floor, its interval, and the p-value of none."""

    value: float
    interval: Interval
    p_value: float


def _above_floor(pairs: PairTable, draw: np.random.Generator) -> list[_Excess]:
    """Return each clause's excess above its floor.

    How far chance moves a clause above its floor is read from the spread of the other clauses.
    """
    size = pairs.weights.shape[1]
    weights = draw.standard_exponential((WEIGHTINGS, size))
    prior = draw.standard_gamma(_PRIOR_ITEMS, (WEIGHTINGS, 1, 1))
    means = _weighted(pairs, np.ones((1, size)), np.zeros((1, 1, 1)))
    drawn = _weighted(pairs, weights, prior)
    sizes = pairs.weights.sum(axis=1)
    drawn_floors = _floors(drawn, sizes)
    values = (_over_pairs(means, sizes) - _floors(means, sizes))[0]
    excesses = _over_pairs(drawn, sizes) - drawn_floors
    chance = _chance_spreads(pairs, _over_pairs(means, sizes)[0], _over_pairs(drawn, sizes))
    floor_spreads = drawn_floors.var(axis=0)
    results: list[_Excess] = []
    for place, value in enumerate(values.tolist()):
        low, high = np.quantile(excesses[:, place], [0.025, 0.975])
        interval = Interval(min(float(low), value), max(float(high), value))
        variance, skewness = chance[place]
        p_value = _upper_tail(value, variance + float(floor_spreads[place]), skewness)
        results.append(_Excess(value, interval, p_value))
    return results


def _chance_spreads(pairs: PairTable, values: Floats, drawn: Floats) -> list[tuple[float, float]]:
    """Return the variance and skewness that chance gives each clause's excess.

    They are those of the other clauses: of their items, or of the clauses themselves if those
    differ more than their items explain.
    """
    by_item = pairs.excess.sum(axis=2) / np.maximum(pairs.weights.sum(axis=2), 1)
    deviations = by_item - by_item.mean(axis=1, keepdims=True)
    variances, thirds = (deviations**2).mean(axis=1), (deviations**3).mean(axis=1)
    spreads = drawn.var(axis=0)
    results: list[tuple[float, float]] = []
    for place in range(len(values)):
        other_values = np.delete(values, place)
        if not len(other_values):
            results.append((0.0, 0.0))
            continue
        between = (1.4826 * float(np.median(abs(other_values - np.median(other_values))))) ** 2
        within = float(np.delete(spreads, place).mean())
        scale = max(float(np.delete(variances, place).mean()), 1e-12) ** 1.5
        skewness = float(np.delete(thirds, place).mean()) / scale / sqrt(by_item.shape[1])
        results.append((max(within, between), skewness))
    return results


def _weighted(pairs: PairTable, weights: Floats, prior: Floats) -> Floats:
    """Return the mean excess by weighting, clause and pair."""
    sums = np.einsum("bi,cip->bcp", weights, pairs.excess) + prior * _PRIOR_EXCESS
    totals = np.einsum("bi,cip->bcp", weights, pairs.weights) + prior
    return np.where(totals > 0, sums / np.maximum(totals, 1e-12), np.nan)


def _floors(means: Floats, sizes: Floats) -> Floats:
    """Return the floor of each clause by weighting: what the panel disagrees on elsewhere.

    It is taken pair by pair, so that a weak reading counts, and as a whole, since the middle of
    rare disagreements of a pair lies below their mean. The higher one counts.
    """
    totals = _over_pairs(means, sizes)
    floors = np.zeros_like(totals)
    for place in range(means.shape[1] if means.shape[1] > 1 else 0):
        by_pair = _usual_of_others(np.nan_to_num(means), place)
        pair_sizes = sizes[place]
        by_pair = (by_pair * pair_sizes).sum(axis=1) / max(float(pair_sizes.sum()), 1.0)
        floors[:, place] = np.maximum(by_pair, _usual_of_others(totals, place))
    return floors


def _usual_of_others(means: Floats, place: int) -> Floats:
    """Return the median over the other clauses, or the lowest of few; 0 at least."""
    rest = np.delete(means, place, axis=1)
    if rest.shape[1] < FEWEST_OTHER_CLAUSES:
        return np.maximum(0.0, rest.min(axis=1))
    return np.maximum(0.0, np.median(rest, axis=1))


def _over_pairs(means: Floats, sizes: Floats) -> Floats:
    """Return the mean over pairs by weighting and clause; pairs count by their items."""
    return (np.nan_to_num(means) * sizes).sum(axis=2) / np.maximum(sizes.sum(axis=1), 1.0)


def _upper_tail(value: float, variance: float, skewness: float) -> float:
    """Return the upper tail of Pearson's distribution III with a mean of 0.

    Source:
        Wilson and Hilferty (1931), The Distribution of Chi-Square: the cube root is normal.
    """
    z = value / max(sqrt(variance), 1e-12)
    if skewness > _LEAST_SKEWNESS:
        root = max(1 + skewness * z / 2, 0.0) ** (1 / 3)
        z = 6 / skewness * (root - 1) + skewness / 6
    return 0.5 * erfc(z / sqrt(2))


def _chance(own: ReadingTable, draw: np.random.Generator) -> float:
    """Return how often verdicts that are dealt to the readings once more disagree as much."""
    is_mixed = (own.passes[0].sum(axis=1) % own.counts[0].sum(axis=1).clip(1)) > 0
    counts, passes = own.counts[0][is_mixed].astype(int), own.passes[0][is_mixed]
    if not len(counts):
        return 1.0
    deals = [
        draw.multivariate_hypergeometric(count, int(hits.sum()), DEALS)
        for count, hits in zip(counts, passes, strict=True)
    ]
    return _share_above(np.stack(deals, axis=1).astype(float), passes, counts.astype(float))


def _share_above(deals: Floats, passes: Floats, counts: Floats) -> float:
    """Return the share of panels that part their readings as much as the observed one.

    Three numbers count alike, each by its spread over the panels: the disagreement beyond noise,
    how rarely repeats of a reading differ, and how far the readings part along one line, which a
    pattern over several items makes large.

    Args:
        deals: Passes by panel, item and reading.
        passes: The observed passes.
        counts: The verdicts of each item and reading.
    """
    panels = np.concatenate([passes[None], deals])
    shares = panels / np.maximum(counts, 1)
    repeats = -(panels * (counts - panels)).sum(axis=(1, 2))
    return _share_of_first([excess_of(panels, counts), repeats, _main_axis(shares, counts)])


def _share_of_first(numbers: Sequence[Floats]) -> float:
    """Return the share of panels whose sum of numbers is at least that of the first panel.

    Each number counts by its spread over the panels; one without spread does not count.
    """
    spread = [number for number in numbers if number.std() > _LEAST_SPREAD]
    total = sum(((n - n.mean()) / n.std() for n in spread), np.zeros_like(numbers[0]))
    return float((total >= total[0] - 1e-9).mean())


def excess_of(panels: Floats, counts: Floats) -> Floats:
    """Return the sum of the disagreement beyond noise over items and pairs of readings, by panel.

    It is that of `PairTable.excess`, from sums over readings: the pairs of many panels are slow.
    """
    is_judged = (counts > 0).astype(float)
    other_counts = is_judged.sum(axis=1, keepdims=True) - 1
    shares = panels / np.maximum(counts, 1)
    pair_counts = counts * (counts - 1) / 2
    differing = panels * (counts - panels)
    usual = differing.sum(axis=(1, 2)) / max(float(pair_counts.sum()), 1.0)
    noise = np.where(pair_counts > 0, differing / np.maximum(pair_counts, 1), usual[:, None, None])
    sums, squares = shares.sum(axis=2), (shares**2).sum(axis=2)
    disagreements = (other_counts * is_judged * shares).sum(axis=2) - (sums**2 - squares)
    return (disagreements - (other_counts * is_judged * noise).sum(axis=2) / 2).sum(axis=1)


def _main_axis(shares: Floats, counts: Floats) -> Floats:
    """Return the largest eigenvalue of the readings' deviations from their items, by panel."""
    weights = (counts > 0).astype(float)
    usual = (shares * weights).sum(axis=2) / np.maximum(weights.sum(axis=1), 1)
    deviations = (shares - usual[..., None]) * weights
    products = np.einsum("bir,bis->brs", deviations, deviations)
    return np.linalg.eigvalsh(products)[:, -1].astype(np.float64)


def _weak_reading(own: ReadingTable, draw: np.random.Generator) -> float:
    """Return how often one truth, and flips at each reading's own rates, disagree as much.

    A reading's rates are those at which its repeats differ, on outputs that most verdicts pass and
    on those that they fail. So an opinion that a reading repeats is not taken for its noise.
    """
    passes, counts = own.passes[0], own.counts[0]
    truth = _majority(own)
    rates = np.where(
        draw.random((MODELLED_PANELS, len(truth), 1)) < truth[None, :, None],
        1 - _flip_rates(own, truth),
        _flip_rates(own, 1 - truth),
    )
    shape = (MODELLED_PANELS, *passes.shape)
    drawn = draw.binomial(counts.astype(int), rates, shape).astype(float)
    return _share_above(drawn, passes, counts)


def _majority(own: ReadingTable) -> Floats:
    """Return the probability that each item passes, by all its verdicts."""
    rate = float(own.flip_rates()[0])
    votes = (2 * own.passes[0] - own.counts[0]).sum(axis=1)
    return 1 / (1 + np.exp(-np.clip(votes * np.log((1 - rate) / rate), -30, 30)))


def _flip_rates(own: ReadingTable, weights: Floats) -> Floats:
    """Return how often a verdict of each reading flips on items of these weights, by its repeats.

    Repeats differ with probability 2ε(1-ε), which is solved for ε. Few repeats are drawn to the
    rate of all readings together.
    """
    passes, counts = own.passes[0], own.counts[0]
    usual = float(own.flip_rates()[0])
    differing = weights @ (passes * (counts - passes)) + _PRIOR_REPEATS * 2 * usual * (1 - usual)
    total = weights @ (counts * (counts - 1) / 2) + _PRIOR_REPEATS
    return (1 - np.sqrt(np.maximum(0.0, 1 - 2 * differing / total))) / 2
