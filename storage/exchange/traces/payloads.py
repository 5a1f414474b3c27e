"""What a step of a trace was called with and what it returned, as people would write it."""

from collections.abc import Mapping, Sequence
from typing import Final

from storage.exchange.examples import (
    calls_of,
    conversation,
    is_empty,
    list_of,
    object_of,
    text_of_value,
)
from storage.exchange.traces.messages import chat_messages
from storage.exchange.traces.spans import Message
from storage.records.run import COMPLETE

_LENGTH_REASONS: Final = frozenset(
    {
        "length",
        "max_tokens",
        "max_output_tokens",
        "max_tokens_reached",
        "model_length",
        "model_context_window_exceeded",
        "token_limit",
        "incomplete",
    }
)
_REFUSAL_REASONS: Final = frozenset(
    {
        "content_filter",
        "content_filtered",
        "safety",
        "refusal",
        "refused",
        "blocked",
        "blocklist",
        "prohibited_content",
        "recitation",
        "spii",
        "guardrail_intervened",
    }
)
_DEEPEST: Final = 4
_PROMPTERS: Final = frozenset({"system", "developer"})
_INPUT_NAMES: Final = frozenset(
    {
        *("input", "inputs", "question", "query", "prompt", "message", "user_input", "text"),
        *("content", "args", "kwargs", "messages", "user_message", "user_query", "request"),
    }
)
_OUTPUT_NAMES: Final = frozenset(
    {
        *("output", "outputs", "answer", "response", "result", "completion", "generation"),
        *("text", "content", "message", "messages", "output_text", "reply"),
    }
)


def answer_state(finish: str | None, text: str, *, is_refusal: bool = False) -> str:
    """Return the state of an answer: complete, truncated, refused or empty."""
    reason = (finish or "").rpartition(".")[2].casefold().replace("-", "_")
    if is_refusal or reason in _REFUSAL_REASONS:
        return "refused"
    if reason in _LENGTH_REASONS:
        return "truncated"
    return COMPLETE if text.strip() else "empty"


def input_of(value: object) -> object | None:
    """Return an input: text, a JSON value, or the exchange before the answer; None if empty."""
    value = _only_value(value, _INPUT_NAMES)
    messages = chat_messages(value)
    if messages:
        return exchange_text(_without_answer(messages))
    return None if _is_void(value) else value


def output_of(value: object) -> object | None:
    """Return an output: text or a JSON value; None if it is empty."""
    value = _only_value(value, _OUTPUT_NAMES)
    messages = chat_messages(value)
    if messages:
        return answer_of(messages)
    return None if _is_void(value) else value


def exchange_text(messages: list[Message]) -> str | None:
    """Return messages as one input; None if no user speaks."""
    try:
        # A reference keeps the last answer among what was asked.
        question = conversation(messages, reference="")
    except ValueError:
        return None
    return text_of_value(question.input)


def prompt_of(messages: Sequence[Message]) -> str | None:
    """Return the prompt of a feature that puts all of it into system messages."""
    prompts = [message.get("content") for message in messages if message["role"] in _PROMPTERS]
    return "\n\n".join(prompt for prompt in prompts if isinstance(prompt, str)) or None


def answer_of(messages: list[Message]) -> object | None:
    """Return what the last message of an assistant says: its text, or else the tools it calls."""
    for message in reversed(messages):
        if message["role"] == "assistant":
            content = message.get("content")
            return content if content else calls_of(message)
    return None


def _without_answer(messages: list[Message]) -> list[Message]:
    """Return messages up to the last one of a user."""
    users = [place for place, message in enumerate(messages) if message["role"] == "user"]
    return messages[: users[-1] + 1] if users else messages


def _only_value(value: object, names: frozenset[str]) -> object:
    """Return what an object stands for that has one value, by a usual name.

    A list of one argument is that argument. What else is no conversation stays as it is.
    """
    for _ in range(_DEEPEST):
        data = object_of(value)
        if data is not None:
            members = {key: entry for key, entry in data.items() if not _is_void(entry)}
            name = next(iter(members)) if len(members) == 1 else ""
            if name.casefold() not in names:
                return value
            value = members[name]
            continue
        entries = list_of(value)
        if entries is None or len(entries) != 1 or object_of(entries[0]) is None:
            return value
        if chat_messages(entries):
            return value
        value = entries[0]
    return value


def _is_void(value: object) -> bool:
    return is_empty(value) or value in ({}, [])


def member(data: Mapping[str, object], *path: str) -> object | None:
    """Return what lies at a path of keys; None if there is nothing."""
    value: object = data
    for key in path:
        value = (object_of(value) or {}).get(key)
    return value
