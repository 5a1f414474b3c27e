"""Items that a task cannot take are refused by their position."""

import json

import pytest
from pydantic import JsonValue

from kiln_mcp.synthesis.new_items import GivenItem, ItemOrigin, runs_of
from storage import Task
from storage.errors import Refusal

CITY = json.dumps(
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
)
BROKEN = json.dumps({"type": "object", "properties": {"city": {"$ref": "#/$defs/nothing"}}})


def task(schema: str | None) -> Task:
    return Task(name="Extract", instruction="Extract the city.", output_json_schema=schema)


@pytest.mark.parametrize(
    ("schema", "output", "reason"),
    [
        (None, "  ", r"Item 2 .*its output is empty"),
        (CITY, "Rome", r"Item 2 .*its output is not JSON"),
        (CITY, {"town": "Rome"}, r"Item 2 .*does not fit the task's schema"),
        (BROKEN, {"city": "Rome"}, r"Item 2 .*cannot be checked against the task's schema"),
    ],
)
async def test_an_output_that_the_task_cannot_take_is_refused_by_its_position(
    schema: str | None, output: JsonValue, reason: str
) -> None:
    right: JsonValue = {} if schema == BROKEN else {"city": "Oslo"}
    items = [GivenItem(input="To Oslo", output=right), GivenItem(input="To Rome", output=output)]
    with pytest.raises(Refusal, match=reason):
        await runs_of(task(schema), items, ItemOrigin("person"), [])


async def test_a_tag_that_the_format_forbids_is_refused_with_its_item() -> None:
    items = [GivenItem(input="To Oslo", output="Oslo", tags=["two words"])]
    with pytest.raises(Refusal, match=r"Item 1 cannot be used: .* No item was saved"):
        await runs_of(task(None), items, ItemOrigin("person"), [])


async def test_json_without_a_schema_is_kept_as_its_text() -> None:
    items = [GivenItem(input="To Oslo", output={"city": "Oslo"})]
    (run,) = await runs_of(task(None), items, ItemOrigin("assistant"), ["trips"])
    assert json.loads(run.output.output) == {"city": "Oslo"}
    assert run.tags == ("trips",)
