"""Datasets and tables beyond one page, one transaction and one list of bad rows."""

from pathlib import Path

import anyio
import pytest

from kiln_mcp.synthesis.coverage_plan import Aim, Quota
from kiln_mcp.synthesis.data_plan import DataPlan
from kiln_mcp.synthesis.existing_items import existing_items
from kiln_mcp.synthesis.plan_results import NewRuns, save_runs
from kiln_mcp.synthesis.service import add_data
from kiln_mcp.workbench.workspace import Workspace
from storage import DataSource, Project, ProjectStore, Task, TaskOutput, TaskRun
from storage.bulk_changes import BATCH
from storage.exchange import ItemKeys, key_of
from storage.exchange.item_process import LONG

PAGE = 2000


async def test_runs_beyond_one_transaction_and_page_are_all_compared_with_new_items(
    tmp_path: Path,
) -> None:
    count = PAGE + 1
    assert count > 2 * BATCH
    person = DataSource(type="human", properties={"created_by": "someone"})
    runs = [
        TaskRun(input=f"{place}?", output=TaskOutput(output=f"{place}!", source=person))
        for place in range(count)
    ]
    new_items = ItemKeys()
    new_items.add(key_of("0?"), key_of("other"))
    async with await ProjectStore.create(tmp_path / "p", Project(name="P")) as store:
        task = await store.save(Task(name="T", instruction="Answer."), parent=store.project)
        plan = DataPlan(id="p1", quotas=[Quota(aim=Aim.ANY, count=1)], writer="host")
        new = NewRuns(plan, "someone", [[run] for run in runs])
        report = await save_runs(store, task, new)
        existing = await existing_items(store, task, new_items)
    assert report.items == count
    assert existing.keys.references == {
        key_of(f"{place}?"): key_of(f"{place}!") for place in range(count)
    }
    assert existing.references == {key_of("0?"): "0!"}


@pytest.mark.parametrize("row_count", [LONG - 1, LONG])
async def test_the_rows_of_a_long_file_count_like_those_of_a_short_one(
    row_count: int, workspace: Workspace, tmp_path: Path
) -> None:
    rows = ["Wo?,Hier", "Wer?,Ich", ",Niemand", *["Wo?,Hier"] * (row_count - 3)]
    file = anyio.Path(tmp_path / "long.csv")
    await file.write_text("\n".join(["input,output", *rows, ""]), encoding="utf-8")
    added = await add_data(workspace, "P", file=str(file))
    assert (added.new_items, added.already_there, added.bad_row_count) == (2, row_count - 3, 1)
    assert added.bad_rows[0].startswith("line 4: ")
