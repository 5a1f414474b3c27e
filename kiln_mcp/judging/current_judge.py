"""Make an evaluator the one that an eval uses."""

from collections.abc import Sequence

from kiln_mcp.datasets.task_eval import TaskEval
from kiln_mcp.evals.measurement import Measurement
from storage import Eval, EvalConfig, ProjectStore
from storage.errors import InvalidValue


def check_current(references: Sequence[str] | None, *, is_measured: bool) -> None:
    """Refuse to make an evaluator the current one unless it is named alone and measured.

    Raises:
        InvalidValue: Not exactly one evaluator was named, or the call measures none.
    """
    if len(references or ()) != 1 or not is_measured:
        raise InvalidValue(
            "make_current goes with the summary of one evaluator. Name that one in `evaluators`, "
            "and leave `show` and `target` out."
        )


async def set_current_judge(store: ProjectStore, task_eval: TaskEval, record: EvalConfig) -> None:
    """Make an evaluator the current one of its eval."""
    eval_record = await store.get(Eval, task_eval.id, parent=task_eval.task)
    if eval_record.current_config_id != record.id:
        async with store.transaction() as change:
            change.save(eval_record.replace(current_config_id=record.id))


def current_sentences(
    judges: Sequence[Measurement], task_eval: TaskEval, *, is_set: bool
) -> list[str]:
    """Return the sentence that says which judge the eval uses now; none if that is as it was."""
    if not is_set:
        return []
    return [f"{task_eval.name!r} uses {judges[0].evaluator_record.name!r} from now on."]
