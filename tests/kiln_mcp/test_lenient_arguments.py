"""Arguments as assistants write them, at every tool: null and "" for none, lists as JSON text."""

import json
from typing import Any

import pytest
from pydantic import JsonValue, ValidationError

from kiln_mcp.catalogue import AnyCapability, installed_catalogue
from kiln_mcp.errors import InvalidArguments
from kiln_mcp.workbench.lenient_arguments import as_meant
from kiln_mcp.workbench.workspace import Workspace

TOOLS = installed_catalogue()
CAPABILITIES = [pytest.param(item, id=item.name) for item in TOOLS.capabilities]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def sample(schema: dict[str, Any]) -> JsonValue:
    """Return a value that fits a schema, with its required parts alone."""
    if "anyOf" in schema:
        return sample(schema["anyOf"][0])
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            properties = schema.get("properties", {})
            return {name: sample(properties[name]) for name in schema.get("required", ())}
        case "array":
            return [sample(schema["items"]) for _ in range(schema.get("minItems", 1))]
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
        case _:
            return "a" * max(1, schema.get("minLength", 1))


def meant(item: AnyCapability, arguments: dict[str, JsonValue]) -> dict[str, Any]:
    values = as_meant(item.arguments, arguments)
    return item.arguments.model_validate(values).model_dump()


def required_arguments(item: AnyCapability) -> dict[str, JsonValue]:
    fields = item.arguments.model_fields.items()
    required = [name for name, field in fields if field.is_required()]
    arguments = sample({**item.input_schema, "required": required})
    assert isinstance(arguments, dict)
    return arguments


@pytest.mark.parametrize("item", CAPABILITIES)
def test_null_and_empty_text_leave_an_optional_argument_out(item: AnyCapability) -> None:
    required = required_arguments(item)
    optional: Any = item.input_schema["properties"]
    expected = meant(item, required)
    for empty in (None, ""):
        assert meant(
            item, required | {name: empty for name in optional if name not in required}
        ) == (expected)


@pytest.mark.parametrize("item", CAPABILITIES)
def test_null_and_empty_text_leave_out_what_is_optional_within_arguments(
    item: AnyCapability,
) -> None:
    properties: Any = item.input_schema["properties"]
    for name, schema in properties.items():
        parts = schema.get("items", schema)
        optional = set(parts.get("properties", {})) - set(parts.get("required", ()))
        if not optional:
            continue
        value: Any = sample(schema)
        expected = meant(item, required_arguments(item) | {name: value})
        for empty in (None, ""):
            more: dict[str, JsonValue] = dict.fromkeys(optional, empty)
            is_list = schema.get("type") == "array"
            filled: Any = [row | more for row in value] if is_list else value | more
            assert meant(item, required_arguments(item) | {name: filled}) == expected


@pytest.mark.parametrize("item", CAPABILITIES)
def test_a_list_or_an_object_may_come_as_json_text(item: AnyCapability) -> None:
    properties: Any = item.input_schema["properties"]
    for name, schema in properties.items():
        if schema.get("type") not in {"array", "object"}:
            continue
        value = sample(schema)
        expected = meant(item, required_arguments(item) | {name: value})
        for text in (json.dumps(value), json.dumps(value, indent=2), json.dumps(json.dumps(value))):
            assert meant(item, required_arguments(item) | {name: text}) == expected


@pytest.mark.parametrize("item", CAPABILITIES)
def test_a_required_argument_that_is_null_is_refused(item: AnyCapability) -> None:
    for name in required_arguments(item):
        with pytest.raises(ValidationError):
            meant(item, required_arguments(item) | {name: None})


async def test_many_rows_with_nulls_are_taken(workspace: Workspace) -> None:
    rows = [
        {"input": f"{n}", "output": {"city": "Oslo"}, "tags": None, "topic": ""} for n in range(200)
    ]
    for number, items in enumerate((rows, json.dumps(rows))):
        schema = json.dumps(SCHEMA)
        name = f"T{number}"
        task = {"project": "P", "name": name, "instruction": "Do.", "output_schema": schema}
        await TOOLS.perform(workspace, "create_project", task)
        arguments: dict[str, JsonValue] = {"project": "P", "task": name, "items": items}  # pyright: ignore[reportAssignmentType]
        report = await TOOLS.perform(workspace, "add_data", arguments)
        assert "200" in json.dumps(report)


async def test_optional_references_that_are_empty_are_left_out(workspace: Workspace) -> None:
    arguments: dict[str, JsonValue] = {"project": "P", "task": "", "name": "c", "prompt": "Do."}
    arguments |= {"model": "", "max_tokens": None}
    await TOOLS.perform(workspace, "create_run_config", arguments)
    for filter in (None, ""):
        find: dict[str, JsonValue] = {"project": "P", "task": "", "limit": None, "filter": filter}
        await TOOLS.perform(workspace, "find", find)
    with pytest.raises(InvalidArguments, match="'project'"):
        await TOOLS.perform(workspace, "find", {"project": None})
