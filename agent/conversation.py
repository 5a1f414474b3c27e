"""The conversation: the turns of the person and the model, and the tool calls between them."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Final, Protocol, Self

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from agent.connection import innermost
from agent.event_queue import EventQueue
from agent.events import (
    CostChanged,
    Event,
    JobChanged,
    MessageEnd,
    Note,
    TextDelta,
    TurnEnd,
    TurnReason,
)
from agent.fences import fence
from agent.job_watch import JobWatch
from agent.mcp_tools import Toolbox
from agent.memory import MOST_CHARACTERS, next_limit, shorten_history
from agent.model import TRUNCATION_NOTE, ChatModel, TooLong, WholeAnswer
from agent.project_state import Briefing, NoBriefing
from agent.tool_calls import ToolCalls
from agent.tool_server import ToolResult
from kiln_mcp.llm import Message, ToolCall
from kiln_mcp.llm.errors import BudgetSpent
from storage.errors import Refusal, WorkbenchError

MOST_ROUNDS: Final = 40
"""Rounds of tool calls in one turn; after them the person is asked to continue."""
PARTIAL_CHARACTERS: Final = 400
"""So much text of an unfinished answer is kept at a time."""
PARTIAL_S: Final = 0.5
"""After so many seconds less of it is kept too: a kill then takes little that was read."""
_SAVING_SHARE: Final = 0.05
"""The most of the time that goes into saving: each time the whole text is written."""
ROUND_LIMIT_NOTE: Final = (
    f"That took {MOST_ROUNDS} rounds of tool calls, so I stopped here. Say 'go on' to continue."
)
LONGEST_WORDS: Final = 100_000
"""Characters of the person that a model is sent at once; about 25,000 tokens."""
SHOWN_WORDS: Final = 4_000
"""Characters of the beginning, and of the end, of longer ones."""
STATE: Final = "workbench-state"
"""The fence around where the person stands."""
_REPORT_WORDS: Final = (
    "Jobs have ended, or wait for your answers to their work orders. Answer those, or say what "
    "came out, and what you would do next.\n"
)


class Recorder(Protocol):
    """Keeps what is said in a chat."""

    async def add(self, message: Message) -> None:
        """Keep a message."""
        ...

    async def add_part(self, text: str) -> None:
        """Keep a piece of an answer that is not whole yet."""
        ...

    async def add_cost(self, cost: CostChanged) -> None:
        """Keep what the chat has cost so far."""
        ...

    async def keep_text(self, text: str) -> Path:
        """Keep a text that is too long for a message in a file of its own; return the file."""
        ...


@dataclass(slots=True)
class _PartialAnswer:
    """An answer that is being written, kept from time to time.

    Attributes:
        recorder: Keeps it.
        pieces: The text so far.
    """

    recorder: Recorder
    pieces: list[str] = field(default_factory=list[str])
    _unsaved_length: int = 0
    _saved_at: float = field(default_factory=monotonic)
    _pause_s: float = 0.0

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self.pieces)

    async def take(self, piece: str) -> None:
        """Take the next piece; keep the text if enough of it, or enough time, has come."""
        self.pieces.append(piece)
        self._unsaved_length += len(piece)
        waited_s = monotonic() - self._saved_at
        is_due = self._unsaved_length >= PARTIAL_CHARACTERS or waited_s >= PARTIAL_S
        if is_due and waited_s >= self._pause_s:
            await self._save()

    async def _save(self) -> None:
        begun_at = monotonic()
        await self.recorder.add_part(self.text)
        self._unsaved_length, self._saved_at = 0, monotonic()
        self._pause_s = (self._saved_at - begun_at) / _SAVING_SHARE


def _failed_end(error: WorkbenchError) -> TurnEnd:
    is_limit = isinstance(error, BudgetSpent) or isinstance(error.__cause__, BudgetSpent)
    return TurnEnd("limit" if is_limit else "failed", str(error))


def _workbench_error_in(group: ExceptionGroup[Exception]) -> WorkbenchError | None:
    """Return the error of a group that holds nothing but errors of ours."""
    _, foreign_errors = group.split(WorkbenchError)
    error = None if foreign_errors is not None else innermost(group)
    return error if isinstance(error, WorkbenchError) else None


@dataclass(slots=True)
class Conversation:
    """A conversation with one model about one workbench; an async context manager.

    Attributes:
        model: The model that answers.
        toolbox: The tools that it may call.
        jobs: Follows the jobs that its calls start.
        queue: Where all events go.
        recorder: Keeps what is said.
        briefing: Says where the person stands.
        messages: All messages, beginning with the system's.
    """

    model: ChatModel
    toolbox: Toolbox
    jobs: JobWatch
    queue: EventQueue
    recorder: Recorder
    briefing: Briefing = field(default_factory=NoBriefing)
    messages: list[Message] = field(default_factory=list[Message])
    _new_texts: list[str] = field(default_factory=list[str])
    _tasks: TaskGroup | None = None
    _scope: anyio.CancelScope | None = None
    _limits: dict[str, int] = field(default_factory=dict[str, int])

    async def __aenter__(self) -> Self:
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        tasks, self._tasks = self._tasks, None
        if tasks is None:
            return None
        tasks.cancel_scope.cancel()
        return await tasks.__aexit__(kind, error, traceback)

    @property
    def running_jobs(self) -> Mapping[str, JobChanged]:
        """The jobs under way that this conversation started."""
        return self.jobs.running

    def turn(self, text: str) -> AsyncGenerator[Event]:
        """Send the person's text, and yield what follows until the model has answered.

        The last event is a `TurnEnd`. Closing the generator interrupts the turn. After an
        interruption the conversation can continue: written text stays, finished calls keep their
        results, and each unfinished call gets a sentence that says so.
        """
        return self._turn(text)

    def report(self) -> AsyncGenerator[Event]:
        """Let the model say what came out of the jobs that ended; `jobs.wait` waits for one."""
        return self._turn("")

    def background(self) -> AsyncGenerator[Event]:
        """Yield the events between turns, without end."""
        return self.queue.background()

    def add(self, text: str) -> None:
        """Take in what the person says meanwhile; the model reads it in its next round."""
        self._new_texts.append(text)

    @property
    def has_begun(self) -> bool:
        """Whether anything was said."""
        return any(message.role != "system" for message in self.messages)

    @property
    def has_words(self) -> bool:
        """Whether words of the person came too late for the last round of a turn."""
        return bool(self._new_texts)

    def interrupt(self) -> bool:
        """End the turn under way, whose work stays; return whether there is one."""
        if self._scope is not None:
            self._scope.cancel()
        return self._scope is not None

    async def _turn(self, text: str) -> AsyncGenerator[Event]:
        if self._tasks is None or self._scope is not None:
            raise RuntimeError("a turn needs an open conversation, and one turn at a time")
        scope = self._scope = anyio.CancelScope()
        end_of_turn = anyio.Event()
        events = self.queue.begin()
        self._tasks.start_soon(self._run, text, scope, end_of_turn)
        try:
            with events:
                async for event in events:
                    yield event
        finally:
            scope.cancel()
            with anyio.CancelScope(shield=True):
                await end_of_turn.wait()

    async def _run(self, text: str, scope: anyio.CancelScope, end_of_turn: anyio.Event) -> None:
        end = TurnEnd("interrupted")
        try:
            with scope:
                end = await self._outcome(text)
        finally:
            self.queue.emit(end)
            self.queue.end()
            self._scope = None
            end_of_turn.set()

    async def _outcome(self, text: str) -> TurnEnd:
        try:
            return TurnEnd(await self._rounds(text))
        except WorkbenchError as error:
            return _failed_end(error)
        except ExceptionGroup as group:  # of calls that ran at once
            error = _workbench_error_in(group)
            if error is None:
                raise
            return _failed_end(error)

    async def _rounds(self, text: str) -> TurnReason:
        if text:
            self._new_texts.insert(0, text)
        state = await self.briefing.text()
        for _ in range(MOST_ROUNDS):
            await self._take_in(state)
            state = ""
            answer = await self._answer()
            if answer.tool_calls:
                calls = ToolCalls(self.toolbox, self.queue.emit, self._keep)
                await calls.carry_out(answer.tool_calls)
            elif not self._new_texts:
                return "answered"
        self.queue.emit(Note(ROUND_LIMIT_NOTE))
        await self._add(Message("assistant", ROUND_LIMIT_NOTE))
        return "round_limit"

    async def _take_in(self, state: str) -> None:
        """Add what has come since the last round: the state, the ends of jobs, the person's words.

        Args:
            state: Where the person stands; empty if that did not change.
        """
        parts = [fence(STATE, state)] if state else []
        if reports := self.jobs.take_reports():
            parts.append(_REPORT_WORDS + fence("check_job", reports))
        count = 1 if self.model.reads_line_by_line else len(self._new_texts)
        texts, self._new_texts = self._new_texts[:count], self._new_texts[count:]
        parts += [await self._fitting("\n".join(texts))] if texts else []
        if parts:
            await self._add(Message("user", "\n\n".join(parts)))

    async def _fitting(self, words: str) -> str:
        """Return the person's words; very long ones as a file with their beginning and end."""
        if len(words) <= LONGEST_WORDS:
            return words
        file = await self.recorder.keep_text(words)
        note = f"{len(words):,} characters are kept in {file}"
        self.queue.emit(Note(f"{note}. The model reads their beginning and their end."))
        return f"{words[:SHOWN_WORDS]}\n[… {note} …]\n{words[-SHOWN_WORDS:]}"

    async def _answer(self) -> Message:
        """Let the model answer; what is too long for it is condensed further."""
        limit = self._limits.get(self.model.name, MOST_CHARACTERS)
        while True:
            try:
                return await self._answer_to(shorten_history(self.messages, limit))
            except TooLong:
                smaller = next_limit(self.messages, limit)
                if smaller is None:
                    raise
                limit = self._limits[self.model.name] = smaller

    async def _answer_to(self, history: Sequence[Message]) -> Message:
        partial = _PartialAnswer(self.recorder)
        whole_answer: WholeAnswer | None = None
        try:
            async with aclosing(self.model.answer(history, self.toolbox.definitions())) as answer:
                async for part in answer:
                    if isinstance(part, WholeAnswer):
                        whole_answer = part
                        continue
                    self.queue.emit(part)
                    if isinstance(part, TextDelta):
                        await partial.take(part.text)
        finally:
            if whole_answer is None and partial.pieces:
                with anyio.CancelScope(shield=True):
                    await self._add(Message("assistant", partial.text + TRUNCATION_NOTE))
        if whole_answer is None:
            raise Refusal(
                "The model '{name}' ended without an answer. Say it again, or change the model "
                "with /model NAME.",
                name=self.model.name,
            )
        await self._add(whole_answer.message)
        self.queue.emit(MessageEnd(whole_answer.message))
        await anyio.lowlevel.checkpoint()  # the front may have words for the next round
        await self._report_cost(whole_answer)
        return whole_answer.message

    async def _report_cost(self, answer: WholeAnswer) -> None:
        expense = self.model.budget.expense
        cost = CostChanged(
            expense.cost_usd,
            expense.tokens,
            expense.calls,
            answer.context_tokens,
            self.model.context_limit,
            answer.cached_tokens,
            expense.unpriced_calls,
        )
        self.queue.emit(cost)
        await self.recorder.add_cost(cost)

    async def _keep(self, call: ToolCall, result: ToolResult) -> None:
        if self._tasks is not None:
            self.jobs.take(result, self._tasks)
        self.briefing.note(call, self.toolbox.effect(call.name))
        is_done = not (result.failed or result.refusal)
        text = fence(call.name, result.text, is_done=is_done)
        await self._add(Message("tool", text, tool_call_id=call.id))

    async def _add(self, message: Message) -> None:
        self.messages.append(message)
        await self.recorder.add(message)
