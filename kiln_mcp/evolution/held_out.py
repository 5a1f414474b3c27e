"""What start and winner make of held-out items, and what may be claimed of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from kiln_mcp.evals.answers import ComparisonRow
from kiln_mcp.evals.results.comparison_sentences import pair_sentence
from kiln_mcp.evals.results.config_comparison import ComparedScore
from kiln_mcp.evals.results.part_uses import UseNumber
from kiln_mcp.evolution.goals import Goals
from kiln_mcp.evolution.held_out_runs import HeldOutRuns
from kiln_mcp.statistics import CannotTell, Interval
from storage import TaskRunConfig

GAIN_TO_SEE: Final = 10.0
"""A gain of so many points of a hundred is worth looking further for."""
SIDES: Final = 2
"""A claim is made on one side alone, that the winner is better; intervals have two."""
WINNER: Final = 1
"""The winner's place in the comparison; the start has 0."""

Scores = Mapping[str, Mapping[str, float]]
"""Scores by item, by key."""


@dataclass(frozen=True)
class HeldOut:
    """What the held-out items say about start and winner.

    Attributes:
        configs: Start and winner.
        comparisons: Each score, compared; empty if no item was scored for both.
        second_scores: The winner's scores by key, by item.
        first_scores: The start's.
        use: Which claim on the items it is.
        calls: Calls that it took at most.
        failures: Items without a score, by the name of the run config.
        goals: What is wanted of each score.
        spans: The span of each score's scale; 1 for one that is not here.
        runs: How often each item is run, and what that can see.
    """

    configs: Sequence[TaskRunConfig]
    comparisons: Sequence[ComparedScore]
    first_scores: Scores
    second_scores: Scores
    use: UseNumber
    calls: int
    failures: Mapping[str, int]
    goals: Goals = field(default_factory=Goals)
    spans: Mapping[str, float] = field(default_factory=dict[str, float])
    runs: HeldOutRuns | None = None

    @property
    def gains(self) -> list[str]:
        """The keys of scores that count and in which the winner is shown to be better."""
        return [
            score.key
            for score in self.comparisons
            if score.is_better(WINNER) and self.goals.weight(score.key)
        ]

    @property
    def losses(self) -> list[str]:
        """The keys of scores in which the winner is shown to be worse."""
        return [score.key for score in self.comparisons if score.is_worse(WINNER)]

    @property
    def open_losses(self) -> list[str]:
        """The keys of scores that may have lost more than is allowed."""
        return [
            score.key
            for score in self.comparisons
            if score.key not in self.gains and not score.is_floor_cleared(WINNER)
        ]

    @property
    def gain_shown(self) -> bool:
        """Whether a score is shown to gain, and every other one to lose next to nothing."""
        return bool(self.gains) and not self.open_losses

    @property
    def level(self) -> float:
        """The level of the intervals together: on each side they err with the use's error."""
        return 1 - SIDES * self.use.error

    @property
    def warnings(self) -> list[str]:
        """What to know of the held-out items: what failed, and how often claims were made."""
        warnings = [
            f"{count} held-out items of {name} could not be scored and are left out of the "
            "comparison."
            for name, count in self.failures.items()
        ]
        if self.use.number > 1:
            warnings.append(
                f"{self.use.says} Each use makes a gain by luck more likely, so later ones need "
                "clearer gains. Measure the winner on fresh items."
            )
        warnings += [self.use.problem] if self.use.problem else []
        return [*warnings, *(self.runs.warnings if self.runs else [])]

    @property
    def rows(self) -> list[ComparisonRow]:
        """The comparison by score."""
        return [self._row(score) for score in self.comparisons]

    def says(self) -> str:
        """Return what the items say, in a sentence for each score."""
        parts = [
            f"{score.key}: {pair_sentence(score, self.configs, self.level)}"
            if len(self.comparisons) > 1
            else pair_sentence(score, self.configs, self.level)
            for score in self.comparisons
        ]
        if self.gains and self.losses:
            parts.insert(0, f"{', '.join(self.gains)} gains, but {', '.join(self.losses)} falls.")
        elif self.gains and self.open_losses:
            parts.insert(
                0,
                f"{', '.join(self.gains)} gains, but these items cannot exclude that "
                f"{self._floors_of(self.open_losses)}.{self._floors_in_reach}",
            )
        return " ".join(parts)

    @property
    def reach(self) -> str:
        """How large a gain can still be where none is shown, as a sentence."""
        ends = [
            (100 * interval.high / self.spans.get(score.key, 1.0), score.key)
            for score in self.comparisons
            if self.goals.weight(score.key)
            for interval in [score.against_baseline[WINNER].interval]
            if isinstance(interval, Interval)
        ]
        if not ends:
            return "Too little was looked at."
        points, key = max(ends)
        if points < GAIN_TO_SEE:
            return f"No gain in {key} of {max(1.0, points):.0f} points or more is possible."
        return (
            f"Too little was looked at: a gain in {key} of up to {points:.0f} points is possible."
        )

    @property
    def _floors_in_reach(self) -> str:
        """Which losses the items exclude in the scores that may have lost too much."""
        lows = {
            score.key: -100 * interval.low / self.spans.get(score.key, 1.0)
            for score in self.comparisons
            if score.key in self.open_losses
            for interval in [score.against_baseline[WINNER].interval]
            if isinstance(interval, Interval)
        }
        if not lows:
            return ""
        points = ", and ".join(f"of more than {low:.0f} in {key}" for key, low in lows.items())
        return f" They exclude losses {points}: more test items exclude smaller ones."

    def _floors_of(self, keys: Sequence[str]) -> str:
        return ", or that ".join(
            f"{key} falls by more than {self.goals.floor(key):g} points" for key in keys
        )

    def _row(self, score: ComparedScore) -> ComparisonRow:
        difference = score.against_baseline[WINNER]
        interval, p_value = difference.interval, difference.p_value
        has_ends = isinstance(interval, Interval)
        first, second = self.first_scores[score.key], self.second_scores[score.key]
        shared = first.keys() & second.keys()
        return ComparisonRow(
            score=score.key,
            first=round(score.means[0], 4),
            second=round(score.means[WINNER], 4),
            difference=round(difference.difference, 4),
            low=round(interval.low, 4) if has_ends else None,
            high=round(interval.high, 4) if has_ends else None,
            p_value=None if isinstance(p_value, CannotTell) else round(p_value, 6),
            test=f"paired, at a level of {self.level * 100:.4g} %",
            n=difference.count,
            first_better_on=sum(first[item] > second[item] for item in shared),
            second_better_on=sum(first[item] < second[item] for item in shared),
            says=pair_sentence(score, self.configs, self.level),
        )
