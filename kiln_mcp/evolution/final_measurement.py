"""The final measurement: start and winner once on test items, before anything is saved.

Scores of the start that an earlier run of the eval has left are taken as they are. The claim is
made by the statistics of every comparison, at the error that is left of the test part.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import anyio.to_thread

from kiln_mcp.evals.answers import ComparisonRow
from kiln_mcp.evals.eval_items import read_items
from kiln_mcp.evals.results.comparison_sentences import pair_sentence
from kiln_mcp.evals.results.config_comparison import ComparedScore
from kiln_mcp.evals.results.config_scores import ConfigScores
from kiln_mcp.evals.results.part_uses import UseNumber, count_use
from kiln_mcp.evals.scored_outputs import read_scored_outputs
from kiln_mcp.evolution.engine import Candidate, Evaluation, Item
from kiln_mcp.evolution.engine.scheduler import evaluation_event, read_evaluation
from kiln_mcp.evolution.goals import USUAL_FLOOR, Goals
from kiln_mcp.evolution.search_context import SearchContext
from kiln_mcp.evolution.search_log import ResumableLog
from kiln_mcp.evolution.trials import engine_items
from kiln_mcp.llm.errors import ModelError
from kiln_mcp.llm.for_each import for_each
from kiln_mcp.statistics import CannotTell, Interval
from storage import TaskRunConfig
from storage.records.ratings import RATING_RANGES

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
        return [*warnings, *([self.use.problem] if self.use.problem else [])]

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
                f"{self._floors_of(self.open_losses)}.",
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


async def measure(
    search_context: SearchContext, winner: Candidate, config: TaskRunConfig, log: ResumableLog
) -> HeldOut:
    """Run start and winner on the held-out items; what the log or the eval has is kept.

    Raises:
        ModelError: One that ends the measurement; what was answered is in the log.
    """
    eval_context = search_context.eval_context
    items = engine_items(await read_items(eval_context.store, search_context.parts.test))
    ids = {item.id for item in items}
    outputs = await read_scored_outputs(eval_context, [search_context.first])
    earlier = {
        key: outputs.means(search_context.first.id, key, ids) for key in eval_context.score_keys
    }
    earlier_items = set[str]().union(*(by_item.keys() for by_item in earlier.values()))
    missing = [item for item in items if item.id not in earlier_items]
    run = _Run(search_context, log)
    first = await run.scores(search_context.start, missing, search_context.first.name)
    second = await run.scores(winner, items, config.name)
    first = {key: {**earlier[key], **by_item} for key, by_item in first.items()}
    configs = [search_context.first, config]
    keys = [key for key in eval_context.score_keys if first[key].keys() & second[key].keys()]
    scores = ConfigScores(
        measurement=eval_context,
        configs=configs,
        baseline=search_context.first,
        items=sorted(ids),
        keys=keys,
        by_score={
            (owner.id, key): by_key[key]
            for owner, by_key in zip(configs, (first, second), strict=True)
            for key in keys
        },
    )
    workspace, goals = search_context.workspace, search_context.request.goals
    use = UseNumber(1)
    if keys:
        use = await count_use(
            eval_context.store, eval_context.eval_record, scores.claim, workspace.author
        )
    comparisons: Sequence[ComparedScore] = []
    if keys:
        comparisons = await anyio.to_thread.run_sync(scores.compare, SIDES * use.error, USUAL_FLOOR)
        # A floor is in the unit of its score: both scales grow alike.
        comparisons = [
            replace(score, floor=score.floor * goals.floor(score.key) / USUAL_FLOOR)
            for score in comparisons
        ]
    calls = (len(items) + len(missing)) * search_context.trials.calls_each
    return HeldOut(
        configs=configs,
        comparisons=comparisons,
        first_scores=first,
        second_scores=second,
        use=use,
        calls=calls,
        failures=dict(run.failures),
        goals=goals,
        spans={
            score.json_key: _in_scale(1, score.type) - _in_scale(0, score.type)
            for score in eval_context.eval_record.output_scores
        },
    )


class _Run:
    """Runs candidates on held-out items and keeps what was answered."""

    def __init__(self, search_context: SearchContext, log: ResumableLog) -> None:
        self._context = search_context
        self._log = log
        self._events = {event["key"]: event for event in log.read()}
        self.failures: Counter[str] = Counter()

    async def scores(
        self, candidate: Candidate, items: Sequence[Item], name: str
    ) -> dict[str, dict[str, float]]:
        """Return the scores of a candidate in the scales of the eval, by key."""
        trials = self._context.trials
        evaluations: dict[str, Evaluation] = {}
        failures: list[ModelError] = []

        async def run_item(item: Item) -> None:
            key = f"final {candidate.id} {item.id}"
            event = self._events.get(key)
            if event is not None:
                evaluations[item.id] = read_evaluation(event)
                return
            try:
                evaluation = await trials.run(candidate, item)
            except ModelError as error:
                failures.append(error)
                scope.cancel()
                return
            values = evaluation_event(evaluation)
            self._log.append({"key": key, "event": "final", "item": item.id, **values})
            evaluations[item.id] = evaluation
            message = f"Measuring {name} on held-out items"
            await self._context.workspace.report(len(evaluations), len(items), message)

        with anyio.CancelScope() as scope:
            await for_each(items, run_item, self._context.workspace.engine.width(trials.models))
        if failures:
            raise failures[0]
        count = sum(not evaluation.scores for evaluation in evaluations.values())
        if count:
            self.failures[name] += count
        return {
            score.json_key: {
                item: _in_scale(evaluation.scores[score.json_key], score.type)
                for item, evaluation in evaluations.items()
                if score.json_key in evaluation.scores
            }
            for score in self._context.eval_context.eval_record.output_scores
        }


def _in_scale(value: float, kind: str) -> float:
    """Return a score from 0 to 1 on the scale of its kind."""
    low, high = RATING_RANGES[kind]
    return low + value * (high - low)
