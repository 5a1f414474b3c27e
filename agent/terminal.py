"""kiln-chat: the conversation in a terminal."""

import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import cast

import anyio
import click
import platformdirs
from mcp import Client, MCPError, StdioServerParameters

from agent.approval import elicitation_through, one_at_a_time
from agent.conversation import Conversation
from agent.errors import ChatError, ServerNotStarted
from agent.history import Chats
from agent.messages import Message
from agent.model import LiteLlmChatModel
from agent.screen import Screen, screen_of_this_process
from agent.session import HELP, Session
from agent.tools import Toolbox

FAILED = 1
INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 + SIGINT."""


@dataclass(frozen=True, slots=True)
class Options:
    """What was given on the command line and in the environment."""

    model: str | None
    api_base: str | None
    resume: str | None
    server: str
    home: Path


@click.command()
@click.option("--model", envvar="KILN_CHAT_MODEL", help="The model to talk to (litellm's names).")
@click.option("--api-base", envvar="KILN_CHAT_API_BASE", help="An OpenAI-compatible server's URL.")
@click.option("--resume", help="Go on with a saved chat.")
@click.option("--server", help="The command that serves the workbench.  [default: kiln-mcp]")
@click.version_option(package_name="kiln-mcp-server")
def chat(model: str | None, api_base: str | None, resume: str | None, server: str | None) -> None:
    """Talk to a copilot that measures an AI feature and makes it better.

    Where standard input is no terminal, its lines are what is said, and the exit code is 1 when
    the last of them failed.
    """
    home = os.environ.get("KILN_MCP_HOME") or platformdirs.user_data_dir("kiln-mcp", False)
    beside = Path(sys.executable).with_name("kiln-mcp")
    options = Options(
        model=model,
        api_base=api_base,
        resume=resume,
        server=server or (str(beside) if beside.exists() else "kiln-mcp"),
        home=Path(home).expanduser(),
    )
    if anyio.run(_sit, options):
        sys.exit(FAILED)


async def _sit(options: Options) -> bool:
    """Hold one sitting; return whether the last thing in it failed."""
    screen = screen_of_this_process(options.home)
    chats = Chats(options.home / "chats", os.environ)
    resumed = await chats.read(options.resume) if options.resume else []
    name = options.resume or chats.new_name()
    async with connected(options.server, screen) as toolbox:
        conversation = Conversation(
            model=LiteLlmChatModel(options.model or "", api_base=options.api_base),
            toolbox=toolbox,
            audience=screen,
            remember=partial(chats.add, name),
            messages=[_system_message(), *(m for m in resumed if m.role != "system")],
        )
        session = Session(screen, chats, conversation, bool(options.model), options.api_base)
        if screen.console.is_terminal:
            screen.say(f"Chat {name} with {options.model or 'no model yet'}. /help says more.")
            screen.say("" if options.model else HELP)
        await session.run()
    return session.failed


@asynccontextmanager
async def connected(command: str, screen: Screen) -> AsyncGenerator[Toolbox]:
    """Start the workbench and yield its tools.

    Raises:
        ServerNotStarted: The command does not start, or is no MCP server.
    """
    program, *arguments = command.split()
    parameters = StdioServerParameters(command=program, args=arguments, env=dict(os.environ))
    ask = one_at_a_time(screen.agree)
    client = Client(parameters, elicitation_callback=elicitation_through(ask))
    try:
        await client.__aenter__()
    except (OSError, MCPError, BaseExceptionGroup) as error:
        raise ServerNotStarted(command, _reason(error)) from error
    try:
        yield await Toolbox.of(client, ask)
    finally:
        await client.__aexit__(None, None, None)


def _reason(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def _system_message() -> Message:
    return Message("system", files("agent").joinpath("prompts/system.md").read_text("utf-8"))


def main() -> None:
    """Run kiln-chat; every failure is one sentence on stderr and an exit code."""
    try:
        chat.main(standalone_mode=False)
    except (KeyboardInterrupt, click.Abort):
        click.echo("kiln-chat: stopped. The chat is saved.", err=True)
        sys.exit(INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except ChatError as error:
        click.echo(f"kiln-chat: {error}", err=True)
        sys.exit(FAILED)
