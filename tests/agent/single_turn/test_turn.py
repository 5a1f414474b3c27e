"""One turn without a terminal: its outputs, what it may do, and its exit codes."""

import json
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

import anyio
import pytest

from agent.events import ApprovalAsked, Effect, Note
from agent.single_turn.approver import ListedEffects
from agent.single_turn.formats import JsonOutput, LinesOutput, Output, TextOutput
from agent.single_turn.limits import read_limit
from agent.single_turn.run import take_turn
from kiln_mcp.llm import BudgetLimit
from scripted_chat import Step, calling, scripted
from small_workbench import SmallWorkbench
from storage.errors import Refusal
from talks import chat_options, talk

WIPE = calling(("wipe", {}))


async def turn(
    folder: Path,
    output: Output,
    steps: Sequence[Step],
    approve: Sequence[str] = (),
    limit: BudgetLimit | None = None,
) -> tuple[int, SmallWorkbench]:
    """Take a turn; return its exit code and the workbench."""
    workbench, approver = SmallWorkbench(), ListedEffects(frozenset(approve))
    options = chat_options(folder, limit=limit or BudgetLimit())
    with anyio.fail_after(60):
        async with talk(
            options, scripted(*steps), workbench.server, approver, asks_itself=False
        ) as chat:
            return await take_turn(chat, "go", output, approver), workbench


async def test_the_text_of_an_answer_is_all_that_goes_to_standard_output(tmp_path: Path) -> None:
    shown, errors = StringIO(), StringIO()
    steps = (calling(("look", {"place": "house"})), "It is \x1b[31m**empty**.")
    code, _ = await turn(tmp_path, TextOutput(shown, errors), steps)
    assert code == 0
    assert shown.getvalue() == "It is \N{REPLACEMENT CHARACTER}[31m**empty**.\n"
    assert errors.getvalue() == ""


async def test_what_is_not_approved_is_not_done_and_ends_with_code_3(tmp_path: Path) -> None:
    shown = StringIO()
    code, workbench = await turn(tmp_path, JsonOutput(shown), (WIPE, "I could not."), ("spends",))
    result = json.loads(shown.getvalue())
    assert (code, workbench.wiped) == (3, 0)
    assert result["exit_code"] == 3
    assert [plan["effects"] for plan in result["approvals_needed"]] == [["destroys"]]
    assert result["text"] == "I could not."


async def test_what_the_command_line_approves_is_done(tmp_path: Path) -> None:
    code, workbench = await turn(
        tmp_path, JsonOutput(StringIO()), (WIPE, "Done."), ("destroys", "writes")
    )
    assert (code, workbench.wiped) == (0, 1)


async def test_each_event_is_a_line_between_the_chat_and_the_result(tmp_path: Path) -> None:
    shown = StringIO()
    await turn(tmp_path, LinesOutput(shown), (calling(("look", {"place": "x"})), "Empty."))
    kinds = [json.loads(line)["type"] for line in shown.getvalue().splitlines()]
    assert (kinds[0], kinds[-2:]) == ("chat", ["turn_end", "result"])
    assert [kind for kind in kinds if kind.startswith("tool")] == ["tool_started", "tool_finished"]


async def test_a_turn_that_reaches_its_limit_ends_with_code_4(tmp_path: Path) -> None:
    steps = (calling(("look", {"place": "x"})), "never")
    errors = StringIO()
    code, _ = await turn(
        tmp_path, TextOutput(StringIO(), errors), steps, limit=BudgetLimit(calls=1)
    )
    assert code == 4
    assert "budget" in errors.getvalue()


async def test_a_model_that_fails_ends_with_code_1_and_a_sentence(tmp_path: Path) -> None:
    errors = StringIO()
    code, _ = await turn(tmp_path, TextOutput(StringIO(), errors), ())
    assert code == 1
    assert "no more answers" in errors.getvalue()


@pytest.mark.parametrize(
    ("cost", "spent", "reply"),
    [(0.5, 0.0, "accept"), (0.5, 0.6, "decline"), (1.5, 0.0, "decline"), (None, 0.0, "decline")],
)
async def test_a_plan_must_fit_what_is_left_of_the_money(
    cost: float | None, spent: float, reply: str
) -> None:
    approver = ListedEffects(frozenset({"spends"}), 1.0, lambda: spent)
    assert await approver.decide(ApprovalAsked("1", "x", (Effect.SPENDS,), cost)) == reply


async def test_plans_together_cannot_pass_the_limit_that_each_of_them_fits() -> None:
    approver = ListedEffects(frozenset({"spends"}), 1.0)
    plan = ApprovalAsked("1", "x", (Effect.SPENDS,), 0.6)
    assert [await approver.decide(plan), await approver.decide(plan)] == ["accept", "decline"]


async def test_a_plan_without_a_named_effect_is_never_approved() -> None:
    approver = ListedEffects(frozenset(map(str, Effect)))
    assert await approver.decide(ApprovalAsked("1", "x", (), 0.0)) == "decline"


def test_a_limit_names_money_calls_and_seconds() -> None:
    assert read_limit("usd=2, calls=50,seconds=600") == BudgetLimit(2.0, None, 50, 600.0)
    assert read_limit("") == BudgetLimit()


@pytest.mark.parametrize(
    "text",
    ["x", "usd", "usd=-1", "usd=nan", "usd=inf", "euro=2", "calls=a", "calls=.5", "usd=1,usd=2"],
)
def test_what_is_no_limit_is_refused(text: str) -> None:
    with pytest.raises(Refusal, match="usd=2,calls=50,seconds=600"):
        read_limit(text)


async def test_what_was_said_at_the_start_comes_before_the_turn(tmp_path: Path) -> None:
    shown, errors = StringIO(), StringIO()
    approver, options = ListedEffects(frozenset()), chat_options(tmp_path)
    with anyio.fail_after(60):
        async with talk(
            options, scripted("Hello."), SmallWorkbench().server, approver, asks_itself=False
        ) as chat:
            chat.conversation.queue.emit(Note("The server tickets is left out."))
            await take_turn(chat, "go", TextOutput(shown, errors), approver)
    assert errors.getvalue() == "kiln-chat: The server tickets is left out.\n"
    assert shown.getvalue() == "Hello.\n"
