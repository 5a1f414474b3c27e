"""New run config whose output a program makes, or whose model calls tools."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import anyio.to_thread
from pydantic import JsonValue

from kiln_mcp.approvals.plan import Plan
from kiln_mcp.programs.command import text_file_of
from kiln_mcp.programs.errors import cannot_run
from kiln_mcp.programs.notation import (
    OtherSettings,
    new_server,
    read_program,
    separate_settings,
    server_text,
)
from kiln_mcp.programs.program import (
    AnyProgram,
    CommandProgram,
    EndpointProgram,
    FunctionProgram,
    ToolProgram,
)
from kiln_mcp.programs.program_place import ProgramPlace
from kiln_mcp.programs.readiness import check_program
from kiln_mcp.programs.skills import SKILL_ID
from kiln_mcp.programs.tool_servers import ToolServer, find_server
from kiln_mcp.run_configs.own_properties import TOOL_CALLS, TOOL_SECONDS, TOOL_TURNS
from kiln_mcp.workbench.workspace import Workspace
from storage import ExternalToolServer, ProjectStore, Skill
from storage.errors import NextStep, Refusal
from storage.records.handles import choose
from storage.records.run_config import McpProperties, McpToolReference, ToolsConfig
from storage.records.tools import LocalServer

SKILL: Final = "skill"
"""What stands in the place of a server where a tool is a skill of the project."""
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class NewProgram:
    """What a new run config brings along.

    Attributes:
        program: What makes its outputs; None for a model.
        tools: The ids of the tools that its model may call.
        servers: MCP servers that are added to the project with it.
        used_servers: Those of the project that it uses.
        limits: Our own properties of a run config with tools.
        own_prompt: What the program's own text file holds, if no prompt is given; "" otherwise.
    """

    program: AnyProgram | None
    tools: tuple[str, ...]
    servers: tuple[ExternalToolServer, ...]
    used_servers: tuple[ExternalToolServer, ...]
    limits: Mapping[str, int]
    own_prompt: str = ""

    @property
    def tools_config(self) -> ToolsConfig | None:
        """The tools as a run config holds them."""
        return ToolsConfig(tools=self.tools) if self.tools else None

    @property
    def stored_tool(self) -> McpProperties | None:
        """The run config as Kiln stores one that calls a tool; None if it needs our own file."""
        program = self.program
        if not isinstance(program, ToolProgram):
            return None
        if program != ToolProgram(server=program.server, tool=program.tool):
            return None
        server = find_server((*self.servers, *self.used_servers), program.server)
        kind = "local" if server and isinstance(server.properties, LocalServer) else "remote"
        return McpProperties(
            tool_reference=McpToolReference(
                tool_id=f"mcp::{kind}::{program.server}::{program.tool}",
                tool_server_id=program.server,
                tool_name=program.tool,
            )
        )

    @property
    def code(self) -> str:
        """What will run on this machine or is sent the inputs, for a person; "" for nothing."""
        parts = [self.program.text] if self.program else []
        parts += [f"tools: {', '.join(self.tools)}"] if self.tools else []
        parts += [server_text(server) for server in (*self.servers, *self.used_servers)]
        return "\n".join(parts)

    def plan(self, name: str) -> Plan:
        """Return what the person is asked before it is saved; a model without tools needs no yes.

        Args:
            name: The run config's name.
        """
        runs = " This runs on this machine, or is sent the inputs:" if self.code else ""
        summary = f"Save the run config {name!r}.{runs}"
        return Plan(summary, destination=self._destination, code=self.code)

    @property
    def _destination(self) -> str:
        if not isinstance(self.program, EndpointProgram):
            return ""
        host = urlsplit(self.program.url).hostname or ""
        return "" if host in _LOOPBACK else host


async def read_new_program(
    workspace: Workspace,
    store: ProjectStore,
    name: str,
    arguments: "ProgramArguments",
) -> NewProgram:
    """Return what the arguments of a new run config say of programs and tools.

    Raises:
        Refusal: A program or a server cannot be read, or is not there.
        InvalidArguments: A setting is wrong.
        ModelError: The program can run for no item.
    """
    general, own = separate_settings(arguments.settings)
    if own and arguments.program is None:
        raise Refusal(
            "These settings are for programs: {names}. Name a `program`, or leave them out.",
            names=sorted(own),
        )
    existing = await store.children(store.project, ExternalToolServer)
    new_servers = tuple(new_server(server, entry) for server, entry in general.servers.items())
    _check_names(new_servers, existing)
    servers = (*new_servers, *existing)
    program = read_program(arguments.program, own) if arguments.program is not None else None
    if isinstance(program, ToolProgram):
        record = _server(servers, program.server)
        program = program.model_copy(update={"server": record.id})
    if program is not None:
        program = _with_prompt(program, wants_prompt=arguments.has_prompt)
    skills = await store.children(store.project, Skill) if arguments.tools else []
    tools = tuple(_tool_id(tool, servers, skills) for tool in arguments.tools)
    place = ProgramPlace(name, store.folder, workspace.settings.engine.environment)
    own_prompt = ""
    if program is not None:
        await check_program(program, place, servers)
        if not arguments.has_prompt:
            own_prompt = await _own_prompt(workspace, store, program, place)
    result = NewProgram(
        program,
        tools,
        new_servers,
        _servers_in(program, tools, existing),
        _limits(general),
        own_prompt,
    )
    for server in _servers_in(program, tools, servers):
        ToolServer(server, place).check()
    return result


@dataclass(frozen=True, slots=True)
class ProgramArguments:
    """The arguments of a new run config about programs and tools.

    Attributes:
        program: How the program is spelled; None for a model.
        tools: The tools of a model.
        settings: All general.
        has_prompt: Whether a prompt is given.
    """

    program: str | None
    tools: Sequence[str]
    settings: Mapping[str, JsonValue]
    has_prompt: bool


def trust_warning(workspace: Workspace, store: ProjectStore) -> list[str]:
    """Return what a person must do before programs of a project run; [] if they have."""
    if workspace.trust.is_trusted(store.folder):
        return []
    return [
        "It runs once the person trusts the project's folder, in a terminal: kiln-mcp trust "
        f"{shlex.quote(str(store.folder))}"
    ]


def after_run_config(name: str, program: AnyProgram | None, evals: Sequence[str]) -> list[NextStep]:
    """Return the next steps after a run config was created.

    Args:
        name: Its name.
        program: What it runs; None for a model.
        evals: The names of the task's evals; an only one is meant.
    """
    only_eval: dict[str, JsonValue] = {"eval": evals[0]} if len(evals) == 1 else {}
    subject: dict[str, JsonValue] = {**only_eval, "run_configs": [name]}
    step = NextStep(tool="run_eval", reason="measure it", arguments=subject)
    if program is None or not program.hands_over_prompt:
        return [step]
    improve = NextStep(
        tool="improve_prompt",
        reason="search for a better prompt",
        arguments={**only_eval, "start": name},
    )
    return [step, improve]


def _with_prompt(program: AnyProgram, *, wants_prompt: bool) -> AnyProgram:
    """Return a program that is handed the prompt if it names a place for it.

    Raises:
        Refusal: A prompt is given, and there is no place for it.
    """
    if wants_prompt and not program.takes_any_prompt:
        raise Refusal(
            "The program has no place for the prompt. Put {{prompt_file}} or {{prompt}} into its "
            "command, body or arguments, or name `prompt_variable` or `text_file` in settings. "
            "Nothing has been saved."
        )
    hands_over = program.prompt_places or wants_prompt
    return program.model_copy(update={"hands_over_prompt": hands_over})


async def _own_prompt(
    workspace: Workspace, store: ProjectStore, program: AnyProgram, place: ProgramPlace
) -> str:
    """Return what the text file of a program holds; "" if it has none.

    Raises:
        Refusal: The person has not trusted the project's folder, or the text holds a secret.
    """
    if not isinstance(program, CommandProgram | FunctionProgram) or not program.text_file:
        return ""
    purpose = f"the program with the text file {program.text_file!r}"
    await anyio.to_thread.run_sync(workspace.trust.require_trust, store.folder, purpose)
    text = await anyio.to_thread.run_sync(text_file_of(program, place).text)
    if place.mask(text) != text:
        raise Refusal(
            "The file {path!r} holds a secret of this machine's environment, and a prompt is "
            "shared with the project. Let the program read it from a variable. Nothing has been "
            "saved.",
            path=program.text_file,
        )
    return text


def _check_names(
    new_servers: Sequence[ExternalToolServer], existing: Sequence[ExternalToolServer]
) -> None:
    """Refuse a new server that has the name of another.

    Raises:
        Refusal: There is one.
    """
    for server in new_servers:
        if find_server(existing, server.name) is not None:
            raise Refusal(
                "The project has an MCP server {name!r} already. Leave it out of servers, or "
                "choose another name. Nothing has been saved.",
                name=server.name,
            )


def _server(servers: Sequence[ExternalToolServer], reference: str) -> ExternalToolServer:
    server = find_server(servers, reference)
    if server is None:
        raise cannot_run(
            reference,
            f"the project has no MCP server {reference!r}; there are: "
            f"{', '.join(s.name for s in servers) or 'none'}. Add it in settings: "
            '{"servers": {"' + reference + '": "command: …"}}.',
        )
    return server


def _tool_id(tool: str, servers: Sequence[ExternalToolServer], skills: Sequence[Skill]) -> str:
    """Return a tool's id as Kiln has it; one that is an id already stays."""
    if "::" in tool:
        return tool
    server_name, slash, name = tool.rpartition("/")
    if not slash:
        raise Refusal(
            "The tool {tool!r} names no server. Write it as server/tool, or a skill as skill/name. "
            "Nothing has been saved.",
            tool=tool,
        )
    if server_name == SKILL and find_server(servers, SKILL) is None:
        return f"{SKILL_ID}{choose(Skill, skills, name).id}"
    server = _server(servers, server_name)
    kind = "local" if isinstance(server.properties, LocalServer) else "remote"
    return f"mcp::{kind}::{server.id}::{name}"


def _servers_in(
    program: AnyProgram | None, tools: Sequence[str], servers: Sequence[ExternalToolServer]
) -> tuple[ExternalToolServer, ...]:
    """Return those of some servers that a program or tools use."""
    ids = {parts[2] for tool in tools if len(parts := tool.split("::")) == 4}
    if isinstance(program, ToolProgram):
        ids.add(program.server)
    return tuple(server for server in servers if server.id in ids)


def _limits(general: OtherSettings) -> dict[str, int]:
    limits = {
        TOOL_TURNS: general.tool_turns,
        TOOL_CALLS: general.tool_calls,
        TOOL_SECONDS: general.tool_seconds,
    }
    return {key: value for key, value in limits.items() if value is not None}
