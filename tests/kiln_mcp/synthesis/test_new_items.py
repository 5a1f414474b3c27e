"""Items that a task cannot take are refused by position, and columns by name."""

import json

import pytest
from pydantic import JsonValue

from kiln_mcp.synthesis.new_items import as_stored_text, mapping_places, read_mapping
from storage.errors import InvalidValue, Refusal

CITY = json.dumps(
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
)
BROKEN = json.dumps({"type": "object", "properties": {"city": {"$ref": "#/$defs/nothing"}}})


@pytest.mark.parametrize(
    ("schema", "value", "reason"),
    [
        (None, "  ", r"Item 2 .*its input is empty"),
        (None, {"city": float("nan")}, r"Item 2 .*its input is not JSON"),
        (CITY, "Rome", r"Item 2 .*its input is not JSON"),
        (CITY, '{"city": 1e400}', r"Item 2 .*is too large"),
        (CITY, {"town": "Rome"}, r"Item 2 .*does not fit the task's schema"),
        (BROKEN, {"city": "Rome"}, r"Item 2 .*cannot be checked against the task's schema"),
    ],
)
async def test_an_input_that_the_task_cannot_take_is_refused_by_its_position(
    schema: str | None, value: JsonValue, reason: str
) -> None:
    with pytest.raises(Refusal, match=reason):
        await as_stored_text(value, schema, 2, "input")


async def test_json_without_a_schema_is_kept_as_its_text() -> None:
    assert json.loads(await as_stored_text({"city": "Oslo"}, None, 1, "input")) == {"city": "Oslo"}


def test_a_mapping_to_a_place_that_no_item_has_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(InvalidValue, match=r"no 'outputs'.*'output'.*output\.city"):
        read_mapping({"input": "Question", "outputs": "Answer"})


@pytest.mark.parametrize(
    "places",
    [
        {"input": "Question", "output": "Answer", "topic": "Area", "rating": "Stars"},
        {"input": "Question", "output.city": "Town", "output.zip": "Code", "tags": "Words"},
        {"input.street": "Road"},
    ],
)
def test_a_mapping_is_told_in_the_words_in_which_it_was_given(places: dict[str, str]) -> None:
    assert mapping_places(read_mapping(places)) == places


@pytest.mark.parametrize("field", ["tags.first", "topic.name", "town.name"])
def test_only_inputs_and_outputs_have_fields(field: str) -> None:
    with pytest.raises(InvalidValue, match=f"no '{field}'"):
        read_mapping({"input": "Question", field: "Column"})
