"""How a task is run: model, prompt, sampling, tools."""

from typing import Annotated, Final, Literal

from pydantic import Discriminator, Field, JsonValue, Tag

from storage.records.prompt import BasePrompt
from storage.records.record import Name, Part, Record

PROGRAM_FILE: Final = "kiln_mcp_program.jsonl"
"""The file beside a run config whose output a program makes: its definition, in one line."""
PROGRAM_MODEL: Final = "program::"
"""How the model's name begins in such a run config; the kind and the line's digest follow."""
PROGRAM_SOURCE: Final = "program_source"
"""The property of an output's source that holds a digest of the program's files."""


class ToolsConfig(Part):
    """The tools that a run may call."""

    tools: tuple[str, ...] = ()


class JinjaInputTransform(Part):
    """A template that the input passes through."""

    type: Literal["jinja"] = "jinja"
    template: str


class KilnAgentProperties(Part):
    """A model with a prompt."""

    type: Literal["kiln_agent"] = "kiln_agent"
    model_name: str
    model_provider_name: str
    prompt_id: str = "simple_prompt_builder"
    top_p: float = Field(default=1.0, ge=0, le=1)
    temperature: float = Field(default=1.0, ge=0, le=2)
    structured_output_mode: str = "unknown"
    thinking_level: str | None = None
    tools_config: ToolsConfig | None = None
    input_transform: JinjaInputTransform | None = None


class McpToolReference(Part):
    """A tool of an MCP server that stands in for a model."""

    tool_id: str
    tool_server_id: str | None = None
    tool_name: str | None = None
    input_schema: dict[str, JsonValue] | None = None
    output_schema: dict[str, JsonValue] | None = None


class McpProperties(Part):
    """An MCP tool instead of a model."""

    type: Literal["mcp"] = "mcp"
    tool_reference: McpToolReference


def _run_config_type(value: object) -> str:
    if isinstance(value, dict):
        return str(value.get("type", "kiln_agent"))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
    return str(getattr(value, "type", "kiln_agent"))


RunConfigProperties = Annotated[
    Annotated[KilnAgentProperties, Tag("kiln_agent")] | Annotated[McpProperties, Tag("mcp")],
    Discriminator(_run_config_type),
]
"""Either kind; files of 2025 have no type and mean kiln_agent."""


class TaskRunConfig(Record):
    """A named, immutable way to run a task; `prompt` is the frozen copy of the prompt's text."""

    name: Name
    description: str | None = None
    run_config_properties: RunConfigProperties
    prompt: BasePrompt | None = None
    starred: bool = False
    model_type: Literal["task_run_config"] = "task_run_config"
