"""Saved chats: one JSON line a message, in the per-user home; secrets are left out."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import anyio

from agent.errors import NoSuchChat
from agent.messages import Message, ToolCall

_SECRET_NAME = re.compile(r"(API_?KEY|TOKEN|SECRET|PASSWORD)$", re.IGNORECASE)
_KEY_LIKE = re.compile(r"\b(?:sk|pk|gsk|xai|hf|ghp|github_pat)[-_][A-Za-z0-9_\-]{16,}")
_SHORTEST_SECRET = 8


@dataclass(frozen=True, slots=True)
class Chats:
    """The saved chats of this person.

    Attributes:
        folder: Where they are.
        environment: Whose secrets are left out of them.
    """

    folder: Path
    environment: Mapping[str, str]

    def new_name(self) -> str:
        """Return a name for a new chat: when it began."""
        return f"{datetime.now(UTC):%Y-%m-%d-%H%M%S}-{os.getpid()}"

    def names(self) -> list[str]:
        """Return the names of the saved chats, the oldest first."""
        return sorted(file.stem for file in self.folder.glob("*.jsonl"))

    async def add(self, name: str, message: Message) -> None:
        """Keep a message of a chat."""
        await anyio.Path(self.folder).mkdir(parents=True, exist_ok=True, mode=0o700)
        line = self._without_secrets(json.dumps(asdict(message), ensure_ascii=False))
        async with await anyio.open_file(
            self.folder / f"{name}.jsonl", "a", encoding="utf-8"
        ) as file:
            await file.write(line + "\n")

    async def read(self, name: str) -> list[Message]:
        """Return the messages of a saved chat; a line that was cut off at the end is left out.

        Raises:
            NoSuchChat: None has this name.
        """
        file = anyio.Path(self.folder / f"{name}.jsonl")
        if name not in self.names():
            raise NoSuchChat(name, self.names())
        messages: list[Message] = []
        for line in (await file.read_text(encoding="utf-8")).splitlines():
            try:
                messages.append(_message(line))
            except (ValueError, TypeError, KeyError):
                break
        return messages

    def _without_secrets(self, text: str) -> str:
        for name, value in self.environment.items():
            if _SECRET_NAME.search(name) and len(value) >= _SHORTEST_SECRET:
                text = text.replace(value, f"[{name}]")
        return _KEY_LIKE.sub("[a key]", text)


def _message(line: str) -> Message:
    data = json.loads(line)
    calls = tuple(ToolCall(**call) for call in data.pop("calls"))
    return Message(**data, calls=calls)
