"""Failures of commands: one sentence and an exit code for each."""

import logging
import os
import sys
from collections.abc import Callable

import click

from kiln_mcp.doors.interrupts import INTERRUPTED, STOPPED

FAILED = 1
USAGE = 2
NOT_APPROVED = 3
SERVED_ALREADY = 75
"""Another daemon serves the home: EX_TEMPFAIL; the bridge uses the same code."""
_log = logging.getLogger(__name__)


def run_guarded(run: Callable[[], object]) -> int:
    """Run a command and return its exit code; print a failure as one sentence."""
    try:
        run()
    except BaseException as error:  # noqa: BLE001 - the outermost door
        return _explain(error)
    return 0


def _explain(error: BaseException) -> int:
    """Print the sentence of an error and return its exit code."""
    match error:
        case SystemExit():
            return error.code if isinstance(error.code, int) else FAILED
        case KeyboardInterrupt() | click.Abort():
            return _say(STOPPED, INTERRUPTED)
        case click.exceptions.Exit():
            return error.exit_code
        case click.ClickException():
            error.show()
            return error.exit_code
        case BrokenPipeError():
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return FAILED
        case _:
            return _explain_work(error)


def _explain_work(error: BaseException) -> int:
    """Explain an error of a command's work; its rooms are imported already, or soon."""
    from kiln_mcp.doors.cli.next_steps import argument_text, error_text
    from kiln_mcp.errors import (
        AlreadyServing,
        InvalidArguments,
        UnknownCapability,
        disk_sentence,
        unwrap,
    )
    from kiln_mcp.workbench.answer_text import for_terminal
    from storage.errors import InvalidValue, WorkbenchError

    leaf = unwrap(error)
    if leaf is not error:
        return _explain(leaf)
    match error:
        case InvalidArguments():
            return _say(for_terminal(argument_text(error)), USAGE)
        case InvalidValue() | UnknownCapability():
            return _say(for_terminal(error_text(error)), USAGE)
        case WorkbenchError():
            code = SERVED_ALREADY if isinstance(error, AlreadyServing) else FAILED
            return _say(for_terminal(error_text(error)), code)
        case OSError():
            return _say(for_terminal(disk_sentence(error)), FAILED)
        case _:
            _log.error("unexpected error", exc_info=error)
            sentence = f"An unexpected error: {type(error).__name__}: {error}"
            return _say(for_terminal(sentence), FAILED)


def _say(sentence: str, code: int) -> int:
    click.echo(f"kiln-mcp: {sentence}", err=True)
    return code
