"""Skills, code tools and servers of tools. Their text and code lie in files beside them."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from storage.records.record import Name, Part, Record, Text

_FunctionName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]


class Skill(Record):
    """A skill; its body is the file SKILL.md, with references/ and assets/ beside it."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=64)]
    description: Annotated[str, Field(min_length=1, max_length=1024)]
    is_archived: bool = False
    model_type: Literal["skill"] = "skill"


class CodeTool(Record):
    """A tool in Python; its code is the file tool.py, which defines `run()`."""

    name: Name
    description: str | None = None
    is_archived: bool = False
    tool_function_name: _FunctionName
    tool_description: Text
    parameters_schema: dict[str, JsonValue]
    timeout_seconds: int = Field(default=60, ge=1)
    tool_allowlist: tuple[str, ...] = ()
    model_type: Literal["code_tool"] = "code_tool"


class RemoteServer(Part):
    """An MCP server at a URL; secret values of headers are never in a project."""

    server_url: str
    headers: dict[str, str] = Field(default_factory=dict)
    secret_header_keys: tuple[str, ...] = ()
    is_archived: bool = False


class LocalServer(Part):
    """An MCP server that is started here; secret values are never in a project."""

    command: str
    args: tuple[str, ...] = ()
    env_vars: dict[str, str] = Field(default_factory=dict)
    secret_env_var_keys: tuple[str, ...] = ()
    is_archived: bool = False


class TaskServer(Part):
    """A task of the project, offered as a tool."""

    task_id: str
    run_config_id: str
    name: str
    description: Annotated[str, Field(max_length=128)]
    is_archived: bool = False


class ExternalToolServer(Record):
    """A server that offers tools."""

    name: Name
    type: Literal["remote_mcp", "local_mcp", "kiln_task"]
    description: str | None = None
    properties: RemoteServer | LocalServer | TaskServer
    model_type: Literal["external_tool_server"] = "external_tool_server"
