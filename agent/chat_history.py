"""Saved chats: one JSON line for each message, in the home, with secrets masked."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, Self

import anyio.to_thread
from pydantic import TypeAdapter, ValidationError

from kiln_mcp.llm import Message, ToolCall
from storage.errors import Refusal
from storage.text.secret_masks import mask_environment, mask_keys

_CHAT_NAME: Final = re.compile(r"[\w-]+")
_MOST_NAMES: Final = 50
_INTERRUPTION_NOTE: Final = (
    "The session ended before this was answered. Look at the project before doing it again."
)


@dataclass(frozen=True, slots=True)
class _SavedMessage:
    """A message as a line of a chat's file holds it; the file outlives the engine's own names."""

    role: Literal["system", "user", "assistant", "tool"]
    text: str
    calls: tuple[ToolCall, ...] = ()
    call_id: str | None = None

    @classmethod
    def from_message(cls, message: Message) -> Self:
        role = "user" if message.role == "raw" else message.role
        return cls(role, message.content, message.tool_calls, message.tool_call_id)

    def to_message(self) -> Message:
        return Message(self.role, self.text, self.calls, self.call_id)


_LINE: Final = TypeAdapter(_SavedMessage)


@dataclass(frozen=True, slots=True)
class Secrets:
    """What must not be written to a file: the environment's keys, and what looks like a key."""

    environment: Mapping[str, str]

    def mask(self, text: str) -> str:
        """Return the text with every secret replaced by its name."""
        masked_text = mask_environment(text, self.environment, with_names=True)
        return mask_keys(masked_text, "[a key]")

    def mask_message(self, message: Message) -> Message:
        """Return the message with every secret replaced by its name."""
        calls = tuple(
            replace(call, arguments=self.mask(call.arguments)) for call in message.tool_calls
        )
        return replace(message, content=self.mask(message.content), tool_calls=calls)


@dataclass(frozen=True, slots=True)
class Chats:
    """The saved chats of this person.

    Attributes:
        folder: Where they are.
        secrets: What is masked in them.
    """

    folder: Path
    secrets: Secrets

    def new_name(self) -> str:
        """Return a name for a new chat: its start time and this process."""
        stem = f"{datetime.now(UTC):%Y-%m-%d-%H%M%S}-{os.getpid()}"
        count = sum(name.startswith(stem) for name in self.names())
        return f"{stem}-{count + 1}" if count else stem

    def names(self) -> list[str]:
        """Return the names of the saved chats, the oldest first."""
        return sorted(file.stem for file in self.folder.glob("*.jsonl"))

    async def add(self, name: str, message: Message) -> None:
        """Append a message to a chat.

        Raises:
            Refusal: The disk refused it.
        """
        saved_message = _SavedMessage.from_message(self.secrets.mask_message(message))
        file = self.folder / f"{name}.jsonl"
        try:
            await anyio.to_thread.run_sync(_append, file, _LINE.dump_json(saved_message) + b"\n")
        except OSError as error:
            raise Refusal(
                "The chat could not be saved to {file}: {reason}. Free some space, or make the "
                "folder writable. The results of the workbench are saved in the project.",
                file=file,
                reason=error.strerror or str(error),
            ) from error

    async def read(self, name: str) -> list[Message]:
        """Return the messages of a saved chat, ready to be continued.

        A line that cannot be read, such as a torn one, is left out.

        Raises:
            Refusal: No chat has this name.
        """
        names = self.names()
        if _CHAT_NAME.fullmatch(name) is None or name not in names:
            raise _missing_chat(name, names)
        text = await anyio.Path(self.folder / f"{name}.jsonl").read_text(
            encoding="utf-8", errors="replace"
        )
        messages: list[Message] = []
        for line in text.split("\n"):
            try:
                messages.append(_LINE.validate_json(line).to_message())
            except ValidationError:
                continue
        return complete_calls(messages)


def _missing_chat(name: str, names: Sequence[str]) -> Refusal:
    if not names:
        return Refusal("There is no saved chat '{name}'. No chat is saved yet.", name=name)
    return Refusal(
        "There is no saved chat '{name}'. Saved chats: {names}.",
        name=name,
        names=list(names[-_MOST_NAMES:]),
    )


def complete_calls(messages: Sequence[Message]) -> list[Message]:
    """Return the messages with one result for every tool call, and no result without a call.

    Models refuse any other conversation, and a kill in the middle of a turn leaves one.
    """
    complete: list[Message] = []
    open_calls: dict[str, ToolCall] = {}
    for message in messages:
        if message.role == "tool":
            if open_calls.pop(message.tool_call_id or "", None) is not None:
                complete.append(message)
            continue
        complete += _interruptions(open_calls)
        open_calls = {call.id: call for call in message.tool_calls}
        complete.append(message)
    return [*complete, *_interruptions(open_calls)]


def _interruptions(open_calls: Mapping[str, ToolCall]) -> list[Message]:
    return [Message("tool", _INTERRUPTION_NOTE, tool_call_id=id_) for id_ in open_calls]


def _append(file: Path, line: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "r+b") as stream:
        if stream.seek(0, os.SEEK_END) > 0:
            stream.seek(-1, os.SEEK_END)
            # A line that was torn by a kill must not swallow the next one.
            line = line if stream.read(1) == b"\n" else b"\n" + line
        stream.write(line)
