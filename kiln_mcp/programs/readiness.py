"""Prepare run configs whose outputs programs make, or whose models call tools."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Protocol

import anyio.to_thread

from kiln_mcp.llm import ModelAnswer, ModelRequest
from kiln_mcp.llm.limits.rate_limiter import RateLimiter
from kiln_mcp.llm.limits.shared_limits import UNLIMITED, ServerLimits
from kiln_mcp.llm.prices import FREE
from kiln_mcp.llm.retries import Route
from kiln_mcp.programs.command import CommandModel, FunctionModel
from kiln_mcp.programs.endpoint import EndpointModel
from kiln_mcp.programs.errors import cannot_run
from kiln_mcp.programs.mcp_tool import ToolModel
from kiln_mcp.programs.program import (
    AnyProgram,
    CommandProgram,
    EndpointProgram,
    FunctionProgram,
)
from kiln_mcp.programs.program_files import (
    model_of_tool,
    program_model,
    read_program,
)
from kiln_mcp.programs.program_place import ProgramPlace
from kiln_mcp.programs.skills import SKILL_ID, read_skills
from kiln_mcp.programs.tool_servers import ToolServer, find_server
from kiln_mcp.programs.toolbox import Toolbox, open_toolbox, toolbox_model
from kiln_mcp.workbench.workspace import Workspace
from storage import (
    ExternalToolServer,
    KilnAgentProperties,
    ProjectStore,
    Task,
    TaskRun,
    TaskRunConfig,
)
from storage.errors import NextStep, Refusal
from storage.index.results import outputs_of_evals
from storage.records.run_config import PROGRAM_SOURCE, McpProperties


class ProgramModel(Protocol):
    """A program as a model of the engine."""

    def check(self) -> None:
        """Refuse a program that can run for no item. It blocks.

        Raises:
            ModelError: It is missing, or lacks something.
        """
        ...

    def source_digest(self) -> str:
        """Return a digest of the program's own files; "" if they are not known. It blocks."""
        ...

    async def complete(self, request: ModelRequest) -> ModelAnswer:
        """Run the program.

        Raises:
            ModelError: It gave no output.
        """
        ...


@dataclass(frozen=True, slots=True)
class ReadyProgram:
    """A program that was prepared.

    Attributes:
        model: The program.
        source: A digest of its files; "" if they are not known.
    """

    model: ProgramModel
    source: str

    async def complete(self, request: ModelRequest) -> ModelAnswer:
        """Run the program.

        Raises:
            ModelError: It gave no output.
        """
        return await self.model.complete(request)


async def ready_run_configs(
    workspace: Workspace,
    store: ProjectStore,
    run_configs: Sequence[TaskRunConfig],
    only_scored: Collection[str] = (),
) -> list[str]:
    """Prepare run configs: those of programs and those with tools run only after this.

    Args:
        workspace: Runs them.
        store: The project.
        run_configs: The run configs.
        only_scored: The ids of those whose outputs are all there: they make none.

    Returns:
        A warning for each whose outputs an earlier version of its program made.

    Raises:
        Refusal: The person has not trusted the project's folder, or a program has changed.
        ModelError: A program can run for no item, or a server of tools gives no list.
    """
    warnings: list[str] = []
    for run_config in run_configs:
        program = await read_program(store, run_config)
        tools = tools_of(run_config)
        if program is None and not tools:
            continue
        noun = "program" if program else "tools"
        purpose = f"the {noun} of the run config {run_config.name!r}"
        if program is not None or not all(tool.startswith(SKILL_ID) for tool in tools):
            await anyio.to_thread.run_sync(workspace.trust.require_trust, store.folder, purpose)
        place = ProgramPlace(run_config.name, store.folder, workspace.settings.engine.environment)
        if program is not None:
            is_same = await _register(workspace, store, run_config, program, place)
            if not is_same and run_config.id not in only_scored:
                raise _changed_program(run_config)
            if not is_same:
                warnings.append(_earlier_version(run_config))
        else:
            await _register_tools(workspace, store, run_config, place)
    return warnings


def tools_of(run_config: TaskRunConfig) -> tuple[str, ...]:
    """Return the ids of the tools that a run config's model may call."""
    properties = run_config.run_config_properties
    if isinstance(properties, KilnAgentProperties) and properties.tools_config:
        return properties.tools_config.tools
    return ()


async def check_program(
    program: AnyProgram, place: ProgramPlace, servers: Sequence[ExternalToolServer]
) -> None:
    """Refuse a program that can run for no item; it is not run.

    Raises:
        ModelError: It is missing, or lacks something.
    """
    await anyio.to_thread.run_sync(_model(program, place, servers).check)


async def _register(
    workspace: Workspace,
    store: ProjectStore,
    run_config: TaskRunConfig,
    program: AnyProgram,
    place: ProgramPlace,
) -> bool:
    """Make a program a model of the engine, unless it has changed; return whether it has not."""
    servers = await store.children(store.project, ExternalToolServer)
    model = _model(program, place, servers)
    await anyio.to_thread.run_sync(model.check)
    digest = await anyio.to_thread.run_sync(model.source_digest)
    if await _has_changed(store, run_config, digest):
        return False
    is_stored = isinstance(run_config.run_config_properties, McpProperties)
    name = model_of_tool(run_config) if is_stored else program_model(program)
    limits = ServerLimits(program.concurrency)
    route = Route(
        ReadyProgram(model, digest),
        run_config.name,
        f"{name} {digest}",
        RateLimiter(run_config.name, limits),
        None if program.cost_field else FREE,
    )
    workspace.engine.register(name, route)
    return True


async def _has_changed(store: ProjectStore, run_config: TaskRunConfig, digest: str) -> bool:
    """Return whether a program's files have changed since its first outputs: it is another one."""
    folder = PurePosixPath(run_config.saved.path).parents[2]
    path = str(folder / f"{Task.type_name()}.kiln")
    rows = await store.ask(lambda index: outputs_of_evals(index, path, run_config.id))
    runs = await store.read_all(TaskRun, [row.path for row in rows.values()][:1])
    for run in runs.values():
        properties = run.output.source.properties if run.output.source else {}
        earlier = properties.get(PROGRAM_SOURCE, "")
        if digest and earlier and digest != earlier:
            return True
    return False


def _changed_program(run_config: TaskRunConfig) -> Refusal:
    return Refusal(
        "The files of the program of '{name}' have changed since its first outputs, so it is "
        "another program now. Measure it under a new name.",
        name=run_config.name,
        next=[NextStep(tool="create_run_config", reason="the same program under another name")],
    )


def _earlier_version(run_config: TaskRunConfig) -> str:
    return (
        f"The files of the program of {run_config.name!r} have changed since its first outputs: "
        "the scores are those of the version before. Measure the new one under a new name."
    )


async def _register_tools(
    workspace: Workspace,
    store: ProjectStore,
    run_config: TaskRunConfig,
    place: ProgramPlace,
) -> None:
    servers = await store.children(store.project, ExternalToolServer)
    skills = await read_skills(store, tools_of(run_config), run_config.name)
    name = toolbox_model(run_config.id)
    earlier = workspace.engine.program(name)
    if (
        isinstance(earlier, Toolbox)
        and earlier.skills == skills
        and all(s.record in servers for s in earlier.servers.values())
    ):
        return
    toolbox = await open_toolbox(name, tools_of(run_config), servers, place, skills)
    limits = ServerLimits(UNLIMITED)
    route = Route(toolbox, run_config.name, name, RateLimiter(run_config.name, limits))
    workspace.engine.register(name, route)


def _model(
    program: AnyProgram, place: ProgramPlace, servers: Sequence[ExternalToolServer]
) -> ProgramModel:
    match program:
        case CommandProgram():
            return CommandModel(program, place)
        case FunctionProgram():
            return FunctionModel(program, place)
        case EndpointProgram():
            return EndpointModel(program, place)
        case _:
            server = find_server(servers, program.server)
            if server is None:
                raise cannot_run(
                    place.name,
                    f"the project has no MCP server {program.server!r}. Create another run config.",
                )
            return ToolModel(program, ToolServer(server, place), place)
