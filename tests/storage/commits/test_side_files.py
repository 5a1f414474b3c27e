"""Files beside a record: in its transaction, by several at once, cut off, and merged."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import Change, Project, ProjectStore, Task, TaskOutput, TaskRun
from storage.collaboration.three_way_merge import merge_lines, merge_reports
from storage.commits.side_files import is_report, whole_lines, with_lines
from storage.errors import StaleRevision

_NAME = "kiln_mcp_labels.jsonl"
_ROOT = Path(__file__).parents[3]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncGenerator[ProjectStore]:
    project = Project(name="P")
    async with await ProjectStore.create(tmp_path / "p", project, home=tmp_path / "h") as store:
        yield store


@pytest.fixture
async def task(store: ProjectStore) -> Task:
    return await store.save(Task(name="T", instruction="I"), parent=store.project)


async def _append(store: ProjectStore, task: Task, *lines: str) -> None:
    async with store.transaction() as change:
        change.append_lines(task, _NAME, lines)


async def test_lines_and_the_record_are_written_together_or_not_at_all(
    store: ProjectStore, task: Task
) -> None:
    await _append(store, task, '{"n": 1}')
    theirs = await store.save(task.replace(instruction="Theirs"))

    async def save(changed: Task) -> None:
        async with store.transaction() as change:
            change.save(changed)
            change.append_lines(task, _NAME, ['{"n": 2}'])

    with pytest.raises(StaleRevision):
        await save(task.replace(instruction="Mine"))
    assert await store.side_lines(task, _NAME) == ['{"n": 1}']
    await save(theirs.replace(instruction="Both"))
    assert await store.side_lines(task, _NAME) == ['{"n": 1}', '{"n": 2}']


async def test_lines_of_a_record_that_is_saved_in_the_same_change_are_kept(
    store: ProjectStore, task: Task
) -> None:
    async with store.transaction() as change:
        run = change.save(TaskRun(input="i", output=TaskOutput(output="o")), task)
        change.append_lines(run, _NAME, ["1"])
        change.append_lines(run, _NAME, ["2", "3"])
    assert await store.side_lines(run, _NAME) == ["1", "2", "3"]


async def test_lines_that_several_add_at_once_are_all_kept(store: ProjectStore, task: Task) -> None:
    changes = [Change(store.folder) for _ in range(5)]
    for number, change in enumerate(changes):
        change.append_lines(task, _NAME, [f'"{number}"'])
    await asyncio.gather(*(store.write(one.edits, one.moves) for one in changes))
    assert sorted(await store.side_lines(task, _NAME)) == [f'"{n}"' for n in range(5)]


@pytest.mark.parametrize("torn", [b'{"n": 2, "ca', b'{"n": "\xe2\x82', b"{", b'"'])
async def test_a_last_line_that_was_cut_off_is_not_read_and_gives_way(
    store: ProjectStore, task: Task, torn: bytes
) -> None:
    file = store.side_folder(task) / _NAME
    file.write_bytes(b'{"n": 1}\n' + torn)
    assert await store.side_lines(task, _NAME) == ['{"n": 1}']
    await _append(store, task, '{"n": 3}')
    assert file.read_bytes() == b'{"n": 1}\n{"n": 3}\n'


async def test_a_whole_last_line_without_its_line_break_stays(
    store: ProjectStore, task: Task
) -> None:
    (store.side_folder(task) / _NAME).write_bytes(b'{"n": 1}')
    await _append(store, task, '{"n": 2}')
    assert await store.side_lines(task, _NAME) == ['{"n": 1}', '{"n": 2}']


@given(st.lists(st.text().map(lambda text: json.dumps(text, ensure_ascii=False))))
def test_every_line_of_json_comes_back_as_it_was_added(lines: list[str]) -> None:
    """Also with U+2028 and other separators in it, which end no line."""
    if any("\udfff" >= one >= "\ud800" for line in lines for one in line):
        return
    assert whole_lines(with_lines(with_lines(None, lines), ['"last"'])) == [*lines, '"last"']


async def test_amendments_of_one_record_by_several_are_all_kept(
    store: ProjectStore, task: Task
) -> None:
    run = await store.save(TaskRun(input="i", output=TaskOutput(output="o")), parent=task)
    changes = [Change(store.folder) for _ in range(4)]
    for number, change in enumerate(changes):
        change.amend(run, lambda run, n=number: run.replace(tags=(*run.tags, f"t{n}")))
    for change in changes:
        await store.write(change.edits, change.moves)
    assert (await store.get(TaskRun, run.id)).tags == ("t0", "t1", "t2", "t3")


async def test_what_is_taken_away_cannot_be_amended(store: ProjectStore, task: Task) -> None:
    run = await store.save(TaskRun(input="i", output=TaskOutput(output="o")), parent=task)
    change = Change(store.folder)
    change.amend(run, lambda run: run.replace(tags=("x",)))
    await store.delete(run)
    with pytest.raises(StaleRevision, match="was removed"):
        await store.write(change.edits, change.moves)
    assert not (store.folder / run.saved.path).exists()


async def test_a_record_that_is_saved_after_it_was_amended_keeps_both(
    store: ProjectStore, task: Task
) -> None:
    async with store.transaction() as change:
        amended = change.amend(task, lambda task: task.replace(description="amended"))
        change.save(amended.replace(instruction="saved"))
    (found,) = await store.children(store.project, Task)
    assert (found.description, found.instruction) == ("amended", "saved")


def test_lines_of_two_people_are_merged_in_the_order_of_their_times() -> None:
    def line(day: int) -> str:
        return json.dumps({"at": f"2026-01-{day:02}T00:00:00Z", "day": day}) + "\n"

    before = line(1)
    merged = merge_lines(before, before + line(4), before + line(2) + line(3))
    assert merged == "".join(map(line, (1, 2, 3, 4)))


def test_a_separator_within_a_line_ends_no_line_in_a_merge() -> None:
    ours, theirs = '"a\u2028b"\n', '"c\x85d"\n'
    assert merge_lines("", ours, theirs) == theirs + ours


def test_two_reports_become_one_with_the_splits_of_both() -> None:
    ours, theirs = {"items": 3, "splits": [1, 2]}, {"items": 5, "splits": [1, 4]}
    merged = merge_reports(json.dumps(ours).encode(), json.dumps(theirs).encode())
    assert json.loads(merged or b"") == {"items": 5, "splits": [1, 4, 2]}
    assert is_report("tasks/1 - T/kiln_mcp_data_report.json")
    assert not is_report("tasks/1 - T/notes.json")


def test_every_side_file_is_listed_with_its_merge_rule() -> None:
    listed = (_ROOT / "docs" / "side-files.md").read_text(encoding="utf-8")
    sources = (file.read_text(encoding="utf-8") for file in (_ROOT / "kiln_mcp").rglob("*.py"))
    names = {name for text in sources for name in re.findall(r'"(kiln_mcp_[^"\s]+\.jsonl?)"', text)}
    assert len(names) >= 5
    assert [name for name in names if name.replace("{run}", "<run>") not in listed] == []
