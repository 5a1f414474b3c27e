"""kiln-chat: the conversation in a terminal."""

import logging
import os
import sys
import warnings
from dataclasses import dataclass, replace

import anyio
import click
from rich.console import Console

from agent.chat_history import Secrets
from agent.chat_setup import ChatOptions, open_chat
from agent.connection import innermost
from agent.model import api_base_server
from agent.reader import PlainReader, TerminalReader
from agent.screen import Screen
from agent.session import HELP, Session, model_name
from kiln_mcp.llm import BudgetLimit
from kiln_mcp.settings import Settings
from storage.errors import WorkbenchError

FAILED = 1
INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 + SIGINT."""
ATTEMPTS = 3
"""How often a request to the model is sent at most: a person waits."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Options:
    """The command line and the environment.

    Attributes:
        chat: How the conversation is opened.
        has_api_base: Whether model names are those of the --api-base server.
    """

    chat: ChatOptions
    has_api_base: bool


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
    engine = replace(
        settings.engine,
        servers=servers,
        attempts=ATTEMPTS,
        shared_database_url=settings.shared_database_url,
    )
    chat_options = ChatOptions(
        home=settings.home,
        engine=engine,
        secrets=Secrets(dict(os.environ)),
        model=model_name(model or "", bool(api_base)),
        limit=BudgetLimit(cost_usd=budget),
        resume=resume,
        command=server,
    )
    options = Options(chat_options, bool(api_base))
    if anyio.run(_run_session, options):
        sys.exit(FAILED)


async def _run_session(options: Options) -> bool:
    """Run one session; return whether its last command failed."""
    interactive = sys.stdin.isatty() and sys.stdout.isatty()
    console = Console() if interactive else Console(color_system=None, width=4000)
    screen = Screen(console, PlainReader())
    async with open_chat(options.chat, screen) as chat:
        session = Session(screen, chat, options.has_api_base)
        if interactive:
            secrets, home = options.chat.secrets, options.chat.home
            screen.reader = TerminalReader(home / "chat-history", secrets, session.next_words)
            name = options.chat.model or "no model yet"
            screen.say(f"Chat {chat.name} with {name}. /help lists the commands.")
            screen.say("" if options.chat.model else HELP)
        if options.chat.resume:
            session.show_resumed()
        try:
            await session.run()
        finally:
            screen.settle()
    return session.failed


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
        _explain(innermost(error))


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
