"""kiln-chat: the conversation in a terminal."""

import logging
import os
import shlex
import shutil
import sys
import warnings
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Final, cast

import anyio
import click
import mcp_types as types
from mcp import Client, MCPError, StdioServerParameters
from pydantic import ValidationError
from rich.console import Console

from agent.chat_history import Chats, Secrets
from agent.conversation import Conversation
from agent.mcp_tools import Toolbox
from agent.model import ChatModel, api_base_server
from agent.reader import PlainReader, TerminalReader
from agent.screen import Screen
from agent.session import HELP, Session, model_name
from agent.tool_approval import Ask, elicitation_callback, serialize
from kiln_mcp.home import prepare_home
from kiln_mcp.llm import BudgetLimit, Engine, EngineSettings, Message
from kiln_mcp.settings import Settings
from storage.errors import Refusal, WorkbenchError

FAILED = 1
INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 + SIGINT."""
_TOOLSETS: Final = "KILN_MCP_TOOLSETS"
ALL_TOOLSETS: Final = "team,admin"
"""The person of a chat can call every tool; its model is shown those of the variable."""
LONGEST_START_S = 60.0
"""Seconds after which a silent server counts as not started."""
ATTEMPTS = 3
"""How often a request to the model is sent at most: a person waits."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Options:
    """The command line and the environment.

    Attributes:
        model: The engine's name of the model; empty if none was named.
        engine: The engine's settings.
        has_api_base: Whether model names are those of the --api-base server.
        limit: The most that a chat's model calls may cost.
        resume: The saved chat to continue; None for a new one.
        command: The command that serves another workbench; None for the own one.
        home: The home, with the chats.
        secrets: What is never written to a file.
    """

    model: str
    engine: EngineSettings
    has_api_base: bool
    limit: BudgetLimit
    resume: str | None
    command: str | None
    home: Path
    secrets: Secrets


@click.command()
@click.option("--model", envvar="KILN_CHAT_MODEL", help="The model to talk to: provider/name.")
@click.option("--api-base", envvar="KILN_CHAT_API_BASE", help="An OpenAI-compatible server's URL.")
@click.option(
    "--budget",
    envvar="KILN_CHAT_BUDGET",
    type=click.FloatRange(min=0),
    help="The most that the model calls of one chat may cost, in US dollars.",
)
@click.option("--resume", help="Continue a saved chat.")
@click.option("--server", help="The command that serves the workbench.  [default: kiln-mcp]")
@click.version_option(package_name="kiln-mcp-server")
def chat(
    model: str | None,
    api_base: str | None,
    budget: float | None,
    resume: str | None,
    server: str | None,
) -> None:
    """Talk to a copilot that measures an AI feature and makes it better.

    Keys are read from the environment (ANTHROPIC_API_KEY, OPENAI_API_KEY …) or the system's
    keyring; KILN_CHAT_API_KEY is the key for the server of --api-base. An address that holds a
    password belongs in KILN_CHAT_API_BASE, since others can read a command line.

    If standard input is not a terminal, its lines are the person's. The exit code is 1 if the last
    of them failed.
    """
    settings = Settings.from_environment(os.environ)
    servers = (api_base_server(api_base, os.environ),) if api_base else ()
    options = Options(
        model=model_name(model or "", bool(api_base)),
        engine=replace(
            settings.engine,
            servers=servers,
            attempts=ATTEMPTS,
            shared_database_url=settings.shared_database_url,
        ),
        has_api_base=bool(api_base),
        limit=BudgetLimit(cost_usd=budget),
        resume=resume,
        command=server,
        home=settings.home,
        secrets=Secrets(dict(os.environ)),
    )
    if anyio.run(_run_session, options):
        sys.exit(FAILED)


async def _run_session(options: Options) -> bool:
    """Run one session; return whether its last command failed."""
    interactive = sys.stdin.isatty() and sys.stdout.isatty()
    console = Console() if interactive else Console(color_system=None, width=4000)
    screen = Screen(console, PlainReader())
    async with connect(options.command, screen) as toolbox, _open_engine(options) as engine:
        session = await _open_session(options, screen, toolbox, engine)
        if interactive:
            screen.reader = TerminalReader(
                options.home / "chat-history", options.secrets, session.next_words
            )
            name = options.model or "no model yet"
            screen.say(f"Chat {session.chat} with {name}. /help lists the commands.")
            screen.say("" if options.model else HELP)
        async with anyio.create_task_group() as group:
            if interactive and options.model:  # while the person types
                group.start_soon(engine.prepare, options.model)
            if options.resume:
                await session.resume(options.resume)
            try:
                await session.run()
            finally:
                screen.settle()
    return session.failed


def _open_engine(options: Options) -> Engine:
    with suppress(OSError):  # the response cache's own error says what is wrong with the home
        prepare_home(options.home)
    return Engine(options.engine)


async def _open_session(
    options: Options, screen: Screen, toolbox: Toolbox, engine: Engine
) -> Session:
    async def show_wait(reason: str) -> None:
        screen.show_wait(reason)

    chats = Chats(options.home / "chats", options.secrets)
    name = chats.new_name()
    listening = engine.with_listener(show_wait)
    model = await ChatModel.open(listening, options.model, name, options.limit)
    conversation = Conversation(
        model=model,
        toolbox=toolbox,
        audience=screen,
        record=partial(chats.add, name),
        messages=[_system_message()],
    )
    return Session(screen, chats, name, conversation, options.has_api_base)


@asynccontextmanager
async def connect(
    command: str | None,
    screen: Screen,
    *,
    mode: str = "auto",
    longest_start_s: float = LONGEST_START_S,
) -> AsyncGenerator[Toolbox]:
    """Start the workbench and yield its tools.

    Only the program that was installed with kiln-chat is trusted to ask the person itself.

    Args:
        command: The command that starts it, with its arguments; None for the own one.
        screen: Asks the person.
        mode: "auto", or "legacy" for the handshake of the protocol before 2026-07-28.
        longest_start_s: When to give up.

    Raises:
        Refusal: The command does not start, or is not an MCP server.
    """
    own = own_command()
    command = own if command is None else command
    program, *arguments = shlex.split(command) or [""]
    parameters = StdioServerParameters(
        command=program, args=arguments, env={**os.environ, _TOOLSETS: ALL_TOOLSETS}
    )
    ask = serialize(screen.agree)
    info = types.Implementation(name="kiln-chat", version=version("kiln-mcp-server"))
    client = Client(
        parameters, mode=mode, client_info=info, elicitation_callback=elicitation_callback(ask)
    )
    # The connection belongs to the scope, which stays open; only its deadline is removed.
    with anyio.CancelScope(deadline=anyio.current_time() + longest_start_s) as start_scope:
        try:
            await client.__aenter__()
        except (OSError, MCPError, ValueError, BaseExceptionGroup) as error:
            raise _failed_start(command, _reason(error)) from error
        try:
            toolbox = await _load_tools(command, client, ask, asks_itself=command == own)
            start_scope.deadline = float("inf")
            yield toolbox
        finally:
            await client.__aexit__(None, None, None)
    if start_scope.cancelled_caught:
        raise _failed_start(command, f"it said nothing for {longest_start_s:g} seconds")


def own_command() -> str:
    """Return the command of the workbench that was installed with kiln-chat."""
    sibling = shutil.which("kiln-mcp", path=str(Path(sys.executable).parent))
    return shlex.join([sibling or "kiln-mcp"])


async def _load_tools(command: str, client: Client, ask: Ask, *, asks_itself: bool) -> Toolbox:
    try:
        toolsets = [name.strip() for name in os.environ.get(_TOOLSETS, "").split(",")]
        return await Toolbox.load(client, ask, asks_itself=asks_itself, toolsets=toolsets)
    except (MCPError, ValidationError) as error:
        raise _failed_start(command, _reason(error)) from error


def _failed_start(command: str, reason: str) -> Refusal:
    return Refusal(
        "The workbench could not be started with '{command}': {reason}. Run that command by itself "
        "to see why.",
        command=command,
        reason=reason.rstrip("."),
    )


def _reason(error: BaseException) -> str:
    error = _innermost(error)
    return str(error) or type(error).__name__


def _innermost(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return error


def _system_message() -> Message:
    return Message("system", files("agent").joinpath("prompts/system.md").read_text("utf-8"))


def main() -> None:
    """Run kiln-chat; a failure is one sentence on stderr and an exit code."""
    logging.basicConfig(stream=sys.stderr, level=os.environ.get("KILN_MCP_LOG", "ERROR").upper())
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # no reader can act on the warnings of libraries
    try:
        chat.main(standalone_mode=False)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.Abort:
        _end("stopped. The chat is saved.", INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except BaseException as error:  # noqa: BLE001 - the outermost door
        _explain(_innermost(error))


def _explain(error: BaseException) -> None:
    """Print the sentence of an error and exit with its code."""
    match error:
        case SystemExit():
            raise error
        case KeyboardInterrupt():
            _end("stopped. The chat is saved.", INTERRUPTED)
        case WorkbenchError():
            _end(str(error), FAILED)
        case BrokenPipeError():
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(FAILED)
        case _:
            _log.debug("unexpected error", exc_info=error)
            _end(
                f"an unexpected error: {type(error).__name__}: {error}. The chat up to "
                "this point is saved; KILN_MCP_LOG=debug shows more.",
                FAILED,
            )


def _end(sentence: str, code: int) -> None:
    click.echo(f"kiln-chat: {sentence}", err=True)
    sys.exit(code)
