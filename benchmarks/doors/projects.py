"""Projects of any size, written through the store."""

import json
from collections.abc import Sequence
from pathlib import Path

from storage import (
    DataSource,
    Eval,
    EvalConfig,
    EvalRun,
    Project,
    ProjectStore,
    Record,
    Task,
    TaskOutput,
    TaskRun,
    TaskRunConfig,
)

TAG = "test_b"
GOLDEN = "golden_b"
SCORE = {"name": "Polite", "type": "pass_fail", "instruction": "Is the answer polite?"}
FILTERS = {"eval_set_filter_id": f"tag::{TAG}", "eval_configs_filter_id": f"tag::{GOLDEN}"}
CHECK = {"type": "contains", "substring": "thank", "value_expression": "final_message"}


def judge_properties(model: str, steps: str = "Look for rude words.") -> dict[str, object]:
    return {
        "type": "llm_judge",
        "model_name": model,
        "model_provider": "local",
        "prompt_template": "Judge this answer.\n{{ final_message }}\n{{ judge_instructions }}",
        "judge_instructions": [steps],
    }


async def save_all(store: ProjectStore, records: Sequence[Record], parent: Record) -> list[Record]:
    saved: list[Record] = []
    for begin in range(0, len(records), 500):
        async with store.transaction() as change:
            saved += [change.save(record, parent) for record in records[begin : begin + 500]]
    return saved


def item(number: int, *tags: str) -> TaskRun:
    return TaskRun(
        input=f"Question {number}: where is parcel {number}?",
        output=TaskOutput(output=f"Answer {number}: thank you for your patience."),
        tags=tags,
    )


async def task_with_items(
    store: ProjectStore, items: int, *tags: str
) -> tuple[Task, list[TaskRun]]:
    task = await store.save(Task(name="Answer", instruction="Be polite."), parent=store.project)
    runs = [item(number, *tags) for number in range(items)]
    return task, [run for run in await save_all(store, runs, task) if isinstance(run, TaskRun)]


async def eval_of(store: ProjectStore, task: Task) -> Eval:
    record = Eval.model_validate({"name": "Polite", "output_scores": [SCORE], **FILTERS})
    return await store.save(record, parent=task)


async def evaluator(store: ProjectStore, parent: Eval, name: str, properties: object) -> EvalConfig:
    record = EvalConfig.model_validate(
        {"name": name, "config_type": "v2", "properties": properties}
    )
    return await store.save(record, parent=parent)


async def run_config(
    store: ProjectStore, task: Task, name: str, temperature: float = 0.0
) -> TaskRunConfig:
    record = TaskRunConfig.model_validate(
        {
            "name": name,
            "run_config_properties": {
                "model_name": "judge",
                "model_provider_name": "local",
                "prompt_id": "simple_prompt_builder",
                "top_p": 1.0,
                "temperature": temperature,
                "structured_output_mode": "default",
            },
        }
    )
    return await store.save(record, parent=task)


def outputs(items: Sequence[TaskRun], config: TaskRunConfig) -> list[TaskRun]:
    source = DataSource.model_validate(
        {
            "type": "synthetic",
            "properties": {
                "model_name": "judge",
                "model_provider": "local",
                "adapter_name": "kiln_mcp",
            },
            "run_config_id": config.id,
        }
    )
    return [
        TaskRun.model_validate(
            {
                "input": run.input,
                "output": {"output": f"Reply {run.id}: thank you.", "source": source},
                "eval_source": {"source_type": "task_run", "source_id": run.id},
            }
        )
        for run in items
    ]


async def measured_project(folder: Path, home: Path, items: int, *, verdicts: bool) -> None:
    """Make a project with run configs A and B, their stored outputs, and a check's verdicts."""
    async with await ProjectStore.create(folder, Project(name="Doors"), home=home) as store:
        task, runs = await task_with_items(store, items, TAG)
        measured = await eval_of(store, task)
        check = await evaluator(store, measured, "check", CHECK)
        await evaluator(store, measured, "judge", judge_properties("judge"))
        await evaluator(store, measured, "same judge", judge_properties("judge"))
        other = judge_properties("judge", "Look for friendly words.")
        await evaluator(store, measured, "other judge", other)
        await store.save(measured.replace(current_config_id=check.id))
        for name, fails in (("A", 3), ("B", 5)):
            config = await run_config(store, task, name)
            made = await save_all(store, outputs(runs, config), task)
            if verdicts:
                results = [
                    EvalRun(
                        dataset_id=run.id,
                        task_run_config_id=config.id,
                        scored_run_id=output.id,
                        scores={"polite": float(number % fails > 0)},
                    )
                    for number, (run, output) in enumerate(zip(runs, made, strict=True))
                ]
                await save_all(store, results, check)


async def labelled_project(
    folder: Path, home: Path, items: int, *, judges: int, labels: int
) -> None:
    """Make a project whose golden items have verdicts of checks, and of which some have labels."""
    async with await ProjectStore.create(folder, Project(name="Doors"), home=home) as store:
        task, runs = await task_with_items(store, items, GOLDEN)
        measured = await eval_of(store, task)
        for number in range(judges):
            check = await evaluator(store, measured, f"check {number}", CHECK)
            results = [
                EvalRun(
                    dataset_id=run.id,
                    eval_config_eval=True,
                    scored_run_id=run.id,
                    scores={"polite": float((place + number) % 3 > 0)},
                )
                for place, run in enumerate(runs)
            ]
            await save_all(store, results, check)
        lines = [
            json.dumps(
                {
                    "v": 1,
                    "at": "2026-01-01T00:00:00Z",
                    "item": run.id,
                    "score": "polite",
                    "value": float(place % 3 > 0),
                    "rater": "ann",
                    "ledger": "certificate",
                    "draw": "1",
                    "confirmed": True,
                }
            )
            for place, run in enumerate(runs[:labels])
        ]
        async with store.transaction() as change:
            change.append_lines(measured, "kiln_mcp_labels.jsonl", lines)
