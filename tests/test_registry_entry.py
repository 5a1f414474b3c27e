"""`server.json`, the entry of this server in the registry of MCP servers."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any, Final

from jsonschema import validate

ROOT: Final = Path(__file__).parents[1]
TEXT: Final = {"type": "string", "minLength": 1}
NAME: Final = {"type": "string", "pattern": r"^[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+$", "maxLength": 200}
VARIABLE: Final = {
    "type": "object",
    "required": ["name", "description"],
    "properties": {
        "name": TEXT,
        "description": TEXT,
        "default": TEXT,
        "format": {"enum": ["string", "number", "boolean", "filepath"]},
        "isRequired": {"type": "boolean"},
        "isSecret": {"type": "boolean"},
    },
    "additionalProperties": False,
}
PACKAGE: Final = {
    "type": "object",
    "required": ["registryType", "identifier", "version", "transport"],
    "properties": {
        "registryType": {"enum": ["npm", "pypi", "oci", "nuget", "mcpb"]},
        "identifier": TEXT,
        "version": TEXT,
        "runtimeHint": {"enum": ["uvx"]},
        "transport": {"const": {"type": "stdio"}},
        "environmentVariables": {"type": "array", "items": VARIABLE},
    },
    "additionalProperties": False,
}
SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["$schema", "name", "description", "version", "packages"],
    "properties": {
        "$schema": {"type": "string", "pattern": r"/\d{4}-\d\d-\d\d/server\.schema\.json$"},
        "name": NAME,
        "title": {"type": "string", "maxLength": 100},
        "description": {"type": "string", "minLength": 1, "maxLength": 100},
        "version": TEXT,
        "packages": {"type": "array", "minItems": 1, "items": PACKAGE},
    },
    "additionalProperties": False,
}
"""The documented fields of the format of 2025-12-11, as far as the entry has them."""


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_entry_has_the_fields_that_the_registry_documents() -> None:
    validate(entry(), SCHEMA)


def entry() -> dict[str, Any]:
    return json.loads(read("server.json"))


def test_the_entry_names_this_version_and_what_the_package_says_of_itself() -> None:
    project = tomllib.loads(read("pyproject.toml"))["project"]
    [package] = entry()["packages"]
    assert entry()["version"] == package["version"] == project["version"]
    assert package["identifier"] == project["name"]
    assert package["identifier"] in project["scripts"]  # what uvx starts
    # The registry reads the name in the package's own description to know that it may list it.
    assert f"mcp-name: {entry()['name']}" in read(project["readme"])


def test_the_entry_names_variables_that_the_pages_explain_and_keeps_keys_secret() -> None:
    [package] = entry()["packages"]
    explained = set(re.findall(r"[A-Z]+(?:_[A-Z]+)+", read("docs/running.md") + read("README.md")))
    for variable in package["environmentVariables"]:
        is_key = variable["name"].endswith("_KEY")
        assert variable.get("isSecret", False) is is_key
        assert is_key or variable["name"] in explained
