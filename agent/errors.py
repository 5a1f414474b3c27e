"""Errors of the copilot. Each is a sentence: what happened, and the next step.

ChatError
├── NoModel            no model is configured
├── UnusableAddress    the model's server has no usable address
├── ModelError         the model did not answer
│   ├── NoSuchModel    nobody serves a model of this name
│   ├── KeyRefused     the key is missing or wrong
│   ├── ServerDown     nothing listens at the model's address
│   ├── TooLong        the conversation does not fit into the model
│   └── ModelFailed    anything else that the provider said
├── ServerNotStarted   the workbench's server cannot be reached
├── UnknownTool        no tool has this name
├── BadArguments       a tool's arguments are no JSON object
├── NoSuchChat         no saved chat has this name
└── ChatNotSaved       the disk refused a message
"""

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

_LONGEST_REASON = 200
"""The most characters that a sentence quotes of what a person, a model or a server sent."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_LONG_RUN = re.compile(rf"\S{{{_LONGEST_REASON + 1},}}")


class ChatError(Exception):
    """The root of the copilot's errors; its text is for the person.

    Of what the constructor was given the sentence shows an excerpt, with control characters
    escaped.
    """

    _sent: tuple[str, ...] = ()

    def __new__(cls, *sent: Any, **named: Any) -> Self:
        """Remember what the error is made of, before its sentence is written."""
        error = super().__new__(cls, *sent, **named)
        texts = (one for one in (*sent, *named.values()) if isinstance(one, str | Path))
        error._sent = tuple(str(text) for text in texts)
        return error

    def __init__(self, sentence: str) -> None:
        for text in self._sent:
            if len(text) > _LONGEST_REASON and text != sentence:
                sentence = sentence.replace(text, _short(text))
        escaped = _CONTROL.sub(lambda found: f"\\u{ord(found.group()):04x}", sentence)
        super().__init__(_LONG_RUN.sub(lambda run: _short(run.group()), escaped))


class NoModel(ChatError):
    """No model is configured."""

    def __init__(self) -> None:
        super().__init__(
            "No model is configured for the conversation. Name one with --model or KILN_CHAT_MODEL "
            "and give its provider's key in the environment, for example "
            "ANTHROPIC_API_KEY=… kiln-chat --model anthropic/claude-sonnet-4-5, "
            "OPENAI_API_KEY=… kiln-chat --model openai/gpt-4.1, or "
            "GEMINI_API_KEY=… kiln-chat --model gemini/gemini-2.5-pro. For an OpenAI-compatible "
            "server of your own (Ollama, LM Studio, vLLM): "
            "kiln-chat --api-base http://localhost:11434/v1 --model NAME, with KILN_CHAT_API_KEY "
            "where it wants a key. Without a model, /tools and /call work all the same. (The "
            "embedded model is too small to hold a conversation.)"
        )


class UnusableAddress(ChatError):
    """The address of --api-base is none; it may hold a password, so it is not shown."""

    def __init__(self) -> None:
        super().__init__(
            "The address of --api-base (or KILN_CHAT_API_BASE) is not one of a web server. Give "
            "one such as http://localhost:11434/v1; in a name or password, write @, / and : as "
            "%40, %2F and %3A."
        )


class ModelError(ChatError):
    """The model did not answer."""


class NoSuchModel(ModelError):
    """Nobody serves a model of this name."""

    def __init__(self, model: str, reason: str) -> None:
        super().__init__(
            f"There is no model '{model}' ({_short(reason)}). Write provider/name, for example "
            "anthropic/claude-sonnet-4-5, or the name that the server of --api-base gives it; "
            "/model NAME changes it."
        )


class KeyRefused(ModelError):
    """The key is missing or wrong."""

    def __init__(self, model: str, missing: Sequence[str], reason: str) -> None:
        what = (
            f"No key for {model}: set {' or '.join(missing)} in the environment"
            if missing
            else f"The key for {model} was refused ({_short(reason)}): set another one"
        )
        super().__init__(f"{what} and start kiln-chat again. /model NAME changes the model.")


class ServerDown(ModelError):
    """Nothing listens at the model's address."""

    def __init__(self, model: str, address: str | None) -> None:
        where = f" at {address}" if address else ""
        super().__init__(
            f"Nothing answers{where} for the model {model}. Start its server or check the network, "
            "then say it again."
        )


class TooLong(ModelError):
    """The conversation does not fit into the model."""

    def __init__(self, model: str) -> None:
        super().__init__(
            f"This conversation is too long for {model}. /new begins another one, where the "
            "project is as you left it; /model NAME changes to a model that takes more."
        )


class ModelFailed(ModelError):
    """Anything else that the provider said."""

    def __init__(self, model: str, reason: str) -> None:
        super().__init__(
            f"The model {model} did not answer: {_short(reason)}. Say it again, or change the "
            "model with /model NAME."
        )


class ServerNotStarted(ChatError):
    """The workbench's server cannot be reached."""

    def __init__(self, command: str, reason: str) -> None:
        super().__init__(
            f"The workbench could not be started with '{command}': {_short(reason)}. Run that "
            "command by itself to see why."
        )


class UnknownTool(ChatError):
    """No tool has this name."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        super().__init__(f"There is no tool '{name}'.{hint} /tools lists them.")


class BadArguments(ChatError):
    """A tool's arguments are no JSON object."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(
            f"The arguments of {name} are no JSON object ({_short(reason)}). Write them anew."
        )


class NoSuchChat(ChatError):
    """No saved chat has this name."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        there = (
            f"Saved chats: {', '.join(_short(one) for one in known[:50])}."
            if known
            else "No chat is saved yet."
        )
        super().__init__(f"There is no saved chat '{name}'. {there}")


class ChatNotSaved(ChatError):
    """The disk refused a message."""

    def __init__(self, file: Path, reason: str) -> None:
        super().__init__(
            f"The chat could not be saved to {file}: {_short(reason)}. Free some space or make the "
            "folder writable; what the workbench did is saved in the project."
        )


def _short(reason: str) -> str:
    line = " ".join(reason.split()).rstrip(".")
    return line if len(line) <= _LONGEST_REASON else line[: _LONGEST_REASON - 1] + "…"
