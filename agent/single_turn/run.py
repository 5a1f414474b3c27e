"""The turn of `kiln-chat -p`, its result and its exit code."""

import os
import signal
import stat
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Final

import anyio
import anyio.to_thread
from pydantic import JsonValue

from agent.chat_setup import Chat, ChatOptions, open_chat
from agent.conversation import Conversation
from agent.events import ApprovalAsked, CostChanged, Event, MessageEnd, TurnEnd, to_json
from agent.single_turn.approver import ListedEffects
from agent.single_turn.formats import Output, output_of
from kiln_mcp.llm import BudgetLimit
from storage.errors import Refusal

DONE: Final = 0
FAILED: Final = 1
APPROVAL_NEEDED: Final = 3
LIMIT_REACHED: Final = 4
INTERRUPTED: Final = 130
MOST_STDIN: Final = 400_000
"""Characters of standard input that a turn takes; about 100,000 tokens."""
STDIN_S: Final = 3.0
"""After so many seconds an open standard input is said to be waited for."""
_CODES: Final = {
    "answered": DONE,
    "round_limit": LIMIT_REACHED,
    "limit": LIMIT_REACHED,
    "interrupted": INTERRUPTED,
    "failed": FAILED,
}


@dataclass(frozen=True, slots=True)
class TurnOptions:
    """What one turn is, and what it may do.

    Attributes:
        chat: How the conversation is opened.
        text: The person's text.
        output: text, json or stream-json.
        limit: The most that it may take.
        effects: The approved effects.
    """

    chat: ChatOptions
    text: str
    output: str
    limit: BudgetLimit
    effects: frozenset[str]


@dataclass(slots=True)
class TurnRecord:
    """What came out of a turn.

    Attributes:
        end: How it ended.
        text: The model's last text.
        cost: What its model calls took.
    """

    end: TurnEnd = field(default_factory=lambda: TurnEnd("interrupted"))
    text: str = ""
    cost: CostChanged = field(default_factory=lambda: CostChanged(0.0, 0, 0, 0, None))

    def take(self, event: Event) -> None:
        """Take an event in."""
        match event:
            case MessageEnd(message) if message.content:
                self.text = message.content
            case CostChanged():
                self.cost = event
            case TurnEnd():
                self.end = event
            case _:
                pass

    def code(self, plans: list[ApprovalAsked]) -> int:
        """Return the exit code."""
        code = _CODES[self.end.reason]
        return APPROVAL_NEEDED if plans and code == DONE else code

    def to_json(self, chat: str, plans: list[ApprovalAsked]) -> dict[str, JsonValue]:
        """Return the result as data."""
        questions: list[JsonValue] = [to_json(question) for question in plans]
        return {
            "chat": chat,
            "reason": self.end.reason,
            "note": self.end.note,
            "text": self.text,
            "cost_usd": self.cost.cost_usd,
            "unpriced_calls": self.cost.unpriced_calls,
            "tokens": self.cost.tokens,
            "calls": self.cost.calls,
            "approvals_needed": questions,
            "exit_code": self.code(plans),
        }


async def run_turn(options: TurnOptions) -> int:
    """Run one turn, and report the jobs that it started; return the exit code.

    Raises:
        Refusal: The workbench does not start, there is nothing to say, or no model to say it to.
    """
    text = await _whole_text(options.text)
    limits = replace(options.limit, cost_usd=_lower(options.limit, options.chat.limit))
    approver = ListedEffects(options.effects, limits.cost_usd)
    code = FAILED
    async with open_chat(replace(options.chat, limit=limits, needs_model=True), approver) as chat:
        code = await take_turn(chat, text, output_of(options.output), approver)
    return code  # noqa: RET504 - a context may end the block early


async def take_turn(chat: Chat, text: str, output: Output, approver: ListedEffects) -> int:
    """Take one turn in an open chat, and report its jobs; return the exit code.

    Raises:
        Refusal: The model cannot hold a conversation.
    """
    model, record = chat.conversation.model, TurnRecord()
    approver.spent_usd = lambda: model.budget.expense.cost_usd
    model.check()
    output.begin(chat.name, model.name)
    for event in chat.conversation.queue.take_between():  # of the start: a server that is left out
        output.take(event)
    seconds = model.budget.limit.seconds
    async with interruptible(chat.conversation) as wait_for_jobs:
        with anyio.move_on_after(seconds) as deadline:
            await _take(chat.conversation.turn(text), output, record)
            with wait_for_jobs:
                await _report_jobs(chat.conversation, output, record)
    if deadline.cancelled_caught:
        record.end = TurnEnd("limit", f"The turn took {seconds:g} seconds. Its jobs go on.")
        output.take(record.end)
    elif wait_for_jobs.cancelled_caught:
        record.end = TurnEnd("interrupted", "Stopped while jobs ran. They go on.")
        output.take(record.end)
    output.end(record.to_json(chat.name, approver.unapproved_plans))
    return record.code(approver.unapproved_plans)


@asynccontextmanager
async def interruptible(conversation: Conversation) -> AsyncGenerator[anyio.CancelScope]:
    """Take Ctrl-C as the end of the turn, so that its result is still written.

    Yields:
        The scope in which jobs are waited for: Ctrl-C between turns cancels it.
    """
    scope = anyio.CancelScope()

    async def take_signals() -> None:
        with anyio.open_signal_receiver(signal.SIGINT) as signals:
            async for _ in signals:
                if not conversation.interrupt():
                    scope.cancel()

    async with anyio.create_task_group() as tasks:
        if sys.platform != "win32":  # no event loop receives signals there
            tasks.start_soon(take_signals)
        yield scope
        tasks.cancel_scope.cancel()


async def _report_jobs(conversation: Conversation, output: Output, record: TurnRecord) -> None:
    """Wait for the jobs that the turn started, and let the model report each end."""
    while record.end.reason == "answered" and await conversation.jobs.wait():
        await _take(conversation.report(), output, record)


async def _take(events: AsyncGenerator[Event], output: Output, record: TurnRecord) -> None:
    async with aclosing(events):
        async for event in events:
            record.take(event)
            output.take(event)


async def _whole_text(text: str) -> str:
    """Return the text with that of standard input, if a file or a pipe gives one.

    Raises:
        Refusal: Both are empty, or standard input is too long.
    """
    mode = os.fstat(sys.stdin.fileno()).st_mode if sys.stdin else 0
    input_text = ""
    if stat.S_ISFIFO(mode) or stat.S_ISREG(mode):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_say_what_is_awaited)
            input_text = await anyio.to_thread.run_sync(sys.stdin.read, MOST_STDIN + 1)
            tasks.cancel_scope.cancel()
    if len(input_text) > MOST_STDIN:
        raise Refusal(
            "Standard input has more than {most} characters. Add the file to the project, or give "
            "less of it.",
            most=MOST_STDIN,
        )
    full_text = "\n\n".join(part.strip() for part in (text, input_text) if part.strip())
    if not full_text:
        raise Refusal('There is nothing to say. Write -p "TEXT", or give text on standard input.')
    return full_text


async def _say_what_is_awaited() -> None:
    """Say after a while that standard input has not ended: nothing else is to be seen."""
    await anyio.sleep(STDIN_S)
    sys.stderr.write(
        "kiln-chat: waiting for the end of standard input. Close it, or give it </dev/null.\n"
    )


def _lower(limit: BudgetLimit, other: BudgetLimit) -> float | None:
    costs = [cost for cost in (limit.cost_usd, other.cost_usd) if cost is not None]
    return min(costs, default=None)
