"""Conflict copies of cloud drives at the doors: never counted, and settled in one call."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import JsonValue

from bench import Agrees, Bench, BenchSetup
from kiln_mcp.approvals.errors import MissingApproval
from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.llm import ModelRequest
from storage import DataSource, EvalConfig, EvalRun, Task, TaskOutput, TaskRun
from storage.collaboration.sync import Sharing

EXACT: dict[str, object] = {"type": "exact_match", "reference_key": "reference_answer"}


def echo(request: ModelRequest) -> str:
    return request.messages[-1].content


@pytest.fixture
def bench_setup() -> BenchSetup:
    return BenchSetup(Task(name="Echo", instruction="Repeat it."), echo, Agrees())


async def call(bench: Bench, tool: str, /, **arguments: JsonValue) -> dict[str, JsonValue]:
    return await installed_catalogue().perform(
        bench.workspace, tool, {"project": bench.folder, **arguments}
    )


async def add_items(bench: Bench, count: int) -> list[TaskRun]:
    person = DataSource(type="human", properties={"created_by": "ann"})
    async with bench.store.transaction() as change:
        return [
            change.save(
                TaskRun(
                    input=str(number),
                    input_source=person,
                    output=TaskOutput(output=str(number), source=person),
                    tags=("eval_right",),
                ),
                parent=bench.task,
            )
            for number in range(count)
        ]


def copy_folder(folder: Path, mark: str) -> Path:
    return Path(shutil.copytree(folder, folder.with_name(f"{folder.name}{mark}")))


async def test_no_item_result_or_task_of_a_copy_is_asked_paid_or_counted(bench: Bench) -> None:
    items = await add_items(bench, 4)
    for item in items[:2]:
        copy_folder(bench.store.side_folder(item), " (1)")
    await bench.evaluator(**EXACT)
    await bench.config("plain", "Repeat it.")
    report = await bench.run()
    assert (report.items, report.newly_scored, len(bench.model.asked)) == (4, 4, 4)
    (judge,) = (await bench.store.page_of(EvalConfig)).records
    result = (await bench.store.children(judge, EvalRun))[0]
    copy_folder(bench.store.side_folder(result), "-LAPTOP")
    copy_folder(bench.store.side_folder(judge), " 2")
    copy_folder(bench.store.side_folder(bench.task), " (Ana's conflicted copy 2026-11-20)")
    await bench.store.refresh()
    told = await call(bench, "describe_project")
    (task,) = told["tasks"] if isinstance(told["tasks"], list) else []
    assert isinstance(task, dict)
    (described,) = task["evals"] if isinstance(task["evals"], list) else []
    assert isinstance(described, dict)
    assert (described["evaluators"], described["test_items"], described["results"]) == (1, 4, 4)
    assert isinstance(told["copies"], list)
    assert len(told["copies"]) == 5
    again = await bench.run()
    assert (again.items, again.newly_scored, len(bench.model.asked)) == (4, 0, 4)
    for copy in [str(text).partition(": ")[0] for text in told["copies"]]:
        await call(bench, "settle_copy", path=copy, choice="merge")
    assert "copies" not in await call(bench, "describe_project")
    assert (await bench.run()).newly_scored == 0


async def test_a_copy_is_settled_as_the_plan_says_and_only_after_a_person_agreed(
    bench: Bench,
) -> None:
    (item,) = await add_items(bench, 1)
    file = bench.store.side_folder(item) / "task_run.kiln"
    data = json.loads(file.read_bytes())
    text = json.dumps(data | {"tags": ["eval_right", "late"]})
    file.with_name("task_run (1).kiln").write_text(text, "utf-8")
    (copy,) = await bench.store.copies()
    alone = replace(bench, workspace=replace(bench.workspace, person=None))
    with pytest.raises(MissingApproval, match="late") as refusal:
        await call(alone, "settle_copy", path=copy.path, choice="merge")
    assert 'tags: ["eval_right"] → ["eval_right", "late"]' in str(refusal.value)
    assert (await bench.store.get(TaskRun, item.id)).tags == ("eval_right",)
    settled = await call(bench, "settle_copy", path=copy.path, choice="merge")
    assert settled["remaining"] == 0
    assert (await bench.store.get(TaskRun, item.id)).tags == ("eval_right", "late")


async def test_who_deletes_a_record_is_told_that_its_copy_takes_its_place(bench: Bench) -> None:
    (item,) = await add_items(bench, 1)
    copy = copy_folder(bench.store.side_folder(item), " 2")
    await bench.store.refresh()
    alone = replace(bench, workspace=replace(bench.workspace, person=None))
    with pytest.raises(MissingApproval, match=copy.name):
        await call(alone, "delete_records", kind="run", records=[item.id])


async def test_a_sync_names_copies_and_does_not_send_them(bench: Bench) -> None:
    (item,) = await add_items(bench, 1)
    await call(bench, "sync_project")
    await call(bench, "sync_project")
    copy = copy_folder(bench.store.side_folder(item), " 2")
    await bench.store.refresh()
    answer = await call(bench, "sync_project")
    assert copy.name in str(answer["copies"])
    assert not {"saved", "unshared_files"} & answer.keys()
    assert len((await Sharing(bench.store).history()).entries) == 1
