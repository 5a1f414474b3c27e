"""Run candidates on items: what the search and the reflecting model see of an eval."""

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Final

import anyio

from kiln_mcp.evals.eval_items import Item, case_of, produce_output
from kiln_mcp.evals.measurement import Measurement
from kiln_mcp.evaluators.evaluator import EvaluationContext, Skipped
from kiln_mcp.evaluators.references import REFERENCE_KEY
from kiln_mcp.evaluators.scales import to_unit_scale
from kiln_mcp.evolution.blocks import Candidate, split_blocks
from kiln_mcp.evolution.search import Trial
from kiln_mcp.llm import Engine
from kiln_mcp.llm.errors import BadAnswer, ContextOverflow, ModelError
from kiln_mcp.llm.for_each import for_each
from kiln_mcp.programs.errors import ProgramFailure
from kiln_mcp.run_configs.errors import EvalError
from kiln_mcp.run_configs.system_prompts import Example, split_examples, with_examples
from kiln_mcp.run_configs.task_runs import ResolvedRunConfig, to_task_run
from kiln_mcp.workbench.progress import ProgressReport
from storage import TaskRunConfig

Tell = Callable[[], Awaitable[None]]
GIVEN: Final = "given"
"""Ids of demonstrations that the start prompt brought along begin with this."""


@dataclass(frozen=True, slots=True)
class TrialResult:
    """What a candidate made of one item.

    Attributes:
        item: The item.
        output: The model's output; "" if there is none.
        score: From 0 to 1; None if the output cannot be had or judged, which says nothing of it.
        remark: What the evaluator said, or why there is no score.
    """

    item: Item
    output: str
    score: float | None
    remark: str


@dataclass(frozen=True, slots=True)
class Demonstrations:
    """The examples that candidates name by id."""

    by_id: Mapping[str, Example]

    def prompt(self, candidate: Candidate) -> str:
        """Return a candidate's whole prompt, as it is saved and as Kiln runs it."""
        return with_examples(candidate.text, self._examples_of(candidate))

    def with_candidate(
        self, resolved_config: ResolvedRunConfig, candidate: Candidate
    ) -> ResolvedRunConfig:
        """Return a run config, resolved, with the candidate's prompt in the place of its own."""
        return replace(
            resolved_config, prompt=candidate.text, examples=tuple(self._examples_of(candidate))
        )

    def _examples_of(self, candidate: Candidate) -> list[Example]:
        return [self.by_id[item] for item in candidate.demonstrations]


def demonstrations_of(training: Sequence[Item], prompt: str) -> tuple[Demonstrations, Candidate]:
    """Return what can be shown, and a prompt as the candidate to start from.

    Training items whose reference cannot be written as a demonstration are left out.
    """
    text, examples = split_examples(prompt)
    by_id = {f"{GIVEN} {n}": example for n, example in enumerate(examples, 1)}
    start = Candidate(split_blocks(text), tuple(by_id))
    for item in training:
        reference = (item.reference or {}).get(REFERENCE_KEY)
        if reference is None:
            continue
        output = reference if isinstance(reference, str) else json.dumps(reference)
        example = Example(item.task_input, output)
        if split_examples(with_examples("x", [example])) == ("x", (example,)):
            by_id[item.id] = example
    return Demonstrations(by_id), start


class Trials:
    """Runs candidates on items of an eval and judges the outputs; saves nothing.

    Attributes:
        calls_each: Model calls that one item takes, its judge included.
        failures: Trials without a score, by the state of the answer or the reason.
    """

    def __init__(
        self,
        engine: Engine,
        eval_context: Measurement,
        run_config: TaskRunConfig,
        resolved_config: ResolvedRunConfig,
        demonstrations: Demonstrations,
    ) -> None:
        self._engine = engine
        self._eval_context = eval_context
        self._run_config = run_config
        self._resolved_config = resolved_config
        self._demonstrations = demonstrations
        self._evaluator = evaluator = eval_context.evaluator
        models = [resolved_config.model, *([evaluator.model] if evaluator.model else [])]
        self._width = engine.width(models)
        self.failures: Counter[str] = Counter()
        self.calls_each = resolved_config.calls_per_output + evaluator.calls_per_item

    async def run(self, candidate: Candidate, item: Item) -> TrialResult:
        """Run a candidate on one item; an output that cannot be had or judged has no score."""
        resolved_config = self._demonstrations.with_candidate(self._resolved_config, candidate)
        eval_context = self._eval_context
        try:
            output = await produce_output(self._engine, resolved_config, item, "evolution/run")
            run = to_task_run(output, item.task_input, self._run_config, resolved_config)
            context = EvaluationContext(
                self._engine, eval_context.eval_record, eval_context.task, "evolution/judge"
            )
            verdict = await self._evaluator.evaluate(case_of(item, run), context)
        except (BadAnswer, ContextOverflow, EvalError, ProgramFailure) as error:
            self.failures[_reason_of(error)] += 1
            return TrialResult(item, "", None, str(error))
        if isinstance(verdict, Skipped):
            self.failures[verdict.reason] += 1
            return TrialResult(item, output.output, None, verdict.detail or verdict.reason)
        kinds = {score.json_key: score.type for score in eval_context.eval_record.output_scores}
        score = fmean(to_unit_scale(value, kinds[key]) for key, value in verdict.values.items())
        return TrialResult(item, output.output, score, verdict.verdict)

    async def run_all(
        self, trials: Sequence[tuple[Candidate, Item]], tell: Tell | None = None
    ) -> list[TrialResult]:
        """Run candidates on items, as many at once as the servers allow; answers in their order.

        Args:
            trials: Each candidate with the item that it is run on.
            tell: Called after each.

        Raises:
            ModelError: The first that no other candidate would avoid: a server is down, …
        """
        results: dict[int, TrialResult] = {}
        failed: list[ModelError] = []

        async def run_trial(place: int) -> None:
            try:
                results[place] = await self.run(*trials[place])
            except ModelError as error:
                failed.append(error)
                scope.cancel()
            else:
                if tell is not None:
                    await tell()

        with anyio.CancelScope() as scope:
            await for_each(range(len(trials)), run_trial, self._width)
        if failed:
            raise failed[0]
        return [results[place] for place in range(len(trials))]


def _reason_of(error: BadAnswer | ContextOverflow | EvalError | ProgramFailure) -> str:
    match error:
        case BadAnswer():
            return error.state
        case ContextOverflow():
            return "too_long"
        case ProgramFailure():
            return "program"
        case _:
            return "evaluator"


class ValidationScorer:
    """Scores candidates on validation items for the search, and says how far it is.

    Attributes:
        calls_each: Model calls that one item takes.
    """

    def __init__(
        self, trials: Trials, items: Sequence[Item], report: ProgressReport, total: int
    ) -> None:
        self._trials = trials
        self._items = {item.id: item for item in items}
        self._report = report
        self._total = total
        self._done = 0
        self.calls_each = trials.calls_each

    async def score(self, trials: Sequence[Trial]) -> Sequence[float | None]:
        """Return a score from 0 to 1 for every trial, in their order; None if there is none."""
        selection = [(candidate, self._items[item]) for candidate, item in trials]
        results = await self._trials.run_all(selection, self._count)
        return [result.score for result in results]

    async def _count(self) -> None:
        self._done += self.calls_each
        await self._report(self._done, self._total, "Searching")
