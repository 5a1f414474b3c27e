"""The work of a measurement: which verdicts are to be made, and which outputs for them.

What is there already comes from the index; no record of an item, output or verdict is read.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from kiln_mcp.datasets.counts import golden_items
from kiln_mcp.datasets.held_out import runs_to_show
from kiln_mcp.datasets.task_eval import TaskEval
from kiln_mcp.evals.eval_items import ItemReference
from kiln_mcp.evaluators.evaluator import Evaluator, calls_of_item
from kiln_mcp.evaluators.registry import evaluator_of
from kiln_mcp.labels.ledger import read_labels
from kiln_mcp.run_configs.system_prompts import shows_examples
from kiln_mcp.run_configs.task_runs import ResolvedRunConfig, resolve
from storage import (
    Eval,
    EvalConfig,
    EvalRun,
    ProjectStore,
    Prompt,
    Task,
    TaskRun,
    TaskRunConfig,
)
from storage.index.results import (
    STORED,
    OutputKey,
    RecordRow,
    Verdict,
    VerdictKey,
    first_scores,
    judged_outputs,
    judged_run_configs,
    outputs_of_evals,
    skipped_outputs,
    verdicts,
)


@dataclass(frozen=True, slots=True)
class Measurement:
    """An eval with the evaluator that is used.

    Attributes:
        store: The open project.
        task: The eval's task.
        eval_record: The eval.
        evaluator_record: The evaluator.
    """

    store: ProjectStore
    task: Task
    eval_record: Eval
    evaluator_record: EvalConfig

    @property
    def task_eval(self) -> TaskEval:
        """Return the eval with its task."""
        return TaskEval(self.task, self.eval_record)

    def of(self, evaluator_record: EvalConfig) -> "Measurement":
        """Return the same eval with another evaluator."""
        return replace(self, evaluator_record=evaluator_record)

    @property
    def evaluator(self) -> Evaluator:
        """Return what the evaluator's record stands for."""
        return evaluator_of(self.evaluator_record)

    @property
    def score_keys(self) -> list[str]:
        """Return the keys of the eval's scores."""
        return [score.json_key for score in self.eval_record.output_scores]

    async def judged_outputs(self, run_config_id: str) -> frozenset[VerdictKey]:
        """Return the verdicts that the evaluator has given, scored or skipped."""
        path = self.evaluator_record.saved.path
        return await self.store.ask(lambda index: judged_outputs(index, path, run_config_id))

    async def skipped_outputs(self, run_config_id: str) -> frozenset[VerdictKey]:
        """Return the verdicts that the evaluator skipped, each with a reason."""
        path = self.evaluator_record.saved.path
        return await self.store.ask(lambda index: skipped_outputs(index, path, run_config_id))

    async def judged_run_configs(self) -> frozenset[str]:
        """Return the ids of the run configs that the evaluator has results of."""
        path = self.evaluator_record.saved.path
        return await self.store.ask(lambda index: judged_run_configs(index, path)) - {STORED}

    async def has_stored_results(self) -> bool:
        """Return whether the evaluator has results of stored outputs."""
        path = self.evaluator_record.saved.path
        return STORED in await self.store.ask(lambda index: judged_run_configs(index, path))

    async def has_agreement(self) -> bool:
        """Return whether the evaluator has results of outputs that people have labelled."""
        if not await self.has_stored_results():
            return False
        if (await read_labels(self.store, self.eval_record)).entries:
            return True
        items = await golden_items(self.store, self.task, self.eval_record)
        return any(item.rating is not None or item.ratings for item in items)

    async def stored_scores(self, key: str) -> dict[str, float]:
        """Return one score of stored outputs, by item."""
        path = self.evaluator_record.saved.path
        return await self.store.ask(lambda index: first_scores(index, path, key))

    async def verdicts(self, run_config_id: str, key: str) -> dict[VerdictKey, Verdict]:
        """Return one score of a run config, or of stored outputs, in each verdict."""
        path = self.evaluator_record.saved.path
        return await self.store.ask(lambda index: verdicts(index, path, run_config_id, key))

    async def outputs(self, run_config_id: str) -> dict[OutputKey, RecordRow]:
        """Return the outputs that evals made with a run config."""
        path = self.task.saved.path
        return await self.store.ask(lambda index: outputs_of_evals(index, path, run_config_id))


@dataclass(frozen=True, slots=True)
class Repeats:
    """How often an item is run and judged.

    Attributes:
        outputs: Outputs of an item.
        verdicts: Verdicts of an output.
    """

    outputs: int = 1
    verdicts: int = 1


ONCE: Final = Repeats()
STORED_OUTPUT: Final = "stored output"
"""What failures call an output that no run config made for the eval."""


@dataclass(frozen=True, slots=True)
class VerdictRequest:
    """Verdicts to be made of an output of a run config, or of a stored run as it is.

    Attributes:
        item: The item.
        run_config: What makes the output; None for a stored run.
        resolved_config: The run config, resolved.
        output: The run that holds the output; None if it is to be made.
        sample: Which of the outputs of the item.
        verdicts: Which verdicts of the output.
    """

    item: ItemReference
    run_config: TaskRunConfig | None
    resolved_config: ResolvedRunConfig | None
    output: RecordRow | None
    sample: int = 0
    verdicts: tuple[int, ...] = (0,)

    @property
    def config_id(self) -> str:
        """The id of the run config, as results name it; STORED for a stored run."""
        return self.run_config.id if self.run_config else STORED

    @property
    def config_name(self) -> str:
        """The name of the run config, as failures show it."""
        return self.run_config.name if self.run_config else STORED_OUTPUT

    @property
    def generation_calls(self) -> Mapping[str, int]:
        """How often each model is asked to make the output; empty if it is there."""
        if self.output is not None or self.resolved_config is None:
            return {}
        turns, user_model = self.item.turns, self.item.user_model
        calls = Counter({self.resolved_config.model: self.resolved_config.calls_per_output * turns})
        calls += Counter({user_model: turns}) if user_model else Counter[str]()
        return calls

    @property
    def output_key(self) -> OutputKey:
        """Which output of the item."""
        return OutputKey(self.item.id, self.sample)

    def without(self, done: frozenset[VerdictKey]) -> "VerdictRequest":
        """Return this request without the verdicts that are there."""
        item, sample = self.item.id, self.sample
        verdicts = tuple(n for n in self.verdicts if (item, sample, n) not in done)
        return self if verdicts == self.verdicts else replace(self, verdicts=verdicts)

    def claims(self, evaluator_record: EvalConfig) -> tuple[str, ...]:
        """Return what is claimed so that nobody else makes this verdict, or its output, too."""
        config = self.run_config.id if self.run_config else "as stored"
        output = f"{self.item.id} {config}{f' {self.sample}' if self.sample else ''}"
        verdict = f"verdict {evaluator_record.id} {output}"
        return (verdict,) if self.output else (f"output {output}", verdict)


def count_verdicts(requests: Iterable[VerdictRequest]) -> int:
    """Return how many verdicts some requests ask for."""
    return sum(len(request.verdicts) for request in requests)


def count_generations(requests: Iterable[VerdictRequest]) -> int:
    """Return how many outputs must be made for some requests."""
    return sum(request.output is None for request in requests)


@dataclass(frozen=True, slots=True)
class VerdictPlan:
    """What is left to do for a measurement.

    Attributes:
        requests: The verdicts to be made.
        existing: Verdicts that are there already.
        repeats: How often each item is run and judged.
        outputs: What the stored outputs are that are judged as they are; "" for run configs.
    """

    measurement: Measurement
    requests: tuple[VerdictRequest, ...]
    existing: int
    repeats: Repeats = ONCE
    outputs: str = ""

    @property
    def verdicts(self) -> int:
        """Return how many verdicts must be made."""
        return count_verdicts(self.requests)

    @property
    def generations(self) -> int:
        """Return how many outputs must be made."""
        return count_generations(self.requests)

    @property
    def steps(self) -> int:
        """Return how much there is to do, as progress counts it."""
        return self.verdicts + (self.generations if self.measurement.evaluator.model else 0)

    @property
    def calls_by_model(self) -> Mapping[str, int]:
        """Return how often each model will be asked, corrections left out."""
        calls: dict[str, int] = {
            model: self.verdicts * calls_each
            for model, calls_each in calls_of_item(self.measurement.evaluator).items()
        }
        for request in self.requests:
            for model, count in request.generation_calls.items():
                calls[model] = calls.get(model, 0) + count
        return calls


@dataclass(frozen=True, slots=True)
class PromptSources:
    """What the prompts of run configs are made of.

    Attributes:
        prompts: The task's saved prompts.
        examples: The runs that prompts may show; empty if no prompt shows any.
    """

    prompts: Sequence[Prompt]
    examples: Sequence[TaskRun]


async def read_prompt_sources(
    measurement: Measurement, run_configs: Sequence[TaskRunConfig]
) -> PromptSources:
    """Read what the prompts of run configs are made of."""
    store, task = measurement.store, measurement.task
    examples = await runs_to_show(store, task) if any(map(shows_examples, run_configs)) else []
    return PromptSources(await store.children(task, Prompt), examples)


async def plan_run(
    measurement: Measurement,
    run_configs: Sequence[TaskRunConfig],
    items: Sequence[ItemReference],
    seed: int = 0,
    repeats: Repeats = ONCE,
) -> VerdictPlan:
    """Return what is left to do for run configs over items: each item once, then again.

    Raises:
        Refusal: A run config does not run here.
    """
    sources = await read_prompt_sources(measurement, run_configs)
    requests: list[VerdictRequest] = []
    for config in run_configs:
        resolved_config = resolve(
            measurement.task, config, sources.prompts, sources.examples, seed=seed
        )
        done = await measurement.judged_outputs(config.id)
        numbers = tuple(range(repeats.verdicts))
        planned_requests = (
            VerdictRequest(item, config, resolved_config, None, sample, numbers).without(done)
            for sample in range(repeats.outputs)
            for item in items
        )
        open_requests = [request for request in planned_requests if request.verdicts]
        outputs = await measurement.outputs(config.id) if open_requests else {}
        requests += [
            replace(request, output=outputs.get(request.output_key)) for request in open_requests
        ]
    all_verdicts = len(items) * len(run_configs) * repeats.outputs * repeats.verdicts
    existing = all_verdicts - count_verdicts(requests)
    return VerdictPlan(measurement, tuple(requests), existing, repeats)


async def plan_agreement(
    measurement: Measurement, runs: Sequence[RecordRow], verdicts: int = 1, outputs: str = ""
) -> VerdictPlan:
    """Return what is left to do to judge stored outputs as they are.

    Args:
        measurement: The eval with the evaluator.
        runs: The runs that hold the outputs.
        verdicts: Verdicts of each output.
        outputs: What these outputs are, for the log.
    """
    done = await measurement.judged_outputs(STORED)
    numbers = tuple(range(verdicts))
    all_requests = (
        VerdictRequest(
            ItemReference(run.id, "task_run", run.path), None, None, run, verdicts=numbers
        ).without(done)
        for run in runs
    )
    requests = tuple(request for request in all_requests if request.verdicts)
    existing = len(runs) * verdicts - count_verdicts(requests)
    return VerdictPlan(measurement, requests, existing, Repeats(1, verdicts), outputs)


async def remaining_requests_of(
    measurement: Measurement, requests: Sequence[VerdictRequest]
) -> list[VerdictRequest]:
    """Return those requests whose verdict is not there by now, with outputs made meanwhile.

    The project's folder is looked at first: other processes may have made them.
    """
    store = measurement.store
    await store.look_at(measurement.evaluator_record, EvalRun)
    is_complete = all(request.output for request in requests)
    if not is_complete:
        await store.look_at(measurement.task, TaskRun)
    config_ids = {request.config_id for request in requests}
    done = {config: await measurement.judged_outputs(config) for config in config_ids}
    outputs = {
        config: {} if is_complete else await measurement.outputs(config) for config in config_ids
    }
    remaining_requests: list[VerdictRequest] = []
    for request in requests:
        remaining = request.without(done[request.config_id])
        if remaining.verdicts:
            output = request.output or outputs[request.config_id].get(request.output_key)
            remaining_requests.append(replace(remaining, output=output))
    return remaining_requests
