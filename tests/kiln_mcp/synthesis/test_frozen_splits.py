"""Splits that are frozen under a name of their own."""

import pytest

from kiln_mcp.synthesis.frozen_splits import SplitFrozen
from kiln_mcp.synthesis.new_items import DataItem
from kiln_mcp.synthesis.service import add_data, split_data
from kiln_mcp.workbench.workspace import Workspace
from storage import DatasetSplit, EvalInput, Task
from storage.errors import Refusal


def questions(first: int, count: int, output: str | None) -> list[DataItem]:
    return [
        DataItem(input=f"word{n} other{n * 7} more{n * 13} than{n}", output=output)
        for n in range(first, first + count)
    ]


async def test_a_frozen_split_keeps_its_parts_when_the_split_grows(workspace: Workspace) -> None:
    await add_data(workspace, "P", items=questions(0, 20, "a"))
    july = await split_data(workspace, "P", "s", train=50, test=50, freeze="july")
    assert isinstance(july, SplitFrozen)
    assert {part.part: part.items for part in july.parts} == {"train": 10, "test": 10}
    await add_data(workspace, "P", items=questions(20, 10, "a"))
    await split_data(workspace, "P", "s", train=50, test=50)
    august = await split_data(workspace, "P", "s", freeze="august")
    assert isinstance(august, SplitFrozen)
    assert sum(part.items for part in august.parts) == 30
    store = await workspace.open_project("P")
    (task,) = await store.children(store.project, Task)
    sizes = {
        record.name: sum(map(len, record.split_contents.values()))
        for record in await store.children(task, DatasetSplit)
    }
    assert sizes == {"july": 20, "august": 30}


async def test_a_name_stands_for_one_frozen_split(workspace: Workspace) -> None:
    await add_data(workspace, "P", items=questions(0, 20, "a"))
    first = await split_data(workspace, "P", "s", train=50, test=50, freeze="july")
    again = await split_data(workspace, "P", "s", freeze="july")
    assert isinstance(first, SplitFrozen)
    assert isinstance(again, SplitFrozen)
    assert again.id == first.id
    await add_data(workspace, "P", items=questions(20, 10, "a"))
    await split_data(workspace, "P", "s")
    with pytest.raises(Refusal, match="'july' is a frozen split with other items"):
        await split_data(workspace, "P", "s", freeze="July")


async def test_a_split_of_inputs_alone_that_is_to_be_frozen_is_refused_before_it_is_dealt(
    workspace: Workspace,
) -> None:
    await add_data(workspace, "P", items=questions(0, 10, None))
    with pytest.raises(Refusal, match="its 10 items are inputs without outputs"):
        await split_data(workspace, "P", "s", train=50, test=50, freeze="july")
    store = await workspace.open_project("P")
    (task,) = await store.children(store.project, Task)
    assert await store.children(task, DatasetSplit) == []
    inputs = await store.children(task, EvalInput)
    assert not [tag for item in inputs for tag in item.tags if tag.endswith("_s")]
    await split_data(workspace, "P", "s", train=50, test=50)
    with pytest.raises(Refusal, match="inputs without outputs"):
        await split_data(workspace, "P", "s", freeze="july")
