"""Find the records that a call names, by name, id or handle."""

from collections.abc import Sequence

from kiln_mcp.datasets.task_eval import TaskEval
from kiln_mcp.evals.errors import NothingToEvaluate
from kiln_mcp.evals.measurement import Measurement
from kiln_mcp.projects.project_references import task_above
from storage import Eval, EvalConfig, ProjectStore, Task, TaskRunConfig
from storage.errors import NextStep, RecordNotFound
from storage.records.handles import choose
from storage.text.kind_words import split_handle


async def all_evals(store: ProjectStore) -> list[TaskEval]:
    """Return every eval of a project with its task."""
    return [
        TaskEval(task, eval_record)
        for task in await store.children(store.project, Task)
        for eval_record in await store.children(task, Eval)
    ]


async def find_eval(store: ProjectStore, reference: str) -> TaskEval:
    """Return the eval with a name, id or handle, of any task.

    Raises:
        RecordNotFound: There is none.
        CorruptRecord: The eval can be read and its task cannot.
    """
    eval_record = await store.find(Eval, reference)
    return TaskEval(await task_above(store, eval_record), eval_record)


async def find_existing_eval(store: ProjectStore, reference: str) -> TaskEval | None:
    """Return the eval that a reference means; None if it can only be the name of a new one.

    Raises:
        RecordNotFound: It is a handle, such as `eval/refunds`, and no eval has it.
    """
    try:
        return await find_eval(store, reference)
    except RecordNotFound:
        if split_handle(reference)[0]:
            raise
        return None


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
        return choose(EvalConfig, evaluators, name)
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
            next=[
                NextStep(tool="create_run_config", reason="create one"),
                NextStep(
                    tool="run_eval",
                    reason="or judge stored outputs as they are",
                    arguments={"outputs": "all"},
                ),
            ],
        )
    if not references:
        return configs
    return [choose(TaskRunConfig, configs, reference) for reference in references]
