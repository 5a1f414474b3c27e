"""Records of every kind are found and read at the doors."""

import shutil
from typing import get_args

import pytest
from pydantic import JsonValue

from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.projects.records.record_kinds import Kind
from kiln_mcp.workbench.workspace import Workspace
from storage import ProjectStore, Prompt, Task, TaskOutput, TaskRun
from storage.errors import (
    CorruptRecord,
    InvalidQuery,
    RecordNotFound,
    StorageError,
    UnreadableRecord,
)
from storage.records import ExternalToolServer


async def _call(workspace: Workspace, tool: str, /, **arguments: JsonValue) -> dict[str, JsonValue]:
    return await installed_catalogue().perform(workspace, tool, arguments)


async def _store(workspace: Workspace) -> tuple[ProjectStore, Task]:
    store = await workspace.open_project("P")
    (task,) = await store.children(store.project, Task)
    return store, task


async def _known(workspace: Workspace, **arguments: JsonValue) -> tuple[list[str], JsonValue]:
    page = await _call(workspace, "find", project="P", **arguments)
    records = page.get("records", [])
    assert isinstance(records, list)
    known = [str(record["label"]) for record in records if isinstance(record, dict)]
    return known, page.get("next_cursor")


async def test_records_of_a_kind_come_page_by_page_the_newest_first(workspace: Workspace) -> None:
    store, task = await _store(workspace)
    for number in range(5):
        await store.save(Prompt(name=f"Grüße {number}", prompt="Hi."), parent=task)
    found: list[str] = []
    cursor: JsonValue = None
    for most in (2, 2, 1):
        known, cursor = await _known(workspace, kind="prompt", limit=2, cursor=cursor)
        assert len(known) == most
        found += known
    assert cursor is None
    assert found == [f"Grüße {number}" for number in (4, 3, 2, 1, 0)]
    assert (await _known(workspace, kind="prompt", text="GRÜSSE 3"))[0] == ["Grüße 3"]
    with pytest.raises(InvalidQuery, match="next_cursor"):
        await _known(workspace, kind="prompt", cursor="x")


async def test_a_record_without_a_name_is_known_by_how_it_begins(workspace: Workspace) -> None:
    store, task = await _store(workspace)
    output = TaskOutput(output="x")
    run = await store.save(TaskRun(input="Where is it?", output=output), parent=task)
    await _call(workspace, "delete_records", project="P", kind="run", records=[run.id])
    trash = await _call(workspace, "find", project="P", kind="trash")
    assert "'name': 'Where is it?'" in str(trash["records"])


@pytest.mark.parametrize("kind", get_args(Kind))
async def test_every_kind_can_be_asked_for(workspace: Workspace, kind: str) -> None:
    expected = ["Answer"] if kind == "task" else []
    assert (await _known(workspace, kind=kind))[0] == expected


async def test_a_record_is_read_as_its_file_has_it_with_long_texts_cut(
    workspace: Workspace,
) -> None:
    store, task = await _store(workspace)
    saved = await store.save(Prompt(name="Long", prompt="x" * 500), parent=task)
    file = store.folder / saved.saved.path
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace('"v": 1,', '"v": 1, "new_here": {"a": 1},'), encoding="utf-8")
    read = await _call(workspace, "read", project="P", kind="prompt", record="long", longest=100)
    record = read["record"]
    assert isinstance(record, dict)
    assert record["new_here"] == {"a": 1}
    assert record["prompt"] == f"{'x' * 100}… (400 more characters)"
    above = await _call(workspace, "read", project="P", kind="task", record="Answer")
    assert above["below"] == {"prompt": 1}
    with pytest.raises(RecordNotFound, match="Long"):
        await _call(workspace, "read", project="P", kind="prompt", record="Lang")


async def test_what_may_be_secret_in_a_record_is_not_shown(workspace: Workspace) -> None:
    store, _ = await _store(workspace)
    headers = {"Authorization": "Bearer sk-123"}
    properties = {"server_url": "https://x.example", "headers": headers, "is_archived": False}
    server = {"name": "Tools", "type": "remote_mcp", "properties": properties}
    await store.save(ExternalToolServer.model_validate(server), parent=store.project)
    read = await _call(workspace, "read", project="P", kind="external_tool_server", record="Tools")
    assert "https://x.example" in str(read)
    assert "Authorization" in str(read)
    assert "sk-123" not in str(read)


async def test_broken_records_and_copies_made_by_hand_are_named_with_the_next_step(
    workspace: Workspace,
) -> None:
    store, task = await _store(workspace)
    run = await store.save(TaskRun(input="i", output=TaskOutput(output="o")), parent=task)
    other = await store.save(TaskRun(input="j", output=TaskOutput(output="o")), parent=task)
    folder = store.side_folder(run)
    shutil.copytree(folder, folder.with_name(f"{run.id} - Copy"))
    (store.folder / other.saved.path).write_text("{", encoding="utf-8")
    await store.refresh()
    told = await _call(workspace, "describe_project", project="P")
    (broken,), (copy,) = _texts(told["unreadable"]), _texts(told["copies"])
    assert broken.startswith(f"{other.saved.path}: it is no JSON")
    assert f"{run.id} - Copy: a conflict copy of the folder of the run, " in copy
    assert "neither read nor counted" in copy
    assert "settle_copy" in str(told["next"])


def _texts(value: JsonValue) -> list[str]:
    assert isinstance(value, list)
    return [str(one) for one in value]


async def test_a_broken_record_goes_to_the_trash_by_its_id_and_comes_back_as_it_was(
    workspace: Workspace,
) -> None:
    store, task = await _store(workspace)
    run = await store.save(TaskRun(input="i", output=TaskOutput(output="o")), parent=task)
    file = store.folder / run.saved.path
    file.write_text("{", encoding="utf-8")
    await store.refresh()
    with pytest.raises(CorruptRecord, match=r"undoing the change.*delete the record"):
        await _call(workspace, "read", project="P", record=run.id)
    await _call(workspace, "delete_records", project="P", kind="run", records=[run.id])
    assert not file.exists()
    assert "unreadable" not in await _call(workspace, "describe_project", project="P")
    with pytest.raises(RecordNotFound):
        await _call(workspace, "read", project="P", record=run.id)
    (trashed,) = await store.trash()
    assert trashed.label == run.id
    await _call(workspace, "restore", project="P", key=trashed.key)
    assert file.read_text(encoding="utf-8") == "{"
    with pytest.raises(CorruptRecord):
        await _call(workspace, "read", project="P", record=run.id)


async def test_a_record_of_a_newer_program_asks_for_an_upgrade(workspace: Workspace) -> None:
    store, task = await _store(workspace)
    prompt = await store.save(Prompt(name="Short", prompt="Be short."), parent=task)
    file = store.folder / prompt.saved.path
    file.write_text(file.read_text(encoding="utf-8").replace('"v": 1', '"v": 2'), encoding="utf-8")
    await store.refresh()
    with pytest.raises(UnreadableRecord, match="Upgrade this program"):
        await _call(workspace, "read", project="P", kind="prompt", record=prompt.id)
    await _call(workspace, "delete_records", project="P", kind="prompt", records=[prompt.id])
    (trashed,) = await store.trash()
    assert trashed.label == "Short"


@pytest.mark.parametrize("kind", get_args(Kind))
async def test_a_kind_is_called_in_errors_as_it_is_asked_for(
    workspace: Workspace, kind: str
) -> None:
    with pytest.raises(RecordNotFound, match=rf"There is no {kind} 'none'\. .* Next: \w+"):
        await _call(workspace, "read", project="P", kind=kind, record="none")


async def test_a_kind_is_called_in_answers_as_it_is_asked_for(workspace: Workspace) -> None:
    store, task = await _store(workspace)
    run = await store.save(TaskRun(input="i", output=TaskOutput(output="o")), parent=task)
    read = await _call(workspace, "read", project="P", kind="task", record="Answer")
    assert read["below"] == {"run": 1}
    with pytest.raises(
        RecordNotFound, match=rf"There is no run 'none'. There are: {run.id}. Next: find "
    ):
        await _call(workspace, "read", project="P", record="none")
    with pytest.raises(StorageError, match="This run cannot be saved"):
        run.replace(input=1)
    with pytest.raises(StorageError, match="its parent must be a task"):
        await store.save(TaskRun(input="i", output=TaskOutput(output="o")), parent=run)
    deleted = await _call(workspace, "delete_records", project="P", kind="run", records=[run.id])
    for answer in (deleted, await _call(workspace, "find", project="P", kind="trash")):
        assert "'kind': 'run'" in str(answer["records"])


MISSING = {
    "show_results": ({"eval": "none"}, "eval", "create_evaluator"),
    "read": ({"record": "none"}, "run", "add_data"),
    "find": ({"task": "none"}, "task", "describe_project"),
    "restore": ({"key": "none"}, "deleted record", "describe_project"),
    "decide_conflict": ({"conflict": "none", "choice": 1}, "conflict", "describe_project"),
}


@pytest.mark.parametrize("tool", MISSING)
async def test_a_record_that_does_not_exist_is_answered_with_a_call_that_can_be_made(
    workspace: Workspace, tool: str
) -> None:
    arguments, kind, step = MISSING[tool]
    with pytest.raises(RecordNotFound) as refused:
        await _call(workspace, tool, project="P", **arguments)
    assert f"There is no {kind} 'none'. There are" in str(refused.value)
    assert [call.tool for call in refused.value.next] == [step]
    assert refused.value.next[0].arguments == {"project": "P"}
    await _call(workspace, "describe_project", project="P")


async def test_a_wrong_name_is_answered_with_near_names_and_ten_valid_ones(
    workspace: Workspace,
) -> None:
    store, task = await _store(workspace)
    for number in range(12):
        await store.save(Prompt(name=f"Voice {number:02}", prompt="Hi."), parent=task)
    await store.save(Prompt(name="Terse", prompt="Hi."), parent=task)
    with pytest.raises(RecordNotFound) as refused:
        await _call(workspace, "read", project="P", kind="prompt", record="Ters")
    text = str(refused.value)
    assert "There is no prompt 'Ters'. Close to it: Terse. There are: Voice 00, " in text
    assert "Voice 09, … and 3 more. Next: find {" in text
    assert refused.value.next[0].arguments == {"project": "P", "kind": "prompt"}


async def test_a_job_that_does_not_exist_is_answered_with_the_list_of_jobs(
    workspace: Workspace,
) -> None:
    with pytest.raises(RecordNotFound, match=r"There is no job 'none'\. There are none\."):
        await _call(workspace, "check_job", job="none")


async def test_the_cursor_of_another_list_is_refused(workspace: Workspace) -> None:
    store, task = await _store(workspace)
    for number in range(3):
        await store.save(Prompt(name=f"Old {number}", prompt="Hi."), parent=task)
        output = TaskOutput(output="x")
        await store.save(TaskRun(input=f"Where is {number}?", output=output), parent=task)
    runs = (await _known_runs(workspace))["next_cursor"]
    _, prompts = await _known(workspace, kind="prompt", limit=1)
    others: list[dict[str, JsonValue]] = [
        {"kind": "prompt", "cursor": runs},
        {"kind": "prompt", "text": "old", "cursor": prompts},
        {"kind": "run", "order": "worst", "cursor": runs},
        {"kind": "run", "text": "where", "cursor": runs},
    ]
    for arguments in others:
        with pytest.raises(InvalidQuery, match="cursor of another list"):
            await _call(workspace, "find", project="P", **arguments)


async def _known_runs(workspace: Workspace) -> dict[str, JsonValue]:
    return await _call(workspace, "find", project="P", limit=1)


async def test_the_trash_comes_page_by_page_and_by_name(workspace: Workspace) -> None:
    store, task = await _store(workspace)
    prompts = [
        await store.save(Prompt(name=f"Old {number}", prompt="Hi."), parent=task)
        for number in range(5)
    ]
    for prompt in prompts:
        await _call(workspace, "delete_records", project="P", kind="prompt", records=[prompt.id])
    names: list[object] = []
    cursor: JsonValue = None
    for size in (2, 2, 1):
        page = await _call(workspace, "find", project="P", kind="trash", limit=2, cursor=cursor)
        records = page["records"]
        assert isinstance(records, list)
        assert (page["total"], len(records)) == (5, size)
        names += [record["name"] for record in records if isinstance(record, dict)]
        cursor = page.get("next_cursor")
    assert cursor is None
    assert names == [f"Old {number}" for number in (4, 3, 2, 1, 0)]
    page = await _call(workspace, "find", project="P", kind="trash", text="OLD 3")
    assert page["total"] == 1
    with pytest.raises(InvalidQuery, match="next_cursor"):
        await _call(workspace, "find", project="P", kind="trash", cursor="of another list")


async def test_a_handle_says_which_kind_is_read(workspace: Workspace) -> None:
    store, task = await _store(workspace)
    await store.save(Prompt(name="Kind words", prompt="Hi."), parent=task)
    details = await _call(workspace, "read", project="P", record="prompt/kind-words")
    assert "Kind words" in str(details["record"])
