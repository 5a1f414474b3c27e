"""The program kiln-chat: its command line, which imports the conversation when it is used."""

import os
import sys
from typing import TYPE_CHECKING, Final, TypedDict, Unpack

import click

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from kiln_mcp.llm import BudgetLimit

ATTEMPTS: Final = 3
"""How often a request to the model is sent at most: a person waits."""
FAILED: Final = 1
INTERRUPTED: Final = 130
"""Exit code after Ctrl-C: 128 + SIGINT."""
_EFFECTS: Final = ("reads", "writes", "spends", "sends", "destroys")


class Line(TypedDict):
    """The command line."""

    model: str | None
    api_base: str | None
    budget: float | None
    mode: str
    resume: str | None
    server: str | None
    plain: bool
    prompt: str | None
    output: str
    limit: str
    approve: str


@click.command(
    epilog="Exit codes: 0 done, 1 failed, 2 a wrong call, 3 an approval was needed, 4 a limit was "
    "reached, 130 interrupted. docs/chat.md has the commands and the events."
)
@click.option("--model", envvar="KILN_CHAT_MODEL", help="The model to talk to: provider/name.")
@click.option("--api-base", envvar="KILN_CHAT_API_BASE", help="An OpenAI-compatible server's URL.")
@click.option(
    "--budget",
    envvar="KILN_CHAT_BUDGET",
    type=click.FloatRange(min=0),
    help="The most that the model calls of one chat may cost, in US dollars.",
)
@click.option(
    "--mode",
    type=click.Choice(["ask", "auto", "plan"]),
    default="ask",
    show_default=True,
    help="How much is done without a question; plan only reads.",
)
@click.option("--resume", help="Continue a saved chat.")
@click.option("--server", help="The command that serves the workbench.  [default: kiln-mcp]")
@click.option("--plain", is_flag=True, help="Lines only, for a screen reader.")
@click.option("-p", "--print", "prompt", help="One turn with this text, without a terminal.")
@click.option(
    "--output",
    type=click.Choice(["text", "json", "stream-json"]),
    default="text",
    show_default=True,
    help="With -p: the answer, the answer as JSON, or one event a line.",
)
@click.option("--limit", default="", help="With -p: usd=2,calls=50,seconds=600, any of them.")
@click.option(
    "--approve",
    default="",
    help=f"With -p: effects that are approved, of {', '.join(_EFFECTS)}.",
)
@click.version_option(package_name="kiln-mcp-server")
def chat(**line: Unpack[Line]) -> None:
    """Talk to a copilot that measures an AI feature and makes it better.

    Keys are read from the environment (ANTHROPIC_API_KEY, OPENAI_API_KEY …) or the system's
    keyring; KILN_CHAT_API_KEY is the key for the server of --api-base. An address that holds a
    password belongs in KILN_CHAT_API_BASE, since others can read a command line.

    If standard input is not a terminal, its lines are the person's; with -p it is more text for the
    model. What needs a yes is asked at a terminal, and approved by --approve without one.
    """
    if line["prompt"] is None and (line["limit"] or line["approve"] or line["output"] != "text"):
        raise click.UsageError("--limit, --approve and --output belong to -p. Write -p TEXT.")
    sys.exit(_run(line))


def _run(line: Line) -> int:
    from kiln_mcp.garbage import no_collection

    with no_collection():
        work = _work(line)
        import anyio
    return anyio.run(lambda: work)


def _work(line: Line) -> "Coroutine[Any, Any, int]":
    effects = [name.strip() for name in line["approve"].split(",") if name.strip()]
    if unknown := sorted(set(effects) - set(_EFFECTS)):
        raise click.UsageError(
            f"--approve has no effect {unknown[0]!r}. Effects: {', '.join(_EFFECTS)}."
        )
    limits = _limit(line["limit"])
    from agent.chat_options import chat_options

    options = chat_options(line, os.environ)
    if line["prompt"] is None:
        from agent.startup import SessionOptions, run_session

        return run_session(SessionOptions(options, bool(line["api_base"]), line["plain"]))
    from agent.single_turn.run import TurnOptions, run_turn

    turn = TurnOptions(options, line["prompt"], line["output"], limits, frozenset(effects))
    return run_turn(turn)


def _limit(text: str) -> "BudgetLimit":
    from agent.single_turn.limits import read_limit
    from storage.errors import Refusal

    try:
        return read_limit(text)
    except Refusal as error:
        raise click.UsageError(str(error)) from error


def _open_standard_streams() -> None:
    """Open the null device for each standard stream that the caller closed.

    A file that is opened later would take its number, and be written to in its place.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            null_device = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(null_device, mode, encoding="utf-8"))


def main() -> None:
    """Run kiln-chat; a failure is one sentence on stderr and an exit code."""
    _open_standard_streams()
    try:
        chat.main(standalone_mode=False)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.Abort:
        _end("stopped. What was said is saved.", INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except SystemExit:
        raise
    except BaseException as error:  # noqa: BLE001 - the outermost door
        _explain(error)


def _explain(error: BaseException) -> None:
    """Print the sentence of an error and exit with its code."""
    import logging

    from agent.connection import innermost
    from storage.errors import WorkbenchError

    match innermost(error):
        case SystemExit() as cause:
            raise cause
        case KeyboardInterrupt():
            _end("stopped. What was said is saved.", INTERRUPTED)
        case WorkbenchError() as cause:
            _end(str(cause), FAILED)
        case BrokenPipeError():
            _end_of_pipe()
        case cause:
            logging.getLogger(__name__).debug("unexpected error", exc_info=cause)
            _end(
                f"an unexpected error: {type(cause).__name__}: {cause}. The chat up to "
                "this point is saved; KILN_MCP_LOG=debug shows more.",
                FAILED,
            )


def _end_of_pipe() -> None:
    """End as programs do whose reader has gone: without a word, by SIGPIPE.

    What was said is saved by now.
    """
    import signal

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if sys.platform != "win32":
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.raise_signal(signal.SIGPIPE)
    sys.exit(FAILED)


def _end(sentence: str, code: int) -> None:
    click.echo(f"kiln-chat: {sentence}", err=True)
    sys.exit(code)
