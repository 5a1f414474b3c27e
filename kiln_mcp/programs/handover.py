"""What a program is handed for one item, and how placeholders are filled in."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from pydantic import JsonValue

from kiln_mcp.llm import Message, ModelRequest
from kiln_mcp.programs.program import PLACEHOLDER


@dataclass(frozen=True, slots=True)
class Handover:
    """What a program is handed.

    Attributes:
        prompt: The prompt under test; "" if the program has its own.
        task_input: The input: the last turn.
        history: The turns before it.
        sample: Which of several outputs of the same input this makes.
        seed: For programs that draw by chance.
    """

    prompt: str
    task_input: str
    history: tuple[Message, ...] = ()
    sample: int = 0
    seed: int = 0

    @classmethod
    def of(cls, request: ModelRequest) -> "Handover":
        """Return what a request hands over."""
        messages = list(request.messages)
        prompt = messages.pop(0).content if messages[0].role == "system" else ""
        task_input = messages.pop().content
        return cls(prompt, task_input, tuple(messages), request.sample, request.seed or 0)

    @property
    def input_value(self) -> JsonValue:
        """The input as JSON, if it is an object or a list; as text otherwise."""
        try:
            value: JsonValue = json.loads(self.task_input)
        except (ValueError, RecursionError):
            return self.task_input
        return value if isinstance(value, dict | list) else self.task_input

    @property
    def messages(self) -> list[JsonValue]:
        """All turns, the last one included."""
        turns = (*self.history, Message("user", self.task_input))
        return [{"role": turn.role, "content": turn.content} for turn in turns]

    @property
    def as_object(self) -> dict[str, JsonValue]:
        """All of it, for programs that read JSON; the prompt only if there is one."""
        prompt: dict[str, JsonValue] = {"prompt": self.prompt} if self.prompt else {}
        return {
            "input": self.input_value,
            **prompt,
            "messages": self.messages,
            "sample": self.sample,
            "seed": self.seed,
        }

    @property
    def texts(self) -> Mapping[str, str]:
        """The text of each placeholder."""
        return {
            "prompt": self.prompt,
            "input": self.task_input,
            "messages": json.dumps(self.messages, ensure_ascii=False),
            "sample": str(self.sample),
            "seed": str(self.seed),
        }

    def fill(self, text: str, files: Mapping[str, str] | None = None) -> str:
        """Return a text with its placeholders filled in; what is put in is not read again."""
        values = {**self.texts, **(files or {})}
        return PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), text)

    def fill_address(self, url: str) -> str:
        """Return a URL with its placeholders filled in, escaped."""
        values = {name: quote(text, safe="") for name, text in self.texts.items()}
        return PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), url)

    def fill_value(self, value: JsonValue) -> JsonValue:
        """Return a JSON value with its placeholders filled in.

        A text that is one placeholder becomes its value: an input of JSON stays JSON.
        """
        match value:
            case str():
                return self._text_value(value)
            case list():
                return [self.fill_value(item) for item in value]
            case dict():
                return {key: self.fill_value(item) for key, item in value.items()}
            case _:
                return value

    def _text_value(self, text: str) -> JsonValue:
        placeholder = re.fullmatch(PLACEHOLDER, text)
        values: Mapping[str, Callable[[], JsonValue]] = {
            "input": lambda: self.input_value,
            "messages": lambda: self.messages,
            "sample": lambda: self.sample,
            "seed": lambda: self.seed,
        }
        if placeholder and placeholder[1] in values:
            return values[placeholder[1]]()
        return self.fill(text)
