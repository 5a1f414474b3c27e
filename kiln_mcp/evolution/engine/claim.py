"""The claim: what start and winner make of items that took no part in the search.

Both are run equally often on each item. The claim is that the winner is better, so it is tested on
one side, on the items' mean scores, by the statistics of every comparison. Several scores share the
error by Holm's correction. No other score may lose more than its margin: each is tested at the
whole error, because a claim needs them all.

Source:
    Berger (1982), Multiparameter Hypothesis Testing and Acceptance Sampling, for the margins.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import NormalDist, mean
from typing import Final

from kiln_mcp.evolution.engine.candidates import Candidate
from kiln_mcp.evolution.engine.decision_log import DecisionLog, MemoryLog
from kiln_mcp.evolution.engine.knowledge import value_of
from kiln_mcp.evolution.engine.scheduler import Scheduler
from kiln_mcp.evolution.engine.steps import Work, run_trials
from kiln_mcp.evolution.engine.values import Account, Budget, Evaluate, Evaluation, Goal, Item
from kiln_mcp.statistics import Interval, differences_from, holm, level_of_use, score_columns

VALUE: Final = "value"
"""The name of the weighted mean of all scores."""
USUAL_MARGIN: Final = 0.1
"""How far a score without a margin may fall while another one gains."""
MOST_REPEATS: Final = 4
GAIN_TO_SEE: Final = 0.1
USUAL_SPREAD: Final = 0.1
"""The variance between items of what an edit changes, before anything is known of it."""
POWER: Final = 0.9


@dataclass(frozen=True, slots=True)
class Sight:
    """What a test part can see, said before it is looked at.

    Attributes:
        items: Its items.
        repeats: How often each candidate is to be run on each.
        evaluations: Evaluations that it takes: what a budget has to keep for it.
        smallest_gain: The gain that is shown in nine of ten cases, from 0 to 1.
    """

    items: int
    repeats: int
    evaluations: int
    smallest_gain: float

    @property
    def says(self) -> str:
        """The same as a sentence."""
        return (
            f"{self.items} items, {self.repeats} times each, show a gain of "
            f"{self.smallest_gain * 100:.0f} points in nine of ten cases."
        )


def sight(
    items: int,
    noise: float,
    use: int = 1,
    spread: float = USUAL_SPREAD,
    most_repeats: int = MOST_REPEATS,
) -> Sight:
    """Return how often to run each item, and what that shows.

    Items are run again as long as it makes the smallest gain that shows clearly smaller.

    Args:
        items: Items of the test part.
        noise: The variance of one candidate's value on one item, from repeats.
        use: Which claim on the test part it is.
        spread: The variance between items of what the edit changes.
        most_repeats: The most repeats.

    Raises:
        ValueError: There are no items.
    """
    if items < 1:
        raise ValueError("A claim needs items that took no part in the search.")
    normal = NormalDist()
    errors_apart = normal.inv_cdf(1 - level_of_use(use)) + normal.inv_cdf(POWER)

    def smallest_gain(repeats: int) -> float:
        return min(1.0, errors_apart * math.sqrt((spread + 2 * noise / repeats) / items))

    numbers = (n for n in range(1, most_repeats) if smallest_gain(n) <= GAIN_TO_SEE)
    repeats = next(numbers, most_repeats) if noise > 0 else 1
    return Sight(items, repeats, 2 * items * repeats, smallest_gain(repeats))


@dataclass(frozen=True, slots=True)
class ScoreClaim:
    """What the items say of one score.

    Attributes:
        name: The score; "value" for the weighted mean of all.
        first: The start's mean.
        second: The winner's mean.
        low: The gain is above this, with the error of the claim.
        high: The gain is below this, with the same error.
        p_value: Of "the winner is not better", corrected for the other scores; 1 if unknown.
        items: Items that both have the score on.
        is_gain: Whether the winner is shown to be better.
        keeps_floor: Whether it is shown to lose less than its margin.
    """

    name: str
    first: float
    second: float
    low: float
    high: float
    p_value: float
    items: int
    is_gain: bool = False
    keeps_floor: bool = True


@dataclass(frozen=True, slots=True)
class Claim:
    """What the items say of start and winner.

    Attributes:
        scores: Each score; the weighted mean first, if there are several.
        error: How likely a gain is claimed in vain.
        repeats: How often each candidate was run on each item.
        failures: Evaluations without a score: they are left out.
    """

    scores: Sequence[ScoreClaim] = ()
    error: float = 0.05
    repeats: int = 1
    failures: int = 0

    @property
    def gains(self) -> list[str]:
        """The scores in which the winner is shown to be better."""
        return [score.name for score in self.scores if score.is_gain]

    @property
    def open_losses(self) -> list[str]:
        """The scores that may have lost more than they are allowed to."""
        return [score.name for score in self.scores if not score.keeps_floor]

    @property
    def gain_shown(self) -> bool:
        """Whether the winner may be said to be better."""
        return bool(self.gains) and not self.open_losses

    @property
    def says(self) -> str:
        """The result as a sentence: what is shown, or why nothing is."""
        if not self.scores:
            return "Too little was looked at: no item has a score for both."
        if self.gains and self.open_losses:
            return (
                f"{', '.join(self.gains)} gains, but {', '.join(self.open_losses)} may have "
                "fallen by more than is allowed."
            )
        if self.gains:
            return f"A gain is shown in {', '.join(self.gains)}."
        highest = max(score.high for score in self.scores)
        if highest < GAIN_TO_SEE:
            return f"No gain: it is below {highest * 100:.0f} points."
        return f"Too little was looked at: a gain of up to {highest * 100:.0f} points is possible."


@dataclass(frozen=True)
class Measurement:
    """How a claim is measured.

    Attributes:
        goals: Weights and margins of scores.
        repeats: How often each candidate is run on each item: fixed beforehand, such as by `sight`.
        use: Which claim on these items it is: later ones get a smaller error.
        log: Where answers go, and what an earlier measurement left there.
        width: Calls in flight at once.
    """

    goals: Mapping[str, Goal] = field(default_factory=dict[str, Goal])
    repeats: int = 1
    use: int = 1
    log: DecisionLog = field(default_factory=MemoryLog)
    width: int = 32


async def prove(
    start: Candidate,
    winner: Candidate,
    test: Sequence[Item],
    evaluate: Evaluate,
    how: Measurement | None = None,
) -> Claim:
    """Run start and winner on items that took no part, and say whether the winner is better.

    Raises:
        Exception: What `evaluate` raised first. The log has all answers that came.
    """
    how = how or Measurement()
    account = Account(Budget(2 * len(test) * how.repeats))
    scheduler = Scheduler(evaluate, None, account, how.log, how.width)
    pairs = [(side, item) for item in test for side in (start, winner) for _ in range(how.repeats)]
    answers: list[Evaluation] = []

    def run() -> Work[None]:
        answers.extend((yield from run_trials(pairs)))

    await scheduler.run([run()])
    runs = 2 * how.repeats
    by_item = {item.id: answers[n * runs : (n + 1) * runs] for n, item in enumerate(test)}
    firsts = {name: own[: how.repeats] for name, own in by_item.items()}
    seconds = {name: own[how.repeats :] for name, own in by_item.items()}
    return claim_of(firsts, seconds, how)


def claim_of(
    firsts: Mapping[str, Sequence[Evaluation]],
    seconds: Mapping[str, Sequence[Evaluation]],
    how: Measurement,
) -> Claim:
    """Return what evaluations of start and winner, by item, say."""
    error = level_of_use(how.use)
    every = [e for side in (firsts, seconds) for own in side.values() for e in own]
    names = list(dict.fromkeys(name for e in every for name in e.scores))
    columns = {
        name: [_means(side, name) for side in (firsts, seconds)]
        for name in names
        if name not in how.goals or how.goals[name].weight or how.goals[name].margin is not None
    }
    if len(names) > 1:
        columns = {VALUE: [_values(side, how.goals) for side in (firsts, seconds)], **columns}
    claims = [
        _compare(name, first, second, error)
        for name, (first, second) in columns.items()
        if first.keys() & second.keys()
    ]
    failures = sum(not e.scores for e in every)
    return Claim(_decide(claims, how.goals, error), error, how.repeats, failures)


def _compare(
    name: str, first: Mapping[str, float], second: Mapping[str, float], error: float
) -> ScoreClaim:
    """Compare one score; an error on one side is half of that on both."""
    table = score_columns([first, second], (0.0, 1.0))
    comparison = differences_from(table, 0, 1 - 2 * error)[0]
    ends = comparison.interval
    low, high = (ends.low, ends.high) if isinstance(ends, Interval) else (-1.0, 1.0)
    p_value = comparison.p_value if isinstance(comparison.p_value, float) else 1.0
    one_sided = p_value / 2 if comparison.difference > 0 else 1.0
    shared = first.keys() & second.keys()
    sides = [mean(side[item] for item in shared) for side in (first, second)]
    return ScoreClaim(name, sides[0], sides[1], low, high, one_sided, comparison.count)


def _decide(
    claims: Sequence[ScoreClaim], goals: Mapping[str, Goal], error: float
) -> list[ScoreClaim]:
    """Return the scores with what is shown of each."""
    has_weight = [score.name not in goals or goals[score.name].weight > 0 for score in claims]
    p_values = [s.p_value for s, weighs in zip(claims, has_weight, strict=True) if weighs]
    corrections = iter(holm(p_values))
    results: list[ScoreClaim] = []
    for score, weighs in zip(claims, has_weight, strict=True):
        p_value = next(corrections) if weighs else 1.0
        is_gain = p_value <= error and score.low > 0
        goal = goals.get(score.name)
        margin = goal.margin if goal is not None and goal.margin is not None else USUAL_MARGIN
        keeps_floor = is_gain or score.low >= -margin
        results.append(replace(score, p_value=p_value, is_gain=is_gain, keeps_floor=keeps_floor))
    return results


def _means(side: Mapping[str, Sequence[Evaluation]], name: str) -> dict[str, float]:
    """Return the mean of a score over an item's evaluations, by item."""
    scores = {item: [e.scores[name] for e in own if name in e.scores] for item, own in side.items()}
    return {item: mean(own) for item, own in scores.items() if own}


def _values(
    side: Mapping[str, Sequence[Evaluation]], goals: Mapping[str, Goal]
) -> dict[str, float]:
    values = {
        item: [value_of(e.scores, goals) for e in own if e.scores] for item, own in side.items()
    }
    return {item: mean(own) for item, own in values.items() if own}
