"""Find the records that a call names, by id or name."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from kiln_mcp.evals.errors import NothingToEvaluate
from kiln_mcp.evals.measurement import Measurement
from storage import Eval, EvalConfig, ProjectStore, Task, TaskRunConfig
from storage.errors import NextStep, RecordNotFound
from storage.refusals import ambiguous_name


class _HasName(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...


NamedT = TypeVar("NamedT", bound=_HasName)


@dataclass(frozen=True, slots=True)
class TaskEval:
    """An eval with the task that it belongs to."""

    task: Task
    eval_record: Eval

    @property
    def id(self) -> str:
        """Return the eval's id."""
        return self.eval_record.id

    @property
    def name(self) -> str:
        """Return the eval's name."""
        return self.eval_record.name


def choose(kind: str, candidates: Sequence[NamedT], reference: str) -> NamedT:
    """Return the candidate with an id or name, whatever the case of its letters.

    Raises:
        RecordNotFound: There is none; the error names the closest and lists valid ones.
        Refusal: Several have the name.
    """
    key = reference.strip().casefold()
    matches = [c for c in candidates if c.id == reference or c.name.casefold() == key]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise ambiguous_name(kind, reference, [c.id for c in matches])
    names = [c.name for c in candidates]
    raise RecordNotFound(kind, reference, names)


async def all_evals(store: ProjectStore) -> list[TaskEval]:
    """Return every eval of a project with its task."""
    return [
        TaskEval(task, eval_record)
        for task in await store.children(store.project, Task)
        for eval_record in await store.children(task, Eval)
    ]


async def find_eval(store: ProjectStore, reference: str) -> TaskEval:
    """Return the eval with a name or id, of any task.

    Raises:
        RecordNotFound: There is none.
    """
    return choose("eval", await all_evals(store), reference)


async def find_evaluator(
    store: ProjectStore, eval_record: Eval, reference: str | None
) -> EvalConfig:
    """Return the named evaluator; without a name, the eval's current one or its only one.

    Raises:
        NothingToEvaluate: The eval has no evaluator, or several and none is current or named.
        RecordNotFound: There is none of this name.
    """
    evaluators = await store.children(eval_record, EvalConfig)
    name = reference or eval_record.current_config_id
    if name:
        return choose("evaluator", evaluators, name)
    if not evaluators:
        raise NothingToEvaluate(
            f"The eval {eval_record.name!r} has no evaluator.",
            next=[NextStep(tool="create_evaluator", reason="create one")],
        )
    if len(evaluators) > 1:
        names = ", ".join(evaluator.name for evaluator in evaluators)
        raise NothingToEvaluate(
            f"The eval {eval_record.name!r} has {len(evaluators)} evaluators and none is its "
            f"current one. Name one: {names}."
        )
    return evaluators[0]


async def load_measurement(
    store: ProjectStore, task_eval: TaskEval, reference: str | None
) -> Measurement:
    """Return an eval with an evaluator.

    Raises:
        NothingToEvaluate: There is no evaluator.
        RecordNotFound: There is none of this name.
    """
    evaluator = await find_evaluator(store, task_eval.eval_record, reference)
    return Measurement(store, task_eval.task, task_eval.eval_record, evaluator)


async def find_run_configs(
    store: ProjectStore, task: Task, references: Sequence[str]
) -> list[TaskRunConfig]:
    """Return the named run configs, in this order; all of the task if no name is given.

    Raises:
        RecordNotFound: There is none of a name.
        NothingToEvaluate: The task has none.
    """
    configs = await store.children(task, TaskRunConfig)
    if not configs:
        raise NothingToEvaluate(
            f"The task {task.name!r} has no run config.",
            next=[NextStep(tool="create_run_config", reason="create one")],
        )
    if not references:
        return configs
    return [choose("run config", configs, reference) for reference in references]
