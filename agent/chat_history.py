"""Saved chats: one JSON line for each message and event, in the home, with secrets masked.

A file is only appended to. A line that a kill tore is left out when it is read, and so is a line of
a later version. Titles, costs and approvals are lines of their own kind; the last of a kind counts.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import anyio.to_thread

from agent.approval_rules import ApprovalRecord
from agent.chat_lines import (
    ApprovalLine,
    CostLine,
    Line,
    MessageLine,
    PartLine,
    TitleLine,
    as_markdown,
    read_lines,
    title_of,
)
from agent.events import CostChanged, price_text
from agent.model import TRUNCATION_NOTE
from kiln_mcp.llm import Message, ToolCall
from storage.errors import Refusal
from storage.text.secret_masks import mask_environment, mask_keys

_CHAT_NAME: Final = re.compile(r"[\w-]+")
_MOST_NAMES: Final = 50
_INTERRUPTION_NOTE: Final = (
    "The session ended before this was answered. Look at the project before doing it again."
)


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
class ChatSummary:
    """A saved chat in a list.

    Attributes:
        id: Names it.
        title: As the person named it; else their first words.
        changed: When it was last written to.
        messages: How many messages it has, without the system's.
        price: What its model calls have cost, for people.
    """

    id: str
    title: str
    changed: datetime
    messages: int
    price: str


@dataclass(frozen=True, slots=True)
class SavedMessages:
    """What a saved chat holds.

    Attributes:
        messages: Its messages, ready to be continued.
        lost_lines: How many lines of its file cannot be read, and so are left out.
    """

    messages: list[Message]
    lost_lines: int


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
        return sorted(file.stem for file in self.folder.glob("*.jsonl") if file.is_file())

    def list(self) -> "list[ChatSummary]":
        """Return the saved chats, the newest first."""
        summaries = [self._summary(name) for name in self.names()]
        return sorted(summaries, key=lambda summary: summary.changed, reverse=True)

    def search(self, words: str) -> "list[ChatSummary]":
        """Return the chats whose title or texts hold all of some words, the newest first."""
        search_words = words.casefold().split()
        return [chat for chat in self.list() if _has_words(self._all_text(chat), search_words)]

    def _all_text(self, chat: ChatSummary) -> str:
        texts = (line.text for line in self._lines(chat.id) if isinstance(line, MessageLine))
        return "\n".join([chat.title, *texts]).casefold()

    async def rename(self, name: str, title: str) -> None:
        """Give a chat a title.

        Raises:
            Refusal: No chat has this name, or the disk refused it.
        """
        self.check(name)
        await self.append(name, TitleLine(title=self.secrets.mask(" ".join(title.split()))))

    async def fork(self, name: str, message: int) -> str:
        """Return a new chat that begins like another one.

        Args:
            name: The chat.
            message: How many of its messages the new one begins with, as `export` numbers them.

        Raises:
            Refusal: No chat has this name, or it has no such message.
        """
        messages = await self.read(name)
        if not 1 <= message <= len(messages):
            raise Refusal(
                "The chat '{name}' has no message {message}. It has the messages 1 to {count}.",
                name=name,
                message=message,
                count=len(messages),
            )
        new_name = self.new_name()
        title = TitleLine(title=f"{self._summary(name).title} (from message {message})")
        beginning = complete_calls(messages[:message])
        for line in (title, *map(MessageLine.of, beginning)):
            await self.append(new_name, line)
        return new_name

    def export(self, name: str) -> str:
        """Return a chat as Markdown, with numbered messages, its approvals and its cost.

        Raises:
            Refusal: No chat has this name.
        """
        self.check(name)
        summary = self._summary(name)
        parts = [f"# {summary.title}\n\n{name}, {summary.price}"]
        number = 0
        for line in self._lines(name):
            number += isinstance(line, MessageLine)
            if text := as_markdown(line, number):
                parts.append(text)
        return "\n\n".join(parts) + "\n"

    def recorder(self, name: str) -> "ChatRecorder":
        """Return what keeps the messages of a chat."""
        return ChatRecorder(self, name)

    async def add(self, name: str, message: Message) -> None:
        """Append a message to a chat.

        Raises:
            Refusal: The disk refused it.
        """
        await self.append(name, MessageLine.of(self.secrets.mask_message(message)))

    async def append(self, name: str, line: Line) -> None:
        """Append a line to a chat.

        A line is some kilobytes: to write it takes less than to wait for a thread that does.

        Raises:
            Refusal: It could not be saved.
        """
        file = self.folder / f"{name}.jsonl"
        try:
            _append(file, line.to_bytes())
        except OSError as error:
            raise _save_failure(file, error) from error

    async def keep_text(self, name: str, text: str) -> Path:
        """Keep a text beside a chat, with secrets masked; return its file.

        Raises:
            Refusal: It could not be saved.
        """
        count = len(list(self.folder.glob(f"{name}.text-*.txt")))
        file = self.folder / f"{name}.text-{count + 1}.txt"
        try:
            _append(file, self.secrets.mask(text).encode("utf-8", "replace"))
        except OSError as error:
            raise _save_failure(file, error) from error
        return file

    async def load(self, name: str) -> SavedMessages:
        """Return the messages of a saved chat, ready to be continued.

        A line that cannot be read, such as a torn one, is left out. What was written of an answer
        before a kill is its last message.

        Raises:
            Refusal: No chat has this name, or its file cannot be read.
        """
        self.check(name)
        lines, lost_lines = await anyio.to_thread.run_sync(partial(self._read_file, name))
        return SavedMessages(complete_calls(_messages(lines)), lost_lines)

    async def read(self, name: str) -> "list[Message]":
        """Return the messages of `load` alone.

        Raises:
            Refusal: No chat has this name, or its file cannot be read.
        """
        return (await self.load(name)).messages

    def _lines(self, name: str) -> "list[Line]":
        return self._read_file(name)[0]

    def _read_file(self, name: str) -> "tuple[list[Line], int]":
        file = self.folder / f"{name}.jsonl"
        try:
            return read_lines(file.read_bytes())
        except OSError as error:
            raise Refusal(
                "The chat {file} cannot be read: {reason}. Make it readable, or begin another one.",
                file=file,
                reason=error.strerror or str(error),
            ) from error

    def check(self, name: str) -> None:
        """Refuse a name that no saved chat has.

        Raises:
            Refusal: No chat has this name.
        """
        names = self.names()
        if _CHAT_NAME.fullmatch(name) is None or name not in names:
            raise _missing_chat(name, names)

    def _summary(self, name: str) -> ChatSummary:
        lines = self._lines(name)
        changed = (self.folder / f"{name}.jsonl").stat().st_mtime
        return ChatSummary(
            name,
            title_of(lines) or name,
            datetime.fromtimestamp(changed, UTC),
            sum(isinstance(line, MessageLine) and line.role != "system" for line in lines),
            _price_of(lines),
        )


def _price_of(lines: Sequence[Line]) -> str:
    """Return what the last line about costs says; an old line without costs tells nothing."""
    line = next((line for line in reversed(lines) if isinstance(line, CostLine)), None)
    if line is None:
        return price_text(0.0, 0)
    unpriced_calls = line.unpriced_calls
    if unpriced_calls is None:
        unpriced_calls = 0 if line.cost_usd else line.calls
    return price_text(line.cost_usd, unpriced_calls)


@dataclass(frozen=True, slots=True)
class ChatRecorder:
    """Keeps what is said in one chat."""

    chats: Chats
    name: str

    async def add(self, message: Message) -> None:
        """Keep a message."""
        await self.chats.add(self.name, message)

    async def add_part(self, text: str) -> None:
        """Keep a piece of an answer that is not whole yet."""
        await self._append(PartLine(part=self.chats.secrets.mask(text)))

    async def add_cost(self, cost: CostChanged) -> None:
        """Keep what the chat has cost so far."""
        await self._append(CostLine.of(cost))

    async def add_approval(self, record: ApprovalRecord) -> None:
        """Keep the answer to a question."""
        await self._append(ApprovalLine.of(record, self.chats.secrets.mask))

    async def keep_text(self, text: str) -> Path:
        """Keep a text that is too long for a message in a file of its own; return the file.

        Raises:
            Refusal: The disk refused it.
        """
        return await self.chats.keep_text(self.name, text)

    async def _append(self, line: Line) -> None:
        await self.chats.append(self.name, line)


def _has_words(text: str, words: Iterable[str]) -> bool:
    return all(word in text for word in words)


def _messages(lines: Sequence[Line]) -> Iterator[Message]:
    """Yield the messages, with an answer that a kill cut off at its place."""
    part = ""
    for line in lines:
        match line:
            case PartLine():
                part = line.part
            case MessageLine():
                # A part is cut off if anything but the whole answer comes after it.
                if part and line.role != "assistant":
                    yield Message("assistant", part + TRUNCATION_NOTE)
                part = ""
                yield line.to_message()
            case _:
                pass
    if part:
        yield Message("assistant", part + TRUNCATION_NOTE)


def _save_failure(file: Path, error: OSError) -> Refusal:
    return Refusal(
        "The chat could not be saved to {file}: {reason}. Free some space, or make the folder "
        "writable. The results of the workbench are saved in the project.",
        file=file,
        reason=error.strerror or str(error),
    )


def _missing_chat(name: str, names: Sequence[str]) -> Refusal:
    if not names:
        return Refusal("There is no saved chat '{name}'. No chat is saved yet.", name=name)
    return Refusal(
        "There is no saved chat '{name}'. Saved chats: {names}.",
        name=name,
        names=list(names[-_MOST_NAMES:]),
    )


def complete_calls(messages: Iterable[Message]) -> list[Message]:
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
