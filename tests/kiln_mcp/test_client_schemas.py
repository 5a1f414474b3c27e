"""The argument schemas of all capabilities, by the rules of the clients that read them."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from jsonschema import ValidationError as SchemaValidationError
from jsonschema import validate
from pydantic import JsonValue

from kiln_mcp.catalogue import AnyCapability, installed_catalogue
from kiln_mcp.doors.server.tool_list import as_shown
from kiln_mcp.workbench.capability import Effect, Result, capability

CHECK = Path(__file__).parent / "clients" / "check_schemas.py"
CAPABILITIES = [pytest.param(item, id=item.name) for item in installed_catalogue().capabilities]


def nodes(schema: JsonValue, place: str = "") -> Iterator[tuple[str, dict[str, JsonValue]]]:
    """Yield each schema within a schema with its place."""
    if isinstance(schema, list):
        for index, item in enumerate(schema):
            yield from nodes(item, f"{place}/{index}")
    if not isinstance(schema, dict):
        return
    if not place.endswith("/properties"):
        yield place, schema
    for key, value in schema.items():
        if key not in {"default", "enum", "examples", "required"}:
            yield from nodes(value, f"{place}/{key}")


@pytest.mark.parametrize("item", CAPABILITIES)
def test_a_schema_has_only_what_every_client_reads(item: AnyCapability) -> None:
    assert item.input_schema["type"] == "object"
    for place, schema in nodes(item.input_schema):
        assert not {"$ref", "$defs", "oneOf", "const", "prefixItems", "allOf"} & schema.keys(), (
            place
        )
        assert schema.keys() & {"type", "anyOf", "enum"}, place
        if schema.get("type") == "array":
            assert isinstance(schema.get("items"), dict), place
            assert schema["items"], place
        if "enum" in schema:
            choices = schema["enum"]
            assert isinstance(choices, list), place
            assert choices, place
            assert None not in choices, place
        required = schema.get("required", [])
        assert isinstance(required, list), place
        properties = schema.get("properties", {})
        assert isinstance(properties, dict), place
        assert set(map(str, required)) <= properties.keys(), place


@pytest.mark.clients
def test_the_libraries_of_openai_and_google_convert_every_schema() -> None:
    items = installed_catalogue().capabilities
    schemas = {item.name: as_shown(item.input_schema) for item in items}
    refused = subprocess.run(
        [os.environ["CLIENTS_PYTHON"], CHECK],
        input=json.dumps(schemas),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    assert refused == ""


@pytest.mark.clients
def test_the_libraries_refuse_an_object_of_any_names() -> None:
    schema = {"type": "object", "additionalProperties": {"type": "string"}}
    refused = subprocess.run(
        [os.environ["CLIENTS_PYTHON"], CHECK],
        input=json.dumps({"loose": schema}),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    assert refused.startswith("loose: ")


@pytest.mark.parametrize("item", CAPABILITIES)
def test_each_default_is_a_value_that_its_schema_allows(item: AnyCapability) -> None:
    for place, schema in nodes(item.input_schema):
        if schema.get("default") is not None:
            try:
                validate(schema["default"], schema)
            except SchemaValidationError as error:
                pytest.fail(f"{place}: {error.message}")


async def test_arguments_named_like_keywords_of_schemas_keep_their_schemas() -> None:
    @capability(effect=Effect.WRITES, title="Look")
    async def look(context: object, default: int | None = None, examples: str = "x") -> Result:
        return Result()

    assert look.input_schema["properties"] == {
        "default": {"type": "integer"},
        "examples": {"type": "string", "default": "x"},
    }
