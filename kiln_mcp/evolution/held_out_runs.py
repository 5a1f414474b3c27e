"""How often start and winner are run on each held-out item, and the runs themselves.

One run says little where another run scores otherwise. So each item is run as often as the noise
asks for that the search has seen: fixed before a held-out item is looked at. A score that always
repeats itself is measured once.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, variance
from typing import Final, cast

import anyio

from kiln_mcp.evals.measurement import Repeats
from kiln_mcp.evolution.engine import UNKNOWN_NOISE, Candidate, Evaluation, Item, Result, sight
from kiln_mcp.evolution.engine.knowledge import value_of
from kiln_mcp.evolution.engine.scheduler import evaluation_event, read_evaluation
from kiln_mcp.evolution.search_context import SearchContext
from kiln_mcp.evolution.search_log import ResumableLog
from kiln_mcp.evolution.trials import engine_items
from kiln_mcp.llm.errors import ModelError
from kiln_mcp.llm.for_each import for_each
from storage.index.results import VerdictKey
from storage.records.ratings import RATING_RANGES

FEWEST_REPEATS: Final = 4
"""Repeats by which noise is told; with fewer it is unknown."""
NOISE_ITEMS: Final = 8
"""Validation items that are run twice where a search has told too little of the noise."""

RunScores = Mapping[str, Mapping[VerdictKey, float]]
"""By the score's key: the score of each run."""


@dataclass(frozen=True, slots=True)
class HeldOutRuns:
    """How often each candidate is run on each held-out item.

    Attributes:
        items: Held-out items.
        repeats: Outputs of an item, and verdicts of an output.
        noise: The variance of a candidate's value on one item.
        gain: The gain in points that so many runs show in nine of ten cases.
        wanted_gain: The gain that as many runs would show as the noise asks for.
        noise_calls: Model calls that told the noise, beside those of the search.
    """

    items: int
    repeats: Repeats
    noise: float
    gain: float
    wanted_gain: float
    noise_calls: int = 0

    @property
    def count(self) -> int:
        """Runs of each item."""
        return self.repeats.outputs * self.repeats.verdicts

    @property
    def samples(self) -> list[tuple[int, int]]:
        """The number of the output and of its verdict, for each run."""
        verdicts = range(self.repeats.verdicts)
        return [(n, verdict) for n in range(self.repeats.outputs) for verdict in verdicts]

    @property
    def says(self) -> str:
        """What the items can see, as a sentence."""
        number = "run" if self.count == 1 else "runs"
        return (
            f"The test can see {self.gain:.0f} points with {self.count} {number} of each of "
            f"{self.items} items, in nine of ten cases."
        )

    @property
    def warnings(self) -> list[str]:
        """That more runs would see more than were allowed."""
        if self.wanted_gain > self.gain - 1:
            return []
        return [f"{self.says} More runs would show {self.wanted_gain:.0f}: raise 'runs'."]


async def plan_runs(
    search_context: SearchContext, result: Result, log: ResumableLog
) -> HeldOutRuns:
    """Return how often held-out items are run, by the noise that a search has seen.

    An earlier attempt has counted its use of the items, so its use is kept in the log.
    """
    key = f"held-out runs {search_context.label}"
    event = next((event for event in log.read() if event["key"] == key), None)
    if event is None:
        use = await search_context.next_use()
        log.append({"key": key, "event": "held_out_runs", "use": use})
    else:
        use = cast("int", event["use"])
    noise, calls = await _noise_of(search_context, result)
    return _runs_of(search_context, noise, use, calls)


async def _noise_of(search_context: SearchContext, result: Result) -> tuple[float, int]:
    """Return the noise that a search has seen; if it saw little, that of its best prompt.

    The best prompt is run twice on some validation items then.

    Returns:
        The noise, and the model calls that told it.
    """
    if result.repeats >= FEWEST_REPEATS:
        return result.noise, 0
    goals = search_context.request.goals.by_score(search_context.eval_context.score_keys)
    items = engine_items(search_context.parts.val)[:NOISE_ITEMS]
    values: dict[str, list[float]] = {}
    calls = 0

    async def run(item: Item) -> None:
        nonlocal calls
        evaluation = await search_context.trials.run(result.best, item, purpose="noise ")
        calls += evaluation.paid_calls or 0
        if evaluation.scores:
            values.setdefault(item.id, []).append(value_of(evaluation.scores, goals))

    width = search_context.workspace.engine.width(search_context.trials.models)
    runs = [replace(item, repeat=repeat) for item in items for repeat in range(2)]
    await for_each(runs, run, width)
    pairs = [own for own in values.values() if len(own) > 1]
    if len(pairs) < FEWEST_REPEATS:
        return max(result.noise, UNKNOWN_NOISE), calls
    return fmean(map(variance, pairs)), calls


def _runs_of(search_context: SearchContext, noise: float, use: int, calls: int) -> HeldOutRuns:
    items = len(search_context.parts.test)
    view = sight(items, noise, use, most_repeats=search_context.request.goals.most_runs)
    full_view = sight(items, noise, use)
    return HeldOutRuns(
        items=items,
        repeats=search_context.repeats(view.repeats),
        noise=noise,
        gain=100 * view.smallest_gain,
        wanted_gain=100 * full_view.smallest_gain,
        noise_calls=calls,
    )


class Runner:
    """Runs candidates on held-out items and keeps what was answered.

    Attributes:
        failures: Items without a score, by the name of the run config.
        calls: Model calls that were sent, in earlier attempts too.
    """

    def __init__(self, search_context: SearchContext, log: ResumableLog) -> None:
        self._context = search_context
        self._log = log
        self._events = {event["key"]: event for event in log.read()}
        self.failures: Counter[str] = Counter()
        self.calls = 0

    async def scores(
        self, candidate: Candidate, items: Sequence[Item], keys: Collection[VerdictKey], name: str
    ) -> RunScores:
        """Return the scores of runs in the scales of the eval.

        Args:
            candidate: What is run.
            items: The held-out items.
            keys: Which runs of them.
            name: The name of the run config, for progress and failures.

        Raises:
            ModelError: One that ends the measurement; what was answered is in the log.
        """
        by_id = {item.id: item for item in items}
        evaluations: dict[VerdictKey, Evaluation] = {}
        errors: list[ModelError] = []

        async def run(key: VerdictKey) -> None:
            try:
                evaluations[key] = await self._evaluation(candidate, by_id[key.item_id], key)
            except ModelError as error:
                errors.append(error)
                scope.cancel()
                return
            message = f"Measuring {name} on held-out items"
            await self._context.workspace.report(len(evaluations), len(keys), message)

        width = self._context.workspace.engine.width(self._context.trials.models)
        with anyio.CancelScope() as scope:
            await for_each(list(keys), run, width)
        if errors:
            raise errors[0]
        scored_items = {key.item_id for key, evaluation in evaluations.items() if evaluation.scores}
        failures = len({key.item_id for key in keys} - scored_items)
        if failures:
            self.failures[name] += failures
        return {
            score.json_key: {
                key: in_scale(evaluation.scores[score.json_key], score.type)
                for key, evaluation in evaluations.items()
                if score.json_key in evaluation.scores
            }
            for score in self._context.eval_context.eval_record.output_scores
        }

    async def _evaluation(self, candidate: Candidate, item: Item, key: VerdictKey) -> Evaluation:
        numbers = f" {key.sample} {key.verdict}" if key.sample or key.verdict else ""
        name = f"final {self._context.label}{candidate.id} {item.id}{numbers}"
        event = self._events.get(name)
        if event is not None:
            evaluation = read_evaluation(event)
            self.calls += evaluation.paid_calls or 0
            return evaluation
        run = replace(item, repeat=key.sample)
        evaluation = await self._context.trials.run(candidate, run, key.verdict)
        self.calls += evaluation.paid_calls or 0
        self._log.append(
            {"key": name, "event": "final", "item": item.id, **evaluation_event(evaluation)}
        )
        return evaluation


def item_means(runs: RunScores) -> dict[str, dict[str, float]]:
    """Return each score of each item: the mean of its outputs, each the mean of its verdicts."""
    return {key: _means(by_run) for key, by_run in runs.items()}


def _means(by_run: Mapping[VerdictKey, float]) -> dict[str, float]:
    outputs: dict[str, dict[int, list[float]]] = {}
    for key, score in by_run.items():
        outputs.setdefault(key.item_id, {}).setdefault(key.sample, []).append(score)
    return {item: fmean(map(fmean, by_sample.values())) for item, by_sample in outputs.items()}


def in_scale(value: float, kind: str) -> float:
    """Return a score from 0 to 1 on the scale of its kind."""
    low, high = RATING_RANGES[kind]
    return low + value * (high - low)
