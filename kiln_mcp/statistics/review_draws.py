"""What a review shows: half of it by information, half at random with known probability.

Labels of the random half tell how far a judge agrees with the person. Those of the other half are
chosen where they teach the most, so they would tell too little of it.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from kiln_mcp.statistics.interval import Interval
from kiln_mcp.statistics.stratified_posterior import (
    FEWEST_LABELS_TO_STOP,
    RATE_STOPPING_LEVEL,
    ShareStratum,
    share_estimate,
)

USUAL_LEVEL: Final = 0.95


@dataclass(frozen=True, slots=True)
class ReviewDraw:
    """The items of a review.

    Attributes:
        informative: The items whose labels teach the most, the most first.
        at_random: The items drawn at random.
        probability: The probability with which each item without a label was drawn at random.
        order: All items in a random order, which shows neither half.
    """

    informative: Sequence[str]
    at_random: Sequence[str]
    probability: float
    order: Sequence[str]


def draw_review(
    information: Mapping[str, float],
    count: int,
    seed: int,
    labelled_items: frozenset[str] = frozenset(),
) -> ReviewDraw:
    """Draw the items of a review; the random half is drawn first, among all without a label.

    Args:
        information: How much a label of each item of the pool would teach, 0 or above.
        count: How many items; the random half has the odd one.
        seed: Repeats the draw over the same pool.
        labelled_items: Items that are not drawn.

    Raises:
        ValueError: `count` is below 1.
    """
    if count < 1:
        raise ValueError(f"A review shows at least 1 item, not {count}.")
    draw = random.Random(seed)
    candidates = sorted(information.keys() - labelled_items)
    at_random = draw.sample(candidates, min(len(candidates), (count + 1) // 2))
    rest = [item for item in candidates if item not in set(at_random)]
    rest.sort(key=lambda item: -information[item])
    informative = rest[: count - len(at_random)]
    if len(at_random) + len(informative) == len(candidates):  # all are shown, whatever was drawn
        return ReviewDraw([], candidates, 1.0, draw.sample(candidates, len(candidates)))
    order = [*at_random, *informative]
    draw.shuffle(order)
    return ReviewDraw(informative, at_random, len(at_random) / len(candidates), order)


@dataclass(frozen=True, slots=True)
class ReviewAgreement:
    """How far a judge agrees with a person, on labels that took no part in making it.

    Attributes:
        agreements: Labels that are as the judge's verdicts.
        labels: Labels of the random halves.
        share: The share of agreements in the pool, as far as known.
        interval: Of the share.
        goal: The agreement that the person asks for.
    """

    agreements: int
    labels: int
    share: float
    interval: Interval
    goal: float

    @property
    def is_reached(self) -> bool:
        """Whether the goal holds: the low end of the interval is not below it."""
        return self.labels > 0 and self.interval.low >= self.goal

    @property
    def is_out_of_reach(self) -> bool:
        """Whether the judge surely agrees less than the goal."""
        return self.labels > 0 and self.interval.high < self.goal


def review_agreement(
    agreements: int, labels: int, pool: int, goal: float, *, may_stop: bool = True
) -> ReviewAgreement:
    """Return the agreement in a pool, from labels drawn from it at random.

    Args:
        agreements: Labels that are as the judge's verdicts.
        labels: Labels of items drawn at random that took no part in making the judge.
        pool: Items of the pool.
        goal: The agreement that the person asks for.
        may_stop: Whether the person stops when the goal is reached, so that the interval has to be
            wider to cover as often.

    Raises:
        ValueError: The counts or the goal are impossible.
    """
    if not 0 < goal <= 1:
        raise ValueError(f"An agreement to reach lies above 0 and is at most 1: {goal}.")
    level = RATE_STOPPING_LEVEL if may_stop else USUAL_LEVEL
    if not pool:
        return ReviewAgreement(0, 0, 0.0, Interval(0.0, 1.0), goal)
    interval = share_estimate([ShareStratum(pool, labels, agreements)], level).interval
    assert isinstance(interval, Interval), "a share of a pool always has an interval"
    share = agreements / labels if labels else 0.0
    return ReviewAgreement(agreements, labels, share, Interval(interval.low, interval.high), goal)


def labels_to_reach(goal: float, pool: int, share: float = 1.0) -> int | None:
    """Return about how many random labels show a goal if the judge agrees on such a share.

    Returns:
        The smallest number of labels; None if even a label of every item would not do.
    """
    for labels in range(1, pool + 1):
        agreements = round(share * labels)
        if labels < min(pool, FEWEST_LABELS_TO_STOP) // 3:
            continue
        if review_agreement(agreements, labels, pool, goal).is_reached:
            return labels
    return None
