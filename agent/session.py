"""One sitting: what the person types becomes commands, or is said to the model."""

import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import anyio

from agent.approval import effect_of
from agent.conversation import Conversation
from agent.errors import ChatError, NoModel
from agent.history import Chats
from agent.hosted import LiteLlmChatModel, ModelServer
from agent.messages import ToolCall
from agent.screen import Screen

HELP = """\
/tools             list what the workbench can do
/call NAME JSON    do it yourself, for example /call describe_project {"project": "demo"}
/model NAME        talk to another model (litellm's names, or those of --api-base)
/new               begin another chat
/resume NAME       go on with a saved chat; without a name, with the last one
/chats             list the saved chats
/help              this
/quit              end (also Ctrl-D); Ctrl-C stops what is being done"""


@dataclass(slots=True)
class Session:
    """A sitting in a terminal.

    Attributes:
        screen: What the person sees.
        chats: The saved chats.
        chat: The name of the chat that is going on.
        conversation: What is being said.
        model_is_set: Whether there is anybody to talk to.
        server: Whose models are meant by a name, where it is not litellm's.
        failed: Whether the last thing that was asked for failed.
    """

    screen: Screen
    chats: Chats
    chat: str
    conversation: Conversation
    model_is_set: bool
    server: ModelServer | None = None
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

    def next_words(self, typed: str) -> Sequence[str]:
        """Return what may follow the words that were typed: commands, tools, chats."""
        match typed.split():
            case []:
                return [*self._commands, "/quit"]
            case ["/call"]:
                return [tool.name for tool in self.conversation.toolbox.tools]
            case ["/resume"]:
                return self.chats.names()
            case _:
                return []

    async def resume(self, name: str) -> None:
        """Go on with a saved chat.

        Raises:
            NoSuchChat: None has this name.
        """
        others = [other for other in self.chats.names() if other != self.chat]
        name = name or (others[-1] if others else "")
        saved = await self.chats.read(name)
        self._turn_to(name)
        self.conversation.messages += [m for m in saved if m.role != "system"]
        said = [m.text for m in saved if m.role in {"user", "assistant"} and m.text]
        self.screen.say(f"Going on with {name}, {len(saved)} messages. The last words:")
        self.screen.write(said[-1] + "\n" if said else "(none)\n")

    async def _heard(self, text: str) -> None:
        if not text.startswith("/"):
            if not self.model_is_set:
                raise NoModel
            self.screen.wait(f"{self.conversation.model.name} …")
            await self.conversation.say(text)
            return
        name, _, rest = text.partition(" ")
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
            "/tools": self._tools,
            "/call": self._call,
            "/model": self._model,
            "/new": self._new,
            "/resume": self.resume,
            "/chats": self._chats,
        }

    async def _interruptible(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do something that Ctrl-C stops without ending the sitting."""
        if sys.platform == "win32":  # where no loop hears signals
            await work()
            return
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
            first, _, _ = (tool.description or "").partition("\n")
            self.screen.say(f"{tool.name} ({effect_of(tool)}): {first}")

    async def _call(self, rest: str) -> None:
        name, _, arguments = rest.partition(" ")
        call = ToolCall("by-hand", name, arguments or "{}")
        self.screen.wait(name)
        result = await self.conversation.toolbox.call(call, self.screen.call_advanced)
        self.failed = result.failed
        self.screen.say(result.text, "red" if result.failed else "")

    async def _model(self, name: str) -> None:
        if not name:
            self.screen.say(self.conversation.model.name if self.model_is_set else "none")
            return
        self.conversation.model = LiteLlmChatModel(name, self.server)
        self.model_is_set = True
        self.screen.say(f"Now talking to {name}.")

    async def _new(self, _: str) -> None:
        self._turn_to(self.chats.new_name())
        self.screen.say(f"This is chat {self.chat}.")

    async def _chats(self, _: str) -> None:
        self.screen.say("\n".join(self.chats.names()) or "No chat is saved yet.")

    def _turn_to(self, chat: str) -> None:
        self.chat = chat
        self.conversation.remember = partial(self.chats.add, chat)
        self.conversation.messages[:] = [
            message for message in self.conversation.messages if message.role == "system"
        ]
