"""Make an evaluator the one that an eval uses."""

from kiln_mcp.datasets.task_eval import TaskEval
from storage import Eval, EvalConfig, ProjectStore


async def set_current_judge(store: ProjectStore, task_eval: TaskEval, record: EvalConfig) -> None:
    """Make an evaluator the current one of its eval."""
    eval_record = await store.get(Eval, task_eval.id, parent=task_eval.task)
    if eval_record.current_config_id != record.id:
        async with store.transaction() as change:
            change.save(eval_record.replace(current_config_id=record.id))
