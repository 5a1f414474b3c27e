"""Records that a process of its own reads for the index have the values that they have here."""

import json
from pathlib import Path

import anyio
import pytest
from pydantic import JsonValue

from storage import Eval, EvalConfig, EvalInput, EvalRun, Project, ProjectStore, Task, TaskRun
from storage.format.layout import kind_named
from storage.index.record_reader import RecordReader
from storage.index.row_writer import ReadFile
from storage.index.scan import FileState, RecordFile

RATED: dict[str, JsonValue] = {
    "input": "weiß ✓",
    "output": {
        "output": "{}",
        "source": {"type": "human", "properties": {"created_by": "me"}},
        "rating": {"type": "pass_fail", "value": 1, "requirement_ratings": {}},
    },
    "input_source": {"type": "human", "properties": {"created_by": "me", "topic_path": "a/b"}},
    "tags": ["x", "y"],
    "usage": {"input_tokens": 3, "output_tokens": 4, "cost": 0.5, "total_llm_latency_ms": 9},
}
SCORE = {"name": "Polite", "type": "pass_fail", "instruction": "Is it polite?"}
JUDGE = {"type": "contains", "substring": "a", "value_expression": "final_message"}


@pytest.fixture
async def files(tmp_path: Path) -> tuple[str, list[RecordFile]]:
    """A project's folder, and files in it: a record of each kind of rows, a broken one and none."""
    folder = tmp_path / "p"
    async with await ProjectStore.create(folder, Project(name="P"), home=tmp_path / "h") as store:
        task = await store.save(Task(name="T", instruction="Do."), parent=store.project)
        run = await store.save(TaskRun.model_validate(RATED), parent=task)
        data = {"type": "single_turn", "user_message": {"text": "hi"}}
        new_input = EvalInput.model_validate({"data": data, "tags": ["t"], "topic_path": "c"})
        eval_input = await store.save(new_input, parent=task)
        filters = {"eval_set_filter_id": "all", "eval_configs_filter_id": "all"}
        new_eval = Eval.model_validate({"name": "E", "output_scores": [SCORE], **filters})
        parent = await store.save(new_eval, parent=task)
        config = {"name": "C", "config_type": "v2", "properties": JUDGE}
        judge = await store.save(EvalConfig.model_validate(config), parent=parent)
        new_result = EvalRun.model_validate(
            {
                "dataset_id": run.id,
                "output": "o",
                "eval_config_eval": True,
                "scores": {"polite": 1.0},
            }
        )
        result = await store.save(new_result, parent=judge)
        records = [store.project, task, run, eval_input, parent, judge, result]
        paths = [(record.saved.path, record.type_name()) for record in records]
    broken = folder / run.saved.path.replace(run.id, "000000000001")
    await anyio.Path(broken.parent).mkdir()
    await anyio.Path(broken).write_text("[]")
    paths += [(str(broken.relative_to(folder)), "task_run"), ("tasks/none/task.kiln", "task")]
    return str(folder), [
        RecordFile(FileState(path, 0, 0, 0), "", kind_named(kind).type_name())
        for path, kind in paths
    ]


def read(root: str, files: list[RecordFile], reader: RecordReader) -> list[ReadFile]:
    with reader:
        return [*reader.read(files[:2]), *reader.read(files[2:])]


def plain(results: list[ReadFile]) -> list[str]:
    """Return what was read as JSON, in which tuples are lists."""
    return [json.dumps((result.values, result.problem)) for result in results]


async def test_another_process_reads_the_same(files: tuple[str, list[RecordFile]]) -> None:
    root, own = files
    here = await anyio.to_thread.run_sync(read, root, own, RecordReader(root))
    elsewhere = await anyio.to_thread.run_sync(read, root, own, RecordReader(root, many=1))
    assert [result.values is None for result in here] == [False] * 7 + [True] * 2
    assert here[2].values is not None
    assert here[2].values.run is not None
    assert here[2].values.run.tokens == 7
    assert plain(elsewhere) == plain(here)


async def test_what_a_process_that_ended_does_not_read_is_read_here(
    files: tuple[str, list[RecordFile]],
) -> None:
    root, own = files
    here = await anyio.to_thread.run_sync(read, root, own, RecordReader(root))
    reader = RecordReader(root, many=0, worker="storage.no_such_module")
    assert await anyio.to_thread.run_sync(read, root, own, reader) == here
