"""Errors that come in a group leave every door as one error."""

import pytest

from kiln_mcp.approvals.approval import ProposedCall
from kiln_mcp.approvals.plan import Effect
from kiln_mcp.doors.cli.failures import run_guarded
from kiln_mcp.doors.server.calls import failure_sentence
from kiln_mcp.errors import unwrap
from kiln_mcp.jobs.job_end import end_of
from kiln_mcp.workbench.capability import Result, capability
from storage.errors import WorkbenchError

FULL = OSError(28, "No space left on device")
OURS = WorkbenchError("The disk is full.")


class Nothing(Result):
    pass


class Context:
    """A context in which nothing needs approval."""

    async def approve(self, call: ProposedCall, effect: Effect) -> None:
        pass


def nested(*errors: Exception) -> ExceptionGroup[Exception]:
    return ExceptionGroup("one", [ExceptionGroup("two", [error]) for error in errors])


@capability(effect=Effect.READS, title="Break")
async def break_twice(context: Context) -> Nothing:
    """Fail in two tasks at once."""
    raise nested(ValueError("x"), OURS)


def test_an_interrupt_comes_before_our_sentence_and_that_before_the_system() -> None:
    group = BaseExceptionGroup("all", [ValueError("x"), nested(FULL, OURS), KeyboardInterrupt()])
    assert isinstance(unwrap(group), KeyboardInterrupt)
    assert unwrap(nested(ValueError("x"), FULL, OURS)) is OURS
    assert unwrap(nested(ValueError("x"), FULL)) is FULL
    assert unwrap(FULL) is FULL


async def test_a_python_caller_gets_one_error() -> None:
    with pytest.raises(WorkbenchError, match="disk is full"):
        await break_twice(Context())


@pytest.mark.parametrize("error", [nested(FULL), nested(ValueError("x"), OURS), nested(FULL, OURS)])
def test_no_door_says_that_a_group_was_not_foreseen(
    error: ExceptionGroup[Exception], capsys: pytest.CaptureFixture[str]
) -> None:
    def run() -> None:
        raise error

    assert run_guarded(run) == 1
    said = [capsys.readouterr().err, failure_sentence("run_eval", unwrap(error))]
    said.append(end_of(error).error or "")
    for sentence in said:
        assert "disk is full" in sentence
        assert "unexpected error" not in sentence
        assert "Group" not in sentence
