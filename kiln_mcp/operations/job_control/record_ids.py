"""The records that arguments name, by their ids: a rename leaves a job's arguments as they are."""

from collections.abc import Mapping
from typing import Final

from pydantic import JsonValue

from kiln_mcp.workbench.proposal import JsonObject
from storage import DatasetSplit, Eval, EvalConfig, ProjectStore, Record, Spec, Task, TaskRunConfig
from storage.errors import WorkbenchError
from storage.format.layout import folder_of

RECORD_ARGUMENTS: Final[Mapping[str, type[Record]]] = {
    "task": Task,
    "eval": Eval,
    "spec": Spec,
    "split": DatasetSplit,
    **dict.fromkeys(("evaluator", "evaluators"), EvalConfig),
    **dict.fromkeys(
        ("run_config", "run_configs", "start", "starts", "teacher", "compare", "prompts"),
        TaskRunConfig,
    ),
}
"""The kind of record that an argument of a job names, by the argument's name."""


async def with_record_ids(store: ProjectStore, arguments: JsonObject) -> JsonObject:
    """Return a job's arguments with the ids of the records that they name.

    What names no record, or several, stays as it is: the capability says so, or knows which.

    Args:
        store: The open project.
        arguments: The arguments.
    """
    task = await _find(store, Task, arguments.get("task"), store.project)
    eval_record = await _find(store, Eval, arguments.get("eval"), task)
    if task is None and eval_record is not None:
        task = await _task_above(store, eval_record)
    parents: Mapping[type[Record], Record | None] = {Task: store.project, EvalConfig: eval_record}

    async def id_of(kind: type[Record], value: JsonValue) -> JsonValue:
        if isinstance(value, list):
            return [await id_of(kind, item) for item in value]
        record = await _find(store, kind, value, parents.get(kind, task))
        return value if record is None else record.id

    return {
        name: await id_of(RECORD_ARGUMENTS[name], value) if name in RECORD_ARGUMENTS else value
        for name, value in arguments.items()
    }


async def _find(
    store: ProjectStore, kind: type[Record], reference: JsonValue, parent: Record | None
) -> Record | None:
    if not isinstance(reference, str):
        return None
    try:
        return await store.find(kind, reference, parent=parent, look=False)
    except WorkbenchError:
        return None


async def _task_above(store: ProjectStore, record: Record) -> Task | None:
    tasks = await store.children(store.project, Task)
    path = record.saved.path
    return next((t for t in tasks if path.startswith(f"{folder_of(t.saved.path)}/")), None)
