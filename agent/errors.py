"""Errors of the copilot. Each is a sentence: what happened, and the next step.

ChatError
├── NoModel            no model is configured
├── ModelFailed        the model did not answer
├── ServerNotStarted   the workbench's server cannot be reached
├── UnknownTool        no tool has this name
├── BadArguments       a tool's arguments are no JSON object
└── NoSuchChat         no saved chat has this name
"""

# ruff: noqa: N818

import difflib
from collections.abc import Sequence


class ChatError(Exception):
    """The root of the copilot's errors; its text is for the person."""


class NoModel(ChatError):
    """No model is configured."""

    def __init__(self) -> None:
        super().__init__(
            "No model is configured for the conversation. Name one with --model or KILN_CHAT_MODEL "
            "and give its provider's key in the environment, for example "
            "ANTHROPIC_API_KEY=… kiln-chat --model anthropic/claude-sonnet-4-5, or "
            "OPENAI_API_KEY=… kiln-chat --model openai/gpt-4.1. For a server of your own (Ollama, "
            "LM Studio, vLLM): kiln-chat --model openai/NAME --api-base http://localhost:11434/v1. "
            "Without a model, /tools and /call work all the same. (The embedded model is too small "
            "to hold a conversation.)"
        )


class ModelFailed(ChatError):
    """The model did not answer."""

    def __init__(self, model: str, reason: str) -> None:
        line = " ".join(reason.split())
        shown = line if len(line) <= 300 else line[:299] + "…"
        super().__init__(
            f"The model {model} did not answer: {shown} Check its name, its key and that its "
            "server runs; /model NAME changes it."
        )


class ServerNotStarted(ChatError):
    """The workbench's server cannot be reached."""

    def __init__(self, command: str, reason: str) -> None:
        super().__init__(
            f"The workbench could not be started with '{command}': {reason}. Run that command by "
            "itself to see why."
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
        super().__init__(f"The arguments of {name} are no JSON object ({reason}). Write them anew.")


class NoSuchChat(ChatError):
    """No saved chat has this name."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        there = f"Saved chats: {', '.join(known)}." if known else "No chat is saved yet."
        super().__init__(f"There is no saved chat '{name}'. {there}")
