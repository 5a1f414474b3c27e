"""Conflict copies of cloud drives: detected by what they hold, not sent, and settled."""

import json
import shutil
from pathlib import Path

import pytest

from storage import Eval, EvalOutputScore, Feedback, ProjectStore, Task, TaskOutput, TaskRun
from storage.collaboration.copy_settlement import CopyChoice, settle, settlement
from storage.collaboration.sync import UNSYNCED, Sharing
from storage.errors import Refusal
from storage.index.queries import RunQuery
from storage.records import TaskOutputRating

NAMES = (
    "{} (Ana's conflicted copy 2026-11-20)",
    "{} (In Konflikt stehende Kopie von Ana 2026-11-20)",
    "{} (Copie en conflit de Ana 2026-11-20)",
    "{}-LAPTOP-7Q2",
    "{} (1)",
    "{} 2",
    "{}.sync-conflict-20261120-101112-ABCDEFG",
    "{} (conflicted copy 2026-11-20 101112)",
    "{}_conflict-20261120-101112",
    "{} [conflicted]",
    "{} (SFConflict ana@example.org 2026-11-20-10-11-12)",
    "{} - Kopie",
    "Kopie von {}",
    "Copy of {}",
    "{} - \u30b3\u30d4\u30fc",
    "{}\u7684\u526f\u672c",
    "\u041a\u043e\u043f\u0438\u044f {}",
    "Kopie van {}",
    "{} - m\u00e1solat (2)",
    "{}-Ana's MacBook Pro",
)


async def one_run(store: ProjectStore) -> tuple[Task, TaskRun]:
    (task,) = await store.children(store.project, Task)
    (run,) = await store.children(task, TaskRun)
    return task, run


def copy_file(file: Path, name: str, **changes: object) -> Path:
    copy = file.with_name(f"{name.format(file.stem)}{file.suffix}")
    data = json.loads(file.read_bytes()) | changes
    copy.write_text(json.dumps(data, indent=2, ensure_ascii=False), "utf-8")
    return copy


@pytest.mark.parametrize("name", NAMES)
async def test_a_copy_is_named_and_not_counted_whatever_the_drive_calls_it(
    ana: ProjectStore, name: str
) -> None:
    task, run = await one_run(ana)
    await ana.save(
        Eval(
            name="Tone",
            eval_set_filter_id="tag::a",
            eval_configs_filter_id="tag::b",
            output_scores=(EvalOutputScore(name="Tone", type="pass_fail"),),
        ),
        parent=task,
    )
    (eval_record,) = await ana.children(task, Eval)
    folder = ana.side_folder(run)
    labels = ana.side_folder(eval_record) / "kiln_mcp_labels.jsonl"
    labels.write_text("{}\n", "utf-8")
    paths = [
        copy_file(folder / "task_run.kiln", name),
        Path(shutil.copytree(folder, folder.with_name(name.format(folder.name)))),
        Path(shutil.copy(labels, labels.with_name(f"{name.format(labels.stem)}.jsonl"))),
    ]
    await ana.refresh()
    told = {copy.path: copy.original for copy in await ana.copies()}
    assert told.keys() == {path.relative_to(ana.folder).as_posix() for path in paths}
    originals = [folder / "task_run.kiln", folder, labels]
    assert set(told.values()) == {path.relative_to(ana.folder).as_posix() for path in originals}
    assert await ana.count_runs(task, RunQuery()) == 1
    assert len(await ana.children(task, TaskRun)) == 1
    outcome = await Sharing(ana).sync()
    assert outcome.outgoing == "Add the eval Tone"


async def test_a_copy_is_not_received_by_the_others(ana: ProjectStore, ben: ProjectStore) -> None:
    task, run = await one_run(ana)
    folder = ana.side_folder(run)
    copy_file(folder / "task_run.kiln", "{} (1)", input="other")
    shutil.copytree(folder, folder.with_name("backup"))
    shutil.copytree(
        ana.side_folder(task), ana.side_folder(task).with_name(f"{task.id} - Support 2")
    )
    await ana.save(TaskRun(input="new", output=TaskOutput(output="o")), parent=task)
    await Sharing(ana).sync()
    await Sharing(ben).sync()
    assert {path.name for path in (ben.folder / "tasks").iterdir()} == {ana.side_folder(task).name}
    runs = await ben.children((await ben.children(ben.project, Task))[0], TaskRun)
    assert [one.input for one in runs] == ["hi", "new"]
    assert not list(ben.folder.rglob("* (1).kiln"))


async def test_a_merged_copy_adds_what_the_record_lacks_and_keeps_two_values_apart(
    ana: ProjectStore,
) -> None:
    task, run = await one_run(ana)
    file = ana.side_folder(run) / "task_run.kiln"
    output = json.loads(file.read_bytes())["output"]
    rating = TaskOutputRating(value=4, type="five_star").model_dump(mode="json")
    copy_file(
        file, "{} (1)", output=output | {"rating": rating}, tags=["first", "late"], input="hello"
    )
    (copy,) = await ana.copies()
    plan = settlement(ana.folder, copy, CopyChoice.MERGE)
    assert plan.conflicts == ("input",)
    assert {change.field for change in plan.fields} == {"overall rating", "tags"}
    assert len(await ana.copies()) == 1
    await settle(ana, plan)
    merged = await ana.get(TaskRun, run.id)
    assert (merged.input, merged.tags) == ("hi", ("first", "late"))
    assert merged.output.rating is not None
    assert merged.output.rating.value == 4
    (conflict,) = await Sharing(ana).conflicts()
    assert {option.partition(" (")[0] for option in conflict.options} == {'"hello"', '"hi"'}
    assert await ana.copies() == []
    await Sharing(ana).undo(UNSYNCED)
    assert (await ana.get(TaskRun, run.id)).tags == ("first",)
    (entry,) = [entry for entry in await ana.trash() if entry.kind == "conflict_copy"]
    await ana.restore(entry.key)
    assert [one.path for one in await ana.copies()] == [copy.path]
    assert (await ana.get(TaskRun, run.id)).tags == ("first",)
    assert task.id


async def test_labels_of_a_copy_are_added_once_each(ana: ProjectStore) -> None:
    task, _ = await one_run(ana)
    labels = ana.side_folder(task) / "kiln_mcp_labels.jsonl"
    first, second, third = (
        json.dumps({"item": str(day), "at": f"2026-11-0{day}T00:00:00+00:00"}) for day in (1, 2, 3)
    )
    labels.write_text(f"{first}\n{third}\n", "utf-8")
    labels.with_name("kiln_mcp_labels-LAPTOP.jsonl").write_text(f"{first}\n{second}\n", "utf-8")
    (copy,) = await ana.copies()
    await settle(ana, settlement(ana.folder, copy, CopyChoice.MERGE))
    assert labels.read_text("utf-8") == f"{first}\n{second}\n{third}\n"


async def test_a_copied_task_brings_what_only_it_has_and_the_record_keeps_the_rest(
    ana: ProjectStore,
) -> None:
    task, run = await one_run(ana)
    folder = ana.side_folder(task)
    copy_folder = Path(shutil.copytree(folder, folder.with_name(f"{folder.name} 2")))
    new = copy_folder / "runs" / "111111111111"
    shutil.copytree(copy_folder / "runs" / run.id, new)
    copy_file(new / "task_run.kiln", "{}", id="111111111111", input="only there").replace(
        new / "task_run.kiln"
    )
    await ana.refresh()
    (copy,) = await ana.copies()
    plan = settlement(ana.folder, copy, CopyChoice.MERGE)
    assert plan.summary == "Add 1 run"
    await settle(ana, plan)
    assert {one.input for one in await ana.children(task, TaskRun)} == {"hi", "only there"}
    assert await ana.copies() == []


@pytest.mark.parametrize("name", ["runs 2", "runs_conflict-20261120-101112", "Kopia runs"])
async def test_a_copied_folder_of_runs_is_named_not_sent_and_taken_in(
    ana: ProjectStore, name: str
) -> None:
    task, run = await one_run(ana)
    runs = ana.side_folder(run).parent
    copy_folder = Path(shutil.copytree(runs, runs.with_name(name)))
    shutil.copytree(copy_folder / run.id, copy_folder / "111111111111")
    file = copy_folder / "111111111111" / "task_run.kiln"
    copy_file(file, "{}", id="111111111111", input="only there")
    (copy,) = await ana.copies()
    assert copy.path.endswith(f"/{name}")
    assert (await Sharing(ana).sync()).outgoing == ""
    await settle(ana, settlement(ana.folder, copy, CopyChoice.MERGE))
    assert {one.input for one in await ana.children(task, TaskRun)} == {"hi", "only there"}
    assert await ana.copies() == []


async def test_a_part_of_a_copied_folder_without_its_record_is_taken_in(ana: ProjectStore) -> None:
    task, run = await one_run(ana)
    folder = ana.side_folder(task)
    other = folder.with_name(f"{folder.name} (1)")
    shutil.copytree(folder / "runs", other / "runs")
    new = other / "runs" / run.id / "feedback" / "222222222222"
    new.mkdir(parents=True)
    feedback = Feedback(id="222222222222", feedback="Good.", source="run-page")
    (new / "feedback.kiln").write_text(feedback.model_dump_json(), "utf-8")
    (copy,) = await ana.copies()
    assert (await Sharing(ana).sync()).outgoing == ""
    with pytest.raises(Refusal, match="no record of its own"):
        settlement(ana.folder, copy, CopyChoice.REPLACE)
    await settle(ana, settlement(ana.folder, copy, CopyChoice.MERGE))
    assert [one.feedback for one in await ana.children(run, Feedback)] == ["Good."]
    assert await ana.copies() == []


@pytest.mark.parametrize("is_folder", [True, False])
async def test_a_copy_replaces_its_record_whose_version_is_in_the_trash(
    ana: ProjectStore, is_folder: bool
) -> None:
    task, run = await one_run(ana)
    folder = ana.side_folder(run)
    file = folder / "task_run.kiln"
    if is_folder:
        other = Path(shutil.copytree(folder, folder.with_name(f"{run.id} (1)")))
        copy_file(other / "task_run.kiln", "{}", tags=["theirs"])
    else:
        copy_file(file, "{} (1)", tags=["theirs"])
    await ana.refresh()
    (copy,) = await ana.copies()
    await settle(ana, settlement(ana.folder, copy, CopyChoice.REPLACE))
    (replaced,) = await ana.children(task, TaskRun)
    assert (replaced.saved.path, replaced.tags) == (run.saved.path, ("theirs",))
    assert await ana.copies() == []
    entries = [entry for entry in await ana.trash() if entry.folder in run.saved.path]
    with pytest.raises(Refusal, match="exists again"):
        await ana.restore(entries[0].key)
    await Sharing(ana).undo(UNSYNCED)
    assert (await ana.get(TaskRun, run.id)).tags == ("first",)


async def test_a_copy_takes_the_place_of_a_file_that_is_gone_or_broken(ana: ProjectStore) -> None:
    task, run = await one_run(ana)
    file = ana.side_folder(run) / "task_run.kiln"
    copy_file(file, "{} 2")
    for break_file in (file.unlink, lambda: file.write_text("{", "utf-8")):
        break_file()
        await ana.refresh()
        (copy,) = await ana.copies()
        await settle(ana, settlement(ana.folder, copy, CopyChoice.MERGE))
        assert [one.id for one in await ana.children(task, TaskRun)] == [run.id]
        copy_file(file, "{} 2")


async def test_what_changes_between_plan_and_settlement_refuses_it(ana: ProjectStore) -> None:
    _, run = await one_run(ana)
    file = ana.side_folder(run) / "task_run.kiln"
    other = copy_file(file, "{} (1)", tags=["a"])
    (copy,) = await ana.copies()
    plan = settlement(ana.folder, copy, CopyChoice.REPLACE)
    copy_file(file, "{} (1)", tags=["b"])
    with pytest.raises(Refusal, match="changed since the plan"):
        await settle(ana, plan)
    assert other.exists()
    assert (await ana.get(TaskRun, run.id)).tags == ("first",)


async def test_another_record_in_a_records_folder_is_not_taken_in(ana: ProjectStore) -> None:
    _, run = await one_run(ana)
    copy_file(ana.side_folder(run) / "task_run.kiln", "{} (1)", id="999999999999")
    (copy,) = await ana.copies()
    with pytest.raises(Refusal, match="999999999999"):
        settlement(ana.folder, copy, CopyChoice.MERGE)
    await settle(ana, settlement(ana.folder, copy, CopyChoice.DISCARD))
    assert await ana.copies() == []


async def test_a_copy_of_the_projects_own_file_is_settled(ana: ProjectStore) -> None:
    copy_file(ana.folder / "project.kiln", "{} (1)", description="From the other computer.")
    (copy,) = await ana.copies()
    await settle(ana, settlement(ana.folder, copy, CopyChoice.MERGE))
    assert ana.project.description == "From the other computer."
    (entry,) = await ana.trash()
    await ana.restore(entry.key)
    assert [one.path for one in await ana.copies()] == [copy.path]
