"""The outputs of one turn: text, one JSON document, or one JSON event a line."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, TextIO

from pydantic import JsonValue

from agent.events import Event, MessageEnd, Note, TextDelta, TurnEnd, to_json
from agent.fences import printable


class Output(Protocol):
    """Writes a turn."""

    def begin(self, chat: str, model: str) -> None:
        """Say which chat it is."""
        ...

    def take(self, event: Event) -> None:
        """Write an event."""
        ...

    def end(self, result: Mapping[str, JsonValue]) -> None:
        """Write the result."""
        ...


@dataclass(slots=True)
class TextOutput:
    """The model's words as they come; notes and failures go to standard error."""

    stream: TextIO = field(default_factory=lambda: sys.stdout)
    errors: TextIO = field(default_factory=lambda: sys.stderr)
    _in_line: bool = False

    def begin(self, chat: str, model: str) -> None:
        """Say nothing."""

    def take(self, event: Event) -> None:
        """Write a piece of text; each message ends its line."""
        match event:
            case TextDelta(text):
                self._write(printable(text))
            case MessageEnd() if self._in_line:
                self._write("\n")
            case TurnEnd(note=note) | Note(note) if note:
                self.errors.write(f"kiln-chat: {printable(note)}\n")
            case _:
                pass

    def end(self, result: Mapping[str, JsonValue]) -> None:
        """Name the plans that wait for a yes, and say how to go on with what was stopped."""
        if self._in_line:
            self._write("\n")
        if result["reason"] == "interrupted":
            self.errors.write(
                f"kiln-chat: stopped. What was said is saved; --resume {result['chat']} goes on.\n"
            )
        plans = result["approvals_needed"]
        if isinstance(plans, list) and plans:
            self.errors.write(
                f"kiln-chat: Plans that were not approved: {len(plans)}. --approve names the "
                "effects that are, and --output json shows the plans.\n"
            )

    def _write(self, text: str) -> None:
        self.stream.write(text)
        self.stream.flush()
        self._in_line = not text.endswith("\n") if text else self._in_line


@dataclass(slots=True)
class JsonOutput:
    """One document at the end."""

    stream: TextIO = field(default_factory=lambda: sys.stdout)

    def begin(self, chat: str, model: str) -> None:
        """Write nothing yet."""

    def take(self, event: Event) -> None:
        """Write nothing yet."""

    def end(self, result: Mapping[str, JsonValue]) -> None:
        """Write the document."""
        self.stream.write(json.dumps(dict(result), ensure_ascii=False, indent=2) + "\n")
        self.stream.flush()


@dataclass(slots=True)
class LinesOutput:
    """One event a line, between the chat and the result."""

    stream: TextIO = field(default_factory=lambda: sys.stdout)

    def begin(self, chat: str, model: str) -> None:
        """Write the first line."""
        self._write({"type": "chat", "chat": chat, "model": model})

    def take(self, event: Event) -> None:
        """Write the event's line."""
        self._write(to_json(event))

    def end(self, result: Mapping[str, JsonValue]) -> None:
        """Write the last line."""
        self._write({"type": "result", **result})

    def _write(self, data: Mapping[str, JsonValue]) -> None:
        self.stream.write(json.dumps(dict(data), ensure_ascii=False) + "\n")
        self.stream.flush()


def output_of(name: str) -> Output:
    """Return the output of a name: text, json or stream-json."""
    match name:
        case "json":
            return JsonOutput()
        case "stream-json":
            return LinesOutput()
        case _:
            return TextOutput()
