"""The side file of a run config whose output a program makes."""

import hashlib
import json
from typing import Final

from pydantic import JsonValue

from kiln_mcp.programs.errors import cannot_run
from kiln_mcp.programs.program import PROGRAM, AnyProgram, ToolProgram
from storage import KilnAgentProperties, ProjectStore, TaskRunConfig
from storage.records.run_config import PROGRAM_FILE, PROGRAM_MODEL, McpProperties

VERSION: Final = 1
_PROVIDER: Final = "openai_compatible"
_LATER: Final = ("text_file",)
"""Settings that earlier versions did not know: left out where empty, so that names stay."""


def program_line(program: AnyProgram) -> str:
    """Return a program as the side file's only line."""
    values = program.model_dump(mode="json")
    shown_values = {key: value for key, value in values.items() if value or key not in _LATER}
    return json.dumps(
        {"v": VERSION, **shown_values},
        ensure_ascii=False,
        sort_keys=True,
    )


def program_model(program: AnyProgram) -> str:
    """Return the name of a program among models: its kind and the digest of its line."""
    return f"program/{program.kind}-{_digest(program_line(program))}"


def _digest(line: str) -> str:
    return hashlib.blake2b(line.encode(), digest_size=6).hexdigest()


def model_of_tool(run_config: TaskRunConfig) -> str:
    """Return the name among models of a run config that calls an MCP tool, as Kiln stores it."""
    return f"program/mcp-{run_config.id}"


def is_program(run_config: TaskRunConfig) -> bool:
    """Return whether a program makes the outputs of a run config."""
    match run_config.run_config_properties:
        case McpProperties():
            return True
        case KilnAgentProperties(model_name=name, model_provider_name=provider):
            return provider == _PROVIDER and name.startswith(PROGRAM_MODEL)


async def read_program(store: ProjectStore, run_config: TaskRunConfig) -> AnyProgram | None:
    """Return the program of a run config; None if a model makes its outputs.

    Raises:
        ModelError: Its file is missing, or is not the one that it was saved with.
        StorageError: Its file cannot be read.
    """
    if not is_program(run_config):
        return None
    properties = run_config.run_config_properties
    if isinstance(properties, McpProperties):
        return _stored_tool(run_config, properties)
    digest = properties.model_name.rpartition("-")[2]
    for line in await store.side_lines(run_config, PROGRAM_FILE):
        if _digest(line) == digest:
            return _parse(run_config, line)
    raise cannot_run(
        run_config.name,
        f"the file {PROGRAM_FILE} beside it is missing, or was changed. Put it back, or create "
        "another run config.",
    )


def _parse(run_config: TaskRunConfig, line: str) -> AnyProgram:
    try:
        values: JsonValue = json.loads(line)
        if isinstance(values, dict):
            values = {key: value for key, value in values.items() if key != "v"}
        return PROGRAM.validate_python(values)
    except (ValueError, RecursionError) as error:  # a ValidationError is a ValueError
        raise cannot_run(
            run_config.name,
            f"its file {PROGRAM_FILE} holds what this version does not know. Update kiln-mcp, or "
            "create another run config.",
        ) from error


def _stored_tool(run_config: TaskRunConfig, properties: McpProperties) -> ToolProgram:
    reference = properties.tool_reference
    parts = reference.tool_id.split("::")
    if len(parts) != 4 or parts[0] != "mcp":
        raise cannot_run(
            run_config.name,
            f"{reference.tool_id!r} is no tool of an MCP server. Create another run config.",
        )
    return ToolProgram(server=parts[2], tool=parts[3])
