"""Files of preferences at the door that people use: ratings say which output was right."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import anyio
import pytest
from pydantic import JsonValue

from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.evals.eval_items import item_of
from kiln_mcp.workbench.workspace import Workspace
from storage import Task, TaskRun

PAIR = {"prompt": "Where is Oslo?", "chosen": "In Norway", "rejected": "In Italy"}
MESSAGES = {
    key: [{"role": "assistant" if key != "prompt" else "user", "content": text}]
    for key, text in PAIR.items()
}
LABELLED = [
    {"prompt": "Where is Oslo?", "completion": "In Norway", "label": True},
    {"prompt": "Where is Oslo?", "completion": "In Italy", "label": False},
]


async def _add(
    workspace: Workspace, folder: Path, rows: Sequence[Mapping[str, object]], **more: JsonValue
) -> Mapping[str, JsonValue]:
    file = folder / "preferences.jsonl"
    await anyio.Path(file).write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    call = {"project": "P", "file": str(file), **more}
    return await installed_catalogue().perform(workspace, "add_data", call)


async def _runs(workspace: Workspace) -> dict[str, TaskRun]:
    store = await workspace.open_project("P")
    (task,) = await store.children(store.project, Task)
    return {run.output.output: run for run in await store.children(task, TaskRun)}


@pytest.mark.parametrize("rows", [[PAIR], [MESSAGES], LABELLED])
async def test_a_chosen_output_is_rated_as_right_and_a_rejected_one_as_wrong(
    rows: Sequence[Mapping[str, object]], workspace: Workspace, tmp_path: Path
) -> None:
    report = await _add(workspace, tmp_path, rows)
    assert (report["new_items"], report["bad_row_count"]) == (2, 0)
    assert "as right" in str(report["shape"])
    runs = await _runs(workspace)
    ratings = {text: run.output.rating for text, run in runs.items()}
    values = {text: (r.type, r.value) for text, r in ratings.items() if r is not None}
    assert values == {"In Norway": ("pass_fail", 1.0), "In Italy": ("pass_fail", 0.0)}
    assert {run.input for run in runs.values()} == {"Where is Oslo?"}
    assert item_of(runs["In Norway"]).reference == {"reference_answer": "In Norway"}
    assert item_of(runs["In Italy"]).reference is None
    again = await _add(workspace, tmp_path, [*rows, *rows])
    assert again["new_items"] == 0


async def test_a_rejected_output_is_never_taken_for_a_right_one(
    workspace: Workspace, tmp_path: Path
) -> None:
    report = await _add(workspace, tmp_path, [PAIR], outputs="right")
    assert (report["new_items"], report["bad_row_count"]) == (2, 0)
    references = {text: item_of(run).reference for text, run in (await _runs(workspace)).items()}
    assert references == {"In Norway": {"reference_answer": "In Norway"}, "In Italy": None}
