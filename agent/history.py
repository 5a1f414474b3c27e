"""Saved chats: one JSON line a message, in the per-user home; secrets are left out."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import anyio.to_thread
from pydantic import TypeAdapter, ValidationError

from agent.errors import ChatNotSaved, NoSuchChat
from agent.messages import Message, ToolCall

_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL", re.IGNORECASE)
_KEY_LIKE = re.compile(
    r"\b(?:(?:sk|pk|gsk|xai|hf|ghp|github_pat)[-_][A-Za-z0-9_\-]{16,}"
    r"|AKIA[A-Z0-9]{16}|AIza[A-Za-z0-9_\-]{30,})"
    r"|(?<=Bearer )[A-Za-z0-9._~+/\-]{16,}=*"
)
_SHORTEST_SECRET = 8
_NAME = re.compile(r"[\w-]+")
_UNANSWERED = (
    "The sitting ended before this was answered. Look at the project before doing it again."
)
_MESSAGE = TypeAdapter(Message)


@dataclass(frozen=True, slots=True)
class Secrets:
    """What must not be written down: the environment's keys, and what looks like a key."""

    environment: Mapping[str, str]

    def without(self, text: str) -> str:
        """Return the text with every secret replaced by its name."""
        known = {
            value: name
            for name, value in self.environment.items()
            if _SECRET_NAME.search(name) and len(value) >= _SHORTEST_SECRET
        }
        for value in sorted(known, key=len, reverse=True):
            text = text.replace(value, f"[{known[value]}]")
        return _KEY_LIKE.sub("[a key]", text)

    def without_in(self, message: Message) -> Message:
        """Return the message with every secret replaced by its name."""
        calls = tuple(
            ToolCall(call.id, call.name, self.without(call.arguments)) for call in message.calls
        )
        return replace(message, text=self.without(message.text), calls=calls)


@dataclass(frozen=True, slots=True)
class Chats:
    """The saved chats of this person.

    Attributes:
        folder: Where they are.
        secrets: What is left out of them.
    """

    folder: Path
    secrets: Secrets

    def new_name(self) -> str:
        """Return a name for a new chat: when it began."""
        begun = f"{datetime.now(UTC):%Y-%m-%d-%H%M%S}-{os.getpid()}"
        taken = sum(name.startswith(begun) for name in self.names())
        return f"{begun}-{taken + 1}" if taken else begun

    def names(self) -> list[str]:
        """Return the names of the saved chats, the oldest first."""
        return sorted(file.stem for file in self.folder.glob("*.jsonl"))

    async def add(self, name: str, message: Message) -> None:
        """Keep a message of a chat.

        Raises:
            ChatNotSaved: The disk refused it.
        """
        line = _MESSAGE.dump_json(self.secrets.without_in(message)) + b"\n"
        file = self.folder / f"{name}.jsonl"
        try:
            await anyio.to_thread.run_sync(_append, file, line)
        except OSError as error:
            raise ChatNotSaved(file, error.strerror or str(error)) from error

    async def read(self, name: str) -> list[Message]:
        """Return the messages of a saved chat, ready to go on with.

        A line that cannot be read, as one that was cut off, is left out.

        Raises:
            NoSuchChat: None has this name.
        """
        if _NAME.fullmatch(name) is None or name not in self.names():
            raise NoSuchChat(name, self.names())
        text = await anyio.Path(self.folder / f"{name}.jsonl").read_text(
            encoding="utf-8", errors="replace"
        )
        messages: list[Message] = []
        for line in text.split("\n"):
            try:
                messages.append(_MESSAGE.validate_json(line))
            except ValidationError:
                continue
        return answered(messages)


def answered(messages: Sequence[Message]) -> list[Message]:
    """Return the messages such that every call is followed by its answer, and no answer lacks one.

    Models refuse a conversation where it is otherwise, as it is after a kill in the middle.
    """
    whole: list[Message] = []
    waiting: dict[str, ToolCall] = {}
    for message in messages:
        if message.role == "tool":
            if waiting.pop(message.call_id or "", None) is not None:
                whole.append(message)
            continue
        whole += [Message("tool", _UNANSWERED, call_id=name) for name in waiting]
        waiting = {call.id: call for call in message.calls}
        whole.append(message)
    return [*whole, *(Message("tool", _UNANSWERED, call_id=name) for name in waiting)]


def _append(file: Path, line: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "r+b") as opened:
        if opened.seek(0, os.SEEK_END) > 0:
            opened.seek(-1, os.SEEK_END)
            # A line that was cut off by a kill must not swallow the next one.
            line = line if opened.read(1) == b"\n" else b"\n" + line
        opened.write(line)
