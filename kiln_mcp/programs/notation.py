"""Read the arguments that name a program, a server of tools, or a tool."""

import re
import shlex
from collections.abc import Mapping
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from kiln_mcp.errors import InvalidArguments
from kiln_mcp.programs.endpoint import SECRET_HEADER
from kiln_mcp.programs.errors import unreadable_program
from kiln_mcp.programs.program import (
    VARIABLE,
    AnyProgram,
    CommandProgram,
    EndpointProgram,
    FunctionProgram,
    ToolProgram,
    VariableName,
)
from kiln_mcp.workbench.argument_schemas import schema_of
from kiln_mcp.workbench.arguments import argument_problems
from storage import ExternalToolServer
from storage.errors import Refusal
from storage.records.tools import LocalServer, RemoteServer

TOOL: Final = "create_run_config"
SETTINGS: Final = "settings"
_ADDRESS: Final = re.compile(r"(?:(GET|POST|PUT|PATCH)\s+)?(https?://\S+)")
_FUNCTION: Final = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


class OtherSettings(BaseModel):
    """The settings of a run config that are not its program's own.

    Attributes:
        servers: MCP servers to add to the project, by name: a command, or an address.
        tool_turns: How often a model with tools is asked for one output.
        tool_calls: How many tools it may call for one output.
        tool_seconds: How long it may take for one output.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    servers: dict[str, "str | ServerSettings"] = Field(default_factory=dict)
    tool_turns: int | None = Field(default=None, ge=1, le=100)
    tool_calls: int | None = Field(default=None, ge=1, le=1000)
    tool_seconds: int | None = Field(default=None, ge=1, le=3600)


class ServerSettings(BaseModel):
    """A server with what it gets of this machine.

    Attributes:
        start: `command: …`, or its address.
        environment: Names of variables of ours that a command gets.
        headers: Of an address, with `${NAME}` for a variable of ours.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    start: str
    environment: tuple[VariableName, ...] = ()
    headers: dict[str, str] = Field(default_factory=dict)


def separate_settings(
    settings: Mapping[str, JsonValue],
) -> tuple[OtherSettings, dict[str, JsonValue]]:
    """Return the settings of tools and servers, and those of a program.

    Raises:
        InvalidArguments: A setting cannot be read.
    """
    names = OtherSettings.model_fields.keys()
    own = {name: value for name, value in settings.items() if name in names}
    rest = {name: value for name, value in settings.items() if name not in names}
    try:
        return OtherSettings.model_validate(own), rest
    except ValidationError as error:
        raise _invalid(error, OtherSettings) from error


def read_program(text: str, settings: Mapping[str, JsonValue]) -> AnyProgram:
    """Return the program that an argument names.

    Raises:
        Refusal: It names none, or a header holds a secret.
        InvalidArguments: A setting is not one of its kind's, or has a wrong value.
    """
    kind, values = _definition_of(text)
    try:
        program = kind.model_validate({**settings, **values})
    except ValidationError as error:
        raise _invalid(error, kind) from error
    if isinstance(program, EndpointProgram):
        _check_headers(program.headers)
    return program


def _definition_of(text: str) -> tuple[type[AnyProgram], dict[str, JsonValue]]:
    word, _, rest = text.strip().partition(":")
    rest = rest.strip()
    match word.strip().lower():
        case "command":
            return CommandProgram, {"command": list(_split(text, rest))}
        case "python" if _FUNCTION.fullmatch(rest):
            return FunctionProgram, {"function": rest}
        case "python":
            raise unreadable_program(text, "a Python function is named as module:function")
        case "mcp":
            server, _, tool = rest.rpartition("/")
            if not server or not tool:
                raise unreadable_program(text, "a tool is named as server/tool")
            return ToolProgram, {"server": server, "tool": tool}
        case _:
            address = _ADDRESS.fullmatch(text.strip())
            if address is None:
                raise unreadable_program(text, "it begins with none of the kinds")
            method: dict[str, JsonValue] = {"method": address[1]} if address[1] else {}
            return EndpointProgram, {"url": address[2], **method}


def _split(text: str, command: str) -> list[str]:
    try:
        parts = shlex.split(command)
    except ValueError as error:
        raise unreadable_program(text, f"its quotes do not match ({error})") from error
    if not parts:
        raise unreadable_program(text, "there is no command")
    return parts


def _check_headers(headers: Mapping[str, str]) -> None:
    """Refuse a header whose value is a secret: a project is shared with others.

    Raises:
        Refusal: There is one.
    """
    for name, value in headers.items():
        if SECRET_HEADER.search(name) and not VARIABLE.search(value):
            raise Refusal(
                "The header {name} would put a secret into the project. Set it as a variable where "
                "kiln-mcp runs, and name that: {example}. Nothing has been saved.",
                name=name,
                example='{"' + name + '": "Bearer ${BOT_TOKEN}"}',
            )


def new_server(name: str, definition: "str | ServerSettings") -> ExternalToolServer:
    """Return the record of a new MCP server.

    Raises:
        Refusal: Its command or address cannot be read.
    """
    entry = ServerSettings(start=definition) if isinstance(definition, str) else definition
    _check_headers(entry.headers)
    if _ADDRESS.fullmatch(entry.start.strip()):
        remote = RemoteServer(server_url=entry.start.strip(), headers=dict(entry.headers))
        return ExternalToolServer(name=name, type="remote_mcp", properties=remote)
    word, _, command = entry.start.strip().partition(":")
    if word.lower() != "command":
        raise Refusal(
            "The MCP server {name!r} cannot be read. Write 'command: uvx some-server', or its "
            "address. Nothing has been saved.",
            name=name,
        )
    first, *rest = _split(entry.start, command)
    local = LocalServer(command=first, args=tuple(rest), secret_env_var_keys=entry.environment)
    return ExternalToolServer(name=name, type="local_mcp", properties=local)


def server_text(server: ExternalToolServer) -> str:
    """Return how a server is started or reached, as a person reads it before they agree."""
    match server.properties:
        case LocalServer(command=command, args=arguments):
            return f"the MCP server {server.name}: {shlex.join([command, *arguments])}"
        case RemoteServer(server_url=url):
            return f"the MCP server {server.name}: {url}"
        case _:
            return f"the server {server.name}"


def _invalid(error: ValidationError, kind: type[BaseModel]) -> InvalidArguments:
    problems = argument_problems(error, schema_of(kind))
    return InvalidArguments(TOOL, [problem.under(SETTINGS) for problem in problems])
