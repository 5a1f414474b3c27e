"""One session of kiln-chat: each line from the person is a command, or is sent to the model."""

import json
import signal
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

import anyio
from anyio.abc import TaskGroup
from pydantic import JsonValue

from agent.chat_setup import Chat
from agent.commands.table import COMMANDS, action_of, find_command
from agent.conversation import Conversation
from agent.events import Event, JobChanged, ToolProgress, ToolStarted, TurnEnd
from agent.modes import Mode
from agent.server_tools import ListedTool, ServerError
from agent.terminal.front import Front
from agent.terminal.results import ShownResult, numbers
from agent.tool_server import ToolResult
from kiln_mcp.llm import ToolCall
from storage.errors import Refusal, WorkbenchError

TWICE_S: Final = 2.0
"""Within so many seconds a second Ctrl-C ends the session."""
_WORKFLOW: Final = "improve_prompt"
"""A prompt of the workbench whose arguments are completed: project, eval, model."""


@dataclass(slots=True)
class Session:
    """A session.

    Attributes:
        front: Shows the session and reads lines.
        chat: The conversation with the chat that keeps it.
        has_api_base: Whether model names are those of the --api-base server.
        project: The project that commands are about; empty if none was named.
        command: The name of the command that runs.
        failed: Whether the last command failed.
        was_interrupted: Whether Ctrl-C ended the session.
    """

    front: Front
    chat: Chat
    has_api_base: bool = False
    project: str = ""
    command: str = ""
    failed: bool = False
    was_interrupted: bool = False
    _scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    _work: anyio.CancelScope | None = None
    _in_turn: bool = False
    _has_answered: bool = False
    _interrupted_at: float = -TWICE_S
    _calls: int = 0
    _report_end: anyio.Event | None = None
    _tasks: TaskGroup | None = None

    async def run(self) -> None:
        """Read and carry out lines until the person ends the session."""
        with self._scope:
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks
                tasks.start_soon(self._show_background)
                if sys.platform != "win32":  # no event loop receives signals there
                    tasks.start_soon(self._take_signals)
                await self._read_lines()
                tasks.cancel_scope.cancel()

    def end(self) -> None:
        """End the session."""
        self._scope.cancel()

    def interrupt(self) -> None:
        """Stop what runs; a second time soon after, end the session."""
        is_second = monotonic() - self._interrupted_at < TWICE_S
        self._interrupted_at = monotonic()
        if is_second:
            self.was_interrupted = True
            self.end()
        elif self._in_turn:
            self.conversation.interrupt()
        elif self._work is not None:
            self._work.cancel()
        else:
            self.front.say("Press Ctrl-C again to end; the chat is saved.", "muted")

    @property
    def conversation(self) -> Conversation:
        """The current conversation."""
        return self.chat.conversation

    def tool(self, name: str) -> ListedTool:
        """Return a tool.

        Raises:
            Refusal: There is none of this name.
        """
        server, own = self.conversation.toolbox.find(name)
        return server.tools[own]

    async def call(self, name: str, arguments: Mapping[str, JsonValue]) -> ToolResult:
        """Call a tool for the person, and show the call and its result in a line each."""
        return await self.call_text(name, json.dumps(dict(arguments), ensure_ascii=False))

    async def call_text(self, name: str, arguments: str) -> ToolResult:
        """Call a tool with arguments as JSON text.

        Raises:
            Refusal: There is no such tool, or the arguments are no JSON object.
        """
        self._calls += 1
        toolbox = self.conversation.toolbox
        call = ToolCall(f"person-{self._calls}", name, arguments)
        self.front.show(ToolStarted(call.id, name, arguments, toolbox.effect(name)))

        async def show(progress: float, total: float | None, message: str | None) -> None:
            self.front.show(ToolProgress(call.id, progress, total, message or ""))

        started = monotonic()
        with self.conversation.queue.to(self.front.show):
            result = await toolbox.call(call, show)
        is_refused = bool(result.refusal) and not self.front.reader.is_person
        self.failed = result.failed or is_refused
        self.front.show(result.event(call, monotonic() - started))
        if self._tasks is not None:
            self.conversation.jobs.take(result, self._tasks)
        return result

    async def add_places(self, tool: ListedTool, arguments: dict[str, JsonValue]) -> None:
        """Add the project and the eval to arguments that need them and do not name them.

        Raises:
            Refusal: Nothing says which one is meant.
        """
        if "project" in tool.properties and "project" not in arguments:
            arguments["project"] = await self.require_project()
        is_needed = "eval" in tool.required or tool.name != "show_results"
        if "eval" in tool.properties and "eval" not in arguments and is_needed:
            arguments["eval"] = await self.pick("eval", str(arguments.get("project", "")))

    async def require_project(self) -> str:
        """Return the project that commands are about; ask for it the first time.

        Raises:
            Refusal: Nothing says which one is meant.
        """
        if not self.project:
            self.project = await self.pick("project", "")
            self.front.view.status.project = self.project
        return self.project

    async def pick(self, kind: str, project: str) -> str:
        """Return the one name of a kind that there is, or the one that the person chooses.

        Raises:
            Refusal: There is none, or nobody chose.
        """
        names = await self.names(kind, project)
        if not names:
            raise Refusal("There is no {kind} yet. Ask for one, or make one with /call.", kind=kind)
        if len(names) == 1:
            return names[0]
        lines = [f"{number}. {name}" for number, name in enumerate(names, 1)]
        answer = None
        if self.front.reader.is_person:
            self.front.say("\n".join(lines))
            answer = await self.front.ask(f"Which {kind} (a number or a name)? ")
        word = (answer or "").strip()
        if word.isdecimal() and 0 < int(word) <= len(names):
            return names[int(word) - 1]
        if word:
            return word
        raise Refusal("Name the {kind}: {names}.", kind=kind, names=names)

    async def names(self, kind: str, project: str, prefix: str = "") -> list[str]:
        """Return the names of a kind that the workbench completes: project, eval, model, job."""
        connection = self.conversation.jobs.server.connection
        try:
            return list(
                await connection.completions(_WORKFLOW, (kind, prefix), {"project": project})
            )
        except ServerError:  # a server without completions
            return []

    async def next_words(self, text: str) -> Sequence[str]:
        """Return the words that may follow a text."""
        words = text.split()
        if not words:
            return [command.name for command in COMMANDS]
        kinds = {command.name: command.completes for command in COMMANDS}
        kind = kinds.get(words[0], "")
        if len(words) > 1 or not kind:
            return []
        sources: Mapping[str, Callable[[], list[str]]] = {
            "tool": lambda: [tool.name for tool in self.conversation.toolbox.tools],
            "chat": self.chat.chats.names,
            "result": lambda: numbers(self.front.view.results.entries),
            "command": lambda: [command.name for command in COMMANDS],
            "mode": lambda: [str(mode) for mode in Mode],
        }
        return sources[kind]() if kind in sources else await self.names(kind, self.project)

    def show_resumed(self) -> None:
        """Show what the chat that goes on said last."""
        messages = self.conversation.messages[1:]
        texts = [m.content for m in messages if m.role in {"user", "assistant"} and m.content]
        self.front.say(f"Continuing {self.chat.name}, {len(messages)} messages. The last text:")
        self.front.view.surface.stream(texts[-1] + "\n" if texts else "(none)\n")
        self.front.view.surface.settle()

    async def _read_lines(self) -> None:
        while True:
            self._settle_line()
            line = await self.front.reader.line()
            await self._after_report()
            if line is None:
                break
            if line.strip():
                await self._take(line.strip())
        self.conversation.interrupt()

    async def _after_report(self) -> None:
        """Wait for a report between turns: the lines of a pipe are taken one after the other."""
        if self._report_end is not None and not self.front.reader.reads_ahead:
            await self._report_end.wait()

    def _settle_line(self) -> None:
        if not self._in_turn:
            self.front.view.surface.settle()

    async def _take(self, line: str) -> None:
        self._interrupted_at = -TWICE_S  # an earlier Ctrl-C was about something else
        if self._in_turn:
            await self._take_in_turn(line)
            return
        self.failed = False
        if self.front.reader.reads_ahead:  # a terminal that is drawn shows no line that was typed
            self.front.echo(f"\n> {line}")
        if _is_command(line):
            await self._run_command(line)
            return
        try:
            self.conversation.model.check()
        except WorkbenchError as error:
            self._fail(error)
            return
        self._in_turn = True
        self.front.view.surface.wait(self.conversation.model.name)
        if self.front.reader.reads_ahead and self._tasks is not None:
            self._tasks.start_soon(self._turn, line)
        else:
            await self._turn(line)

    async def _take_in_turn(self, line: str) -> None:
        """Take what is typed while the model answers: words for it, or a command that may run."""
        if not _is_command(line):
            self.conversation.add(line)
            self.front.echo(f"> {line}")
            self.front.say("The model reads this in its next round.", "muted")
            return
        name = line.partition(" ")[0]
        if any(command.name == name and command.in_turn for command in COMMANDS):
            await self._run_command(line)
        else:
            self.front.say(f"{name} has to wait for the end of this turn; Ctrl-C stops it.", "warn")

    async def _turn(self, line: str) -> None:
        results = self.front.view.results.entries
        count = len(results)
        await self._show(self.conversation.turn(line))
        while (words := self._reply_words()) or self._has_late_words():
            await self._show(self.conversation.turn(words))
        is_menu = self.conversation.model.reads_line_by_line
        if is_menu and self.front.reader.is_person and len(results) > count:
            await self._go_on(results[-1])
        await self._report_jobs()

    async def _go_on(self, result: ShownResult) -> None:
        """Let a command go on where a menu ended: only a person can."""
        from agent.commands.menu_ends import go_on

        await self._do(lambda: go_on(self, result))
        self.front.view.surface.settle()

    def _has_late_words(self) -> bool:
        """Return whether words came as the turn ended; after Ctrl-C they wait for the next one."""
        return self.conversation.has_words and self._has_answered

    async def _report_jobs(self) -> None:
        """Let the model say what came out of jobs that have ended, if there is a model."""
        while self.conversation.model.name and self.conversation.jobs.reports:
            await self._show(self.conversation.report())
            if self.failed:
                break

    async def _show(self, events: AsyncGenerator[Event]) -> None:
        self._in_turn = True
        try:
            async with aclosing(events):
                async for event in events:
                    self.front.show(event)
                    if isinstance(event, TurnEnd):
                        self._has_answered = event.reason == "answered"
                        self.failed = event.reason not in {"answered", "round_limit", "interrupted"}
        finally:
            self._in_turn = False

    def _reply_words(self) -> str:
        """Return what the person answered instead of yes or no."""
        words, self.front.replies = "\n".join(self.front.replies), []
        return words

    async def _run_command(self, line: str) -> None:
        name, _, rest = line.partition(" ")

        async def run() -> None:
            command = find_command(name)
            self.command = command.name
            await action_of(command)(self, rest.strip())

        await self._do(run)

    async def _do(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do what Ctrl-C may stop; an error is one sentence."""
        try:
            with anyio.CancelScope() as self._work:
                await work()
            if self._work.cancelled_caught:
                self.front.say("Stopped.", "warn")
        except WorkbenchError as error:
            self._fail(error)
        finally:
            self._work = None

    def _fail(self, error: WorkbenchError) -> None:
        self.failed = True
        self.front.say(str(error), "bad")

    async def _show_background(self) -> None:
        with suppress(anyio.ClosedResourceError):
            async with aclosing(self.conversation.background()) as events:
                async for event in events:
                    self.front.show(event)
                    if isinstance(event, JobChanged) and not self._in_turn and self._tasks:
                        self._in_turn = bool(self.conversation.jobs.reports)
                        self._report_end = self._report_end or anyio.Event()
                        self._tasks.start_soon(self._report_after_turn)

    async def _report_after_turn(self) -> None:
        try:
            await self._report_jobs()
        finally:
            self._in_turn = False
            if self._report_end is not None:
                self._report_end.set()
                self._report_end = None

    async def _take_signals(self) -> None:
        with anyio.open_signal_receiver(signal.SIGINT) as signals:
            async for _ in signals:
                self.interrupt()


def _is_command(line: str) -> bool:
    """Return whether a line is a command; `/tmp/shop` is a path, and so the person's words."""
    return line.startswith("/") and "/" not in line.partition(" ")[0][1:]
