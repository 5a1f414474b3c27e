"""A project that is large in every way that an answer shows, and the calls that read it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from kiln_mcp.evolution.engine.decision_log import Event
from kiln_mcp.evolution.search_log import FILE, write_decisions
from kiln_mcp.jobs.database import open_database
from kiln_mcp.jobs.job_end import End
from kiln_mcp.jobs.job_records import Job, JobState
from kiln_mcp.jobs.job_table import JobTable
from kiln_mcp.workbench.capability import AnyCapability
from storage import (
    DatasetSplit,
    DataSource,
    Eval,
    EvalConfig,
    EvalRun,
    Project,
    ProjectStore,
    Prompt,
    Record,
    Spec,
    Task,
    TaskOutput,
    TaskRun,
    TaskRunConfig,
)
from storage.collaboration.sync import Sharing
from storage.records import SplitDefinition

TAGS = ("test_large", "golden_large", *map("tag_{}".format, range(8)))
SENTENCE = "The parcel 4711 left Hamburg on 3 May and is late; nobody promised Ms. Ölçer a refund. "


@dataclass(frozen=True)
class Size:
    """How much of everything there is."""

    items: int = 300
    many: int = 60
    scored_items: int = 6
    long_text: int = 9000
    changes: int = 2


def text(number: int, characters: int) -> str:
    return f"{number}: {SENTENCE * (characters // len(SENTENCE) + 1)}"[:characters]


async def save_all(store: ProjectStore, records: Sequence[Record], parent: Record) -> None:
    for begin in range(0, len(records), 500):
        async with store.transaction() as change:
            for record in records[begin : begin + 500]:
                change.save(record, parent)


def _run(number: int, size: Size) -> TaskRun:
    length = size.long_text if number % 50 == 0 else 1200
    return TaskRun(
        input=text(number, length),
        output=TaskOutput(
            output=text(number, length),
            source=DataSource(type="human", properties={"created_by": "ann"}),
        ),
        tags=(
            f"topic_{number % 40}",
            "test_large",
            "golden_large",
            *map("tag_{}".format, range(8)),
        ),
    )


def _run_config(number: int) -> TaskRunConfig:
    return TaskRunConfig.model_validate(
        {
            "name": f"Run config {number} with a long and telling name",
            "run_config_properties": {
                "model_name": "judge",
                "model_provider_name": "local",
                "prompt_id": "simple_prompt_builder",
                "top_p": 1.0,
                "temperature": number / 100,
                "structured_output_mode": "default",
            },
        }
    )


def _eval(number: int) -> Eval:
    scores = [
        {"name": f"Score {n}", "type": "pass_fail", "instruction": text(n, 600)} for n in range(4)
    ]
    return Eval.model_validate(
        {
            "name": f"Eval {number}",
            "output_scores": scores,
            "eval_set_filter_id": "tag::test_large",
            "eval_configs_filter_id": "tag::golden_large",
        }
    )


async def _save_results(store: ProjectStore, task: Task, size: Size) -> None:
    """Save an eval with many evaluators, whose first one has scored many run configs."""
    await save_all(store, [_eval(number) for number in range(size.many)], task)
    measured = (await store.children(task, Eval))[0]
    check = {"type": "contains", "substring": "late", "value_expression": "final_message"}
    evaluators = [
        EvalConfig.model_validate({"name": f"Check {n}", "config_type": "v2", "properties": check})
        for n in range(size.many)
    ]
    await save_all(store, evaluators, measured)
    first = next(e for e in await store.children(measured, EvalConfig) if e.name == "Check 0")
    await store.save(measured.replace(current_config_id=first.id))
    runs = await store.children(task, TaskRun)
    results = [
        EvalRun(
            dataset_id=run.id,
            task_run_config_id=config.id,
            output=text(number, size.long_text),
            intermediate_outputs={"chain_of_thought": text(number, 3000)},
            scores={f"score_{n}": float((number + n) % 3 > 0) for n in range(4)},
        )
        for config in await store.children(task, TaskRunConfig)
        for number, run in enumerate(runs[: size.scored_items])
    ]
    await save_all(store, results, first)


def _save_jobs(database_url: str, size: Size) -> None:
    table = JobTable(open_database(database_url))
    table.create_tables()
    rows: list[JsonValue] = [
        {"run_config": f"Run config {n}", "says": text(n, 300)} for n in range(size.many)
    ]
    for number in range(100):
        job = Job(f"{number:032x}", "run_eval", {"project": "Large"})
        table.add(job)
        table.begin(job)
        state = JobState.DONE if number == 0 else JobState.FAILED
        result: dict[str, JsonValue] | None = {"table": rows} if number == 0 else None
        table.end(job, End(state, result, None if number == 0 else text(number, 500)))


async def build(folder: Path, home: Path, database_url: str, size: Size) -> None:
    """Make the project "Large", with jobs beside it."""
    async with await ProjectStore.create(folder, Project(name="Large"), home=home) as store:
        task = await store.save(
            Task(name="Answer", instruction=text(0, size.long_text)), parent=store.project
        )
        others = [Task(name=f"Task {n}", instruction="Do it.") for n in range(12)]
        await save_all(store, others, store.project)
        await save_all(store, [_run(n, size) for n in range(size.items)], task)
        configs = [_run_config(n) for n in range(size.many)]
        await save_all(store, configs, task)
        await _save_others(store, task, size)
        await _save_results(store, task, size)
        await _save_search(store, task, size)
        rest = await store.children(task, Prompt)
        async with store.transaction() as change:
            for prompt in rest[size.many :]:
                change.delete(prompt)
        await _save_history(store, task, size)
        for run in (await store.children(task, TaskRun))[-size.many // 2 :]:
            (store.folder / run.saved.path).write_text("{")
    _save_jobs(database_url, size)


async def _save_history(store: ProjectStore, task: Task, size: Size) -> None:
    """Keep a history with changes, each of which rewrites many specs."""
    sharing = Sharing(store)
    await sharing.share()
    for number in range(size.changes):
        async with store.transaction() as change:
            for spec in await store.children(task, Spec):
                change.save(spec.replace(definition=text(number, size.long_text)))
        await sharing.save_history()


async def _save_search(store: ProjectStore, task: Task, size: Size) -> None:
    """Keep a search for a better prompt beside the first eval, with many candidates."""

    def blocks(number: int) -> list[dict[str, str]]:
        block = {"id": "b1", "text": text(number, size.long_text), "component": "", "gap": ""}
        return [block]

    events: list[Event] = [{"event": "start", "candidate": "c0", "blocks": blocks(0)}]
    for number in range(1, size.many + 1):
        decision: Event = {
            "event": "decision",
            "candidate": f"c{number}",
            "onto": f"c{number - 1}",
            "accepted": number % 2 == 0,
            "lesson": text(number, 400),
            "reason": text(number, 400),
            "items": [f"{item}" * 12 for item in range(8)],
            "calls": 10 * number,
            "gain": 0.01,
            "blocks": blocks(number),
        }
        events.append(decision)
    (eval_record, *_) = await store.children(task, Eval)
    await write_decisions(store, eval_record, FILE.format(run="large"), events)


async def _save_others(store: ProjectStore, task: Task, size: Size) -> None:
    prompts = [
        Prompt(name=f"Prompt {n} of many", prompt=text(n, size.long_text))
        for n in range(3 * size.many)
    ]
    specs = [
        Spec.model_validate(
            {
                "name": f"Spec {n} about refunds",
                "definition": text(n, size.long_text),
                "properties": {
                    "spec_type": "desired_behaviour",
                    "desired_behaviour_description": text(n, size.long_text),
                },
            }
        )
        for n in range(size.many)
    ]
    ids = tuple(run.id for run in await store.children(task, TaskRun))
    split = DatasetSplit(
        name="July",
        splits=(SplitDefinition(name="all", percentage=1.0),),
        split_contents={"all": ids},
        filter="all",
    )
    await save_all(store, prompts, task)
    await save_all(store, specs, task)
    await save_all(store, [split], task)


NAMES: Mapping[str, str] = {
    "spec": "spec/spec-1-about-refunds",
    "prompt": "Prompt 1 of many",
    "task": "task/answer",
    "dataset_split": "dataset-split/july",
    "eval": "eval/eval-0",
}
_REQUIRED: Mapping[str, JsonValue] = {
    "project": "Large",
    "eval": "eval/eval-0",
}
"""The values of arguments that a call needs."""
_LARGE: Mapping[str, JsonValue] = {
    "limit": 200,
    "count": 100,
    "longest": 100_000,
    "items": "all",
    "job": "job/" + "0" * 32,
    "compare": [
        "run-config/run-config-0-with-a-long-and-telling-name",
        "Run config 1 with a long and telling name",
    ],
    "eval": "eval/eval-0",
    "filter": "tag::topic_1",
    "markdown": True,
}
"""Values of optional arguments with which a call may answer much."""
_OWN: Mapping[tuple[str, str], JsonValue] = {
    ("show_prompt_search", "compare"): ["start", "best"],
}
"""The same for one capability, where the argument means something else."""


def reading_calls(item: AnyCapability, run: str) -> Iterator[tuple[str, dict[str, JsonValue]]]:
    """Yield calls of a capability that only reads: the shortest, and those that ask for much.

    Args:
        item: The capability.
        run: The id of a run with long texts.
    """
    schema: dict[str, Any] = json.loads(json.dumps(item.input_schema))
    properties, required = schema["properties"], set(schema.get("required", []))
    kinds: list[str | None] = [None]
    if "kind" in properties:
        is_choice = "record" in properties and "record" not in required
        kinds = [None, "spec"] if is_choice else [*NAMES, "run"]
    for kind in kinds:
        values = {**_REQUIRED}
        if kind is not None:
            values |= {"kind": kind, "record": NAMES.get(kind, run)}
        assert required <= values.keys(), f"give {required - values.keys()} for {item.name}"
        fixed = {"kind", "record"} if kind is not None else set[str]()
        call = {
            name: values[name] for name in values if name in required | (fixed & set(properties))
        }
        if "task" in properties:
            call["task"] = NAMES["task"]
        yield kind or "", call
        of_runs = {"filter"} if kind not in {None, "run"} else set[str]()
        for name in _LARGE.keys() & properties.keys() - required - of_runs:
            more = {"eval": NAMES["eval"]} if "eval" in properties else {}
            value = _OWN.get((item.name, name)) or _largest(name, properties)
            yield f"{kind or ''} {name}".strip(), {**call, **more, name: value}


def _largest(name: str, properties: Mapping[str, Any]) -> JsonValue:
    value = _LARGE[name]
    return min(value, properties[name].get("maximum", value)) if isinstance(value, int) else value
