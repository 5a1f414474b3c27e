"""One sitting: what the person types becomes commands, or is said to the model."""

import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial

import anyio

from agent.conversation import Conversation
from agent.errors import ChatError, NoModel
from agent.history import Chats
from agent.messages import ToolCall
from agent.model import ChatModel, LiteLlmChatModel
from agent.screen import Screen

HELP = """\
/tools             list what the workbench can do
/call NAME JSON    do it yourself, for example /call describe_project {"project": "demo"}
/model NAME        talk to another model (litellm's names)
/chats             list saved chats; kiln-chat --resume NAME goes on with one
/help              this
/quit              end (also Ctrl-D); Ctrl-C stops the answer that is being written"""


@dataclass(slots=True)
class Session:
    """A sitting in a terminal.

    Attributes:
        screen: What the person sees.
        chats: The saved chats.
        conversation: What is being said; None while no model is configured.
        converse: Makes a conversation with a model.
        api_base: The server of the models that are named later.
        failed: Whether the last thing that was asked for failed.
    """

    screen: Screen
    chats: Chats
    conversation: Conversation
    model_is_set: bool
    api_base: str | None
    failed: bool = False

    async def run(self) -> None:
        """Go on until the person ends it."""
        while (line := await self.screen.ask()) is not None:
            if line.strip() == "/quit":
                break
            if not line.strip():
                continue
            self.failed = False
            try:
                await self._interruptible(partial(self._heard, line.strip()))
            except ChatError as error:
                self.failed = True
                self.screen.say(str(error), "red")

    async def _heard(self, text: str) -> None:
        if not text.startswith("/"):
            if not self.model_is_set:
                raise NoModel
            await self.conversation.say(text)
            return
        name, _, rest = text.partition(" ")
        command = self._commands.get(name)
        if command is None:
            self.screen.say(f"There is no {name}.\n{HELP}")
        else:
            await command(rest.strip())

    @property
    def _commands(self) -> Mapping[str, Callable[[str], Awaitable[None]]]:
        return {
            "/help": self._help,
            "/tools": self._tools,
            "/call": self._call,
            "/model": self._model,
            "/chats": self._chats,
        }

    async def _interruptible(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do something that Ctrl-C stops without ending the sitting."""
        stopped = False
        failure: ChatError | None = None
        with anyio.open_signal_receiver(signal.SIGINT) as signals:
            async with anyio.create_task_group() as tasks:

                async def stop_at_signal() -> None:
                    nonlocal stopped
                    async for _ in signals:
                        stopped = True
                        tasks.cancel_scope.cancel()

                tasks.start_soon(stop_at_signal)
                try:
                    await work()
                except ChatError as error:
                    failure = error
                tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure
        if stopped:
            self.screen.say("Stopped.", "yellow")

    async def _help(self, _: str) -> None:
        self.screen.say(HELP)

    async def _tools(self, _: str) -> None:
        for tool in self.conversation.toolbox.tools:
            self.screen.say(f"{tool.name}: {(tool.description or '').partition(chr(10))[0]}")

    async def _call(self, rest: str) -> None:
        name, _, arguments = rest.partition(" ")
        call = ToolCall("by-hand", name, arguments or "{}")
        result = await self.conversation.toolbox.call(call, self.screen.call_advanced)
        self.failed = result.failed
        self.screen.say(result.text, "red" if result.failed else "")

    async def _model(self, name: str) -> None:
        if not name:
            self.screen.say(self.conversation.model.name if self.model_is_set else "none")
            return
        self.conversation.model = self._named(name)
        self.model_is_set = True
        self.screen.say(f"Now talking to {name}.")

    def _named(self, name: str) -> ChatModel:
        return LiteLlmChatModel(name, api_base=self.api_base)

    async def _chats(self, _: str) -> None:
        self.screen.say("\n".join(self.chats.names()) or "No chat is saved yet.")
