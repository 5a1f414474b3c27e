"""kiln-chat: the conversation in a terminal."""

import logging
import os
import shlex
import shutil
import sys
import warnings
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import cast

import anyio
import click
import mcp_types as types
import platformdirs
from mcp import Client, MCPError, StdioServerParameters
from pydantic import ValidationError
from rich.console import Console

from agent.approval import Ask, elicitation_through, one_at_a_time
from agent.conversation import Conversation
from agent.errors import ChatError, ServerNotStarted
from agent.history import Chats, Secrets
from agent.hosted import LiteLlmChatModel, ModelServer
from agent.messages import Message
from agent.reader import PlainReader, TerminalReader
from agent.screen import Screen
from agent.session import HELP, Session
from agent.tools import Toolbox

FAILED = 1
INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 + SIGINT."""
LONGEST_START_S = 60.0
"""Seconds after which a server that says nothing counts as not started."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Options:
    """What was given on the command line and in the environment.

    Attributes:
        model: Whom to talk to; None where nobody was named.
        model_server: Who serves it; None for the model's provider.
        resume: The saved chat to go on with; None for a new one.
        command: The command that serves another workbench; None for the own one.
        home: Where chats are kept.
        secrets: What is never written down.
    """

    model: str | None
    model_server: ModelServer | None
    resume: str | None
    command: str | None
    home: Path
    secrets: Secrets


@click.command()
@click.option("--model", envvar="KILN_CHAT_MODEL", help="The model to talk to (litellm's names).")
@click.option("--api-base", envvar="KILN_CHAT_API_BASE", help="An OpenAI-compatible server's URL.")
@click.option("--resume", help="Go on with a saved chat.")
@click.option("--server", help="The command that serves the workbench.  [default: kiln-mcp]")
@click.version_option(package_name="kiln-mcp-server")
def chat(model: str | None, api_base: str | None, resume: str | None, server: str | None) -> None:
    """Talk to a copilot that measures an AI feature and makes it better.

    Keys are read from the environment: those of litellm's providers (ANTHROPIC_API_KEY,
    OPENAI_API_KEY …), and KILN_CHAT_API_KEY for the server of --api-base. An address that holds
    a password belongs in KILN_CHAT_API_BASE, since others can read a command line.

    Where standard input is no terminal, its lines are what is said, and the exit code is 1 when
    the last of them failed.
    """
    home = os.environ.get("KILN_MCP_HOME") or platformdirs.user_data_dir("kiln-mcp", False)
    key = os.environ.get("KILN_CHAT_API_KEY")
    options = Options(
        model=model,
        model_server=ModelServer.at(api_base, key) if api_base else None,
        resume=resume,
        command=server,
        home=Path(home).expanduser(),
        secrets=Secrets(dict(os.environ)),
    )
    if anyio.run(_sit, options):
        sys.exit(FAILED)


async def _sit(options: Options) -> bool:
    """Hold one sitting; return whether the last thing in it failed."""
    interactive = sys.stdin.isatty() and sys.stdout.isatty()
    console = Console() if interactive else Console(color_system=None, width=4000)
    screen = Screen(console, PlainReader())
    chats = Chats(options.home / "chats", options.secrets)
    name = chats.new_name()
    async with connected(options.command, screen) as toolbox:
        conversation = Conversation(
            model=LiteLlmChatModel(options.model or "none", options.model_server),
            toolbox=toolbox,
            audience=screen,
            remember=partial(chats.add, name),
            messages=[_system_message()],
        )
        session = Session(
            screen, chats, name, conversation, bool(options.model), options.model_server
        )
        if interactive:
            screen.reader = TerminalReader(
                options.home / "chat-history", options.secrets, session.next_words
            )
            screen.say(f"Chat {name} with {options.model or 'no model yet'}. /help says more.")
            screen.say("" if options.model else HELP)
        if options.resume:
            await session.resume(options.resume)
        try:
            await session.run()
        finally:
            screen.settle()
    return session.failed


@asynccontextmanager
async def connected(
    command: str | None,
    screen: Screen,
    *,
    mode: str = "auto",
    longest_start_s: float = LONGEST_START_S,
) -> AsyncGenerator[Toolbox]:
    """Start the workbench and yield its tools.

    Only the program that was installed with kiln-chat is believed to ask the person by itself.

    Args:
        command: What starts it, with its arguments; None for the own one.
        screen: Where the person is asked.
        mode: "auto", or "legacy" for the handshake of the protocol before 2026-07-28.
        longest_start_s: When to give up.

    Raises:
        ServerNotStarted: The command does not start, or is no MCP server.
    """
    own = own_command()
    command = own if command is None else command
    program, *arguments = shlex.split(command) or [""]
    parameters = StdioServerParameters(command=program, args=arguments, env=dict(os.environ))
    ask = one_at_a_time(screen.agree)
    info = types.Implementation(name="kiln-chat", version=version("kiln-mcp-server"))
    client = Client(
        parameters, mode=mode, client_info=info, elicitation_callback=elicitation_through(ask)
    )
    # The scope stays open around the connection, which belongs to it; only its deadline goes.
    with anyio.CancelScope(deadline=anyio.current_time() + longest_start_s) as starting:
        try:
            await client.__aenter__()
        except (OSError, MCPError, ValueError, BaseExceptionGroup) as error:
            raise ServerNotStarted(command, _reason(error)) from error
        try:
            toolbox = await _listed(command, client, ask, asks_itself=command == own)
            starting.deadline = float("inf")
            yield toolbox
        finally:
            await client.__aexit__(None, None, None)
    if starting.cancelled_caught:
        raise ServerNotStarted(command, f"it said nothing for {longest_start_s:g} seconds")


def own_command() -> str:
    """Return the command of the workbench that was installed with kiln-chat."""
    beside = shutil.which("kiln-mcp", path=str(Path(sys.executable).parent))
    return shlex.join([beside or "kiln-mcp"])


async def _listed(command: str, client: Client, ask: Ask, *, asks_itself: bool) -> Toolbox:
    try:
        return await Toolbox.of(client, ask, asks_itself=asks_itself)
    except (MCPError, ValidationError) as error:
        raise ServerNotStarted(command, _reason(error)) from error


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
    """Run kiln-chat; every failure is one sentence on stderr and an exit code."""
    logging.basicConfig(stream=sys.stderr, level=os.environ.get("KILN_MCP_LOG", "ERROR").upper())
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # libraries warn of what no reader can act on
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
    """Say what happened in a sentence and end with the exit code for it."""
    match error:
        case SystemExit():
            raise error
        case KeyboardInterrupt():
            _end("stopped. The chat is saved.", INTERRUPTED)
        case ChatError():
            _end(str(error), FAILED)
        case BrokenPipeError():
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(FAILED)
        case _:
            _log.debug("unforeseen", exc_info=error)
            _end(
                f"an error that was not foreseen: {type(error).__name__}: {error}. The chat up to "
                "here is saved; KILN_MCP_LOG=debug shows more.",
                FAILED,
            )


def _end(sentence: str, code: int) -> None:
    click.echo(f"kiln-chat: {sentence}", err=True)
    sys.exit(code)
