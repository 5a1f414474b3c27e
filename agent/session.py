"""One session of kiln-chat: each line from the person is a command, or is sent to the model."""

import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Final

import anyio

from agent.chat_setup import Chat
from agent.conversation import Conversation
from agent.events import ToolProgress, TurnEnd
from agent.model import API_BASE
from agent.screen import Screen
from agent.tool_approval import effect_of
from kiln_mcp.llm import Expense, ToolCall
from storage.errors import WorkbenchError

HELP: Final = """\
/tools             list the workbench's tools
/call NAME JSON    call a tool yourself, for example /call describe_project {"project": "demo"}
/model NAME        change the model (provider/name, or a name of the --api-base server)
/cost              show what the model calls of this chat cost
/new               begin another chat
/resume NAME       continue a saved chat; without a name, the last one
/chats             list the saved chats
/help              show this text
/quit              end (also Ctrl-D); Ctrl-C stops the running command"""


@dataclass(slots=True)
class Session:
    """A session in a terminal.

    Attributes:
        screen: Shows the session.
        chat: The conversation with the chat that keeps it.
        has_api_base: Whether model names are those of the --api-base server.
        failed: Whether the last command failed.
    """

    screen: Screen
    chat: Chat
    has_api_base: bool = False
    failed: bool = False

    async def run(self) -> None:
        """Read and carry out lines until the person ends the session."""
        while (line := await self.screen.next_line()) is not None:
            if line.strip() == "/quit":
                break
            if not line.strip():
                continue
            self.failed = False
            try:
                await self._run_interruptible(partial(self._carry_out, line.strip()))
            except WorkbenchError as error:
                self.failed = True
                self.screen.say(str(error), "red")

    def next_words(self, text: str) -> Sequence[str]:
        """Return the words that may follow a text: commands, tools, chats."""
        match text.split():
            case []:
                return [*self._commands, "/quit"]
            case ["/call"]:
                return [tool.name for tool in self.conversation.toolbox.tools]
            case ["/resume"]:
                return self.chat.chats.names()
            case _:
                return []

    async def resume(self, name: str) -> None:
        """Continue a saved chat.

        Raises:
            Refusal: No chat has this name.
        """
        candidates = [chat for chat in self.chat.chats.names() if chat != self.chat.name]
        await self.chat.resume(name or (candidates[-1] if candidates else ""))
        self.show_resumed()

    def show_resumed(self) -> None:
        """Show what the chat that goes on said last."""
        messages = self.conversation.messages[1:]
        texts = [m.content for m in messages if m.role in {"user", "assistant"} and m.content]
        self.screen.say(f"Continuing {self.chat.name}, {len(messages)} messages. The last text:")
        self.screen.write(texts[-1] + "\n" if texts else "(none)\n")

    @property
    def conversation(self) -> Conversation:
        """The current conversation."""
        return self.chat.conversation

    async def _carry_out(self, line: str) -> None:
        if not line.startswith("/"):
            model = self.conversation.model
            model.check()
            self.screen.show_wait(f"{model.name} …")
            async with aclosing(self.conversation.turn(line)) as events:
                async for event in events:
                    self.screen.show(event)
                    self.failed = isinstance(event, TurnEnd) and event.reason != "answered"
            return
        name, _, rest = line.partition(" ")
        command = self._commands.get(name)
        if command is None:
            self.failed = True
            self.screen.say(f"There is no {name}.\n{HELP}")
        else:
            await command(rest.strip())

    @property
    def _commands(self) -> Mapping[str, Callable[[str], Awaitable[None]]]:
        return {
            "/help": self._help,
            "/tools": self._list_tools,
            "/call": self._call,
            "/model": self._change_model,
            "/cost": self._show_cost,
            "/new": self._begin_chat,
            "/resume": self.resume,
            "/chats": self._list_chats,
        }

    async def _run_interruptible(self, command: Callable[[], Awaitable[None]]) -> None:
        """Run a command that Ctrl-C cancels without ending the session."""
        if sys.platform == "win32":  # no event loop receives signals there
            await command()
            return
        is_interrupted = False
        failure: WorkbenchError | None = None
        with anyio.open_signal_receiver(signal.SIGINT) as signals:
            async with anyio.create_task_group() as tasks:

                async def cancel_at_signal() -> None:
                    nonlocal is_interrupted
                    async for _ in signals:
                        is_interrupted = True
                        tasks.cancel_scope.cancel()

                tasks.start_soon(cancel_at_signal)
                try:
                    await command()
                except WorkbenchError as error:
                    failure = error
                tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure
        if is_interrupted:
            self.screen.say("Stopped.", "yellow")

    async def _help(self, _: str) -> None:
        self.screen.say(HELP)

    async def _list_tools(self, _: str) -> None:
        for tool in self.conversation.toolbox.tools:
            summary, _, _ = (tool.description or "").partition("\n")
            self.screen.say(f"{tool.name} ({effect_of(tool)}): {summary}")

    async def _call(self, rest: str) -> None:
        name, _, arguments = rest.partition(" ")
        call = ToolCall("by-hand", name, arguments or "{}")
        self.screen.show_wait(name)

        async def show(progress: float, total: float | None, message: str | None) -> None:
            self.screen.show(ToolProgress(call.id, progress, total, message or ""))

        result = await self.conversation.toolbox.call(call, show)
        self.failed = result.failed
        self.screen.say(result.text, "red" if result.failed else "")

    async def _change_model(self, name: str) -> None:
        model = self.conversation.model
        if not name:
            self.screen.say(model.name or "none")
            return
        self.conversation.model = model.with_name(model_name(name, self.has_api_base))
        self.screen.say(f"The model is now {self.conversation.model.name}.")

    async def _show_cost(self, _: str) -> None:
        self.screen.say(_cost_sentence(self.conversation.model.budget.expense))

    async def _begin_chat(self, _: str) -> None:
        await self.chat.begin()
        self.screen.say(f"This is chat {self.chat.name}.")

    async def _list_chats(self, _: str) -> None:
        self.screen.say("\n".join(self.chat.chats.names()) or "No chat is saved yet.")


def model_name(name: str, has_api_base: bool) -> str:
    """Return the engine's name for a model that the person named."""
    is_own = has_api_base and name and not name.startswith(f"{API_BASE}/")
    return f"{API_BASE}/{name}" if is_own else name


def _cost_sentence(expense: Expense) -> str:
    sentence = f"{expense.calls} calls, {expense.tokens:,} tokens, ${expense.cost_usd:.4f}"
    if expense.unpriced_calls:
        sentence += f" without {expense.unpriced_calls} calls, whose price is not known"
    return f"{sentence}."
