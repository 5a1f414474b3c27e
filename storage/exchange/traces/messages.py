"""Messages of all dialects in OpenAI's form.

Known are OpenAI's own, OpenTelemetry, OpenInference, LangChain, Anthropic, Gemini and Vercel.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from storage.exchange.examples import is_empty, list_of, object_of, text_of_value
from storage.exchange.traces.spans import Message, first_text, text_or_none

_ROLES: Final[Mapping[str, str]] = {
    "human": "user",
    "humanmessage": "user",
    "humanmessagechunk": "user",
    "user": "user",
    "gpt": "assistant",
    "ai": "assistant",
    "aimessage": "assistant",
    "aimessagechunk": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "assistant": "assistant",
    "system": "system",
    "systemmessage": "system",
    "developer": "developer",
    "tool": "tool",
    "toolmessage": "tool",
    "function": "tool",
    "functionmessage": "tool",
}
_CALL_PARTS: Final = frozenset({"tool_call", "tool_use", "tool-call", "function_call"})
_RESULT_PARTS: Final = frozenset(
    {"tool_call_response", "tool_result", "tool-result", "function_call_output"}
)
_THOUGHT_PARTS: Final = frozenset({"reasoning", "thinking", "thought"})
_TEXT_PARTS: Final = frozenset({"text", "input_text", "output_text", "summary_text", "generic"})
_CONTENT_KEYS: Final = ("content", "parts", "contents", "value", "text")
_MESSAGE_KEYS: Final = frozenset(
    {
        *_CONTENT_KEYS,
        *("tool_calls", "function_call", "refusal", "reasoning_content", "reasoning", "name"),
        *("finish_reason", "finishReason", "index", "logprobs", "type", "id", "message"),
        *("additional_kwargs", "response_metadata", "generation_info", "usage_metadata"),
    }
)
_LISTS: Final = ("messages", "contents", "input", "generations", "choices", "candidates", "output")
"""Members of a request or a response that hold its messages, in the order of their weight."""
_DEEPEST: Final = 8


@dataclass(slots=True)
class _Parts:
    """What the parts of one message hold."""

    texts: list[str] = field(default_factory=list[str])
    thoughts: list[str] = field(default_factory=list[str])
    calls: list[Mapping[str, object]] = field(default_factory=list[Mapping[str, object]])
    results: list[Message] = field(default_factory=list[Message])
    refusal: str | None = None


def chat_messages(value: object, role: str | None = None, depth: int = 0) -> list[Message] | None:
    """Return the messages of a value; None if it is no conversation.

    Args:
        value: Messages, a request or response that holds them, or JSON text of these.
        role: Whose message it is if it names no role; None if it must name one.
        depth: How deep it lies in another value.
    """
    if depth > _DEEPEST:
        return None
    entries, data = list_of(value), object_of(value)
    messages = None
    if entries is not None:
        messages = _list_messages(entries, role, depth)
    elif data is not None:
        messages = _object_messages(data, role, depth)
    if messages is None and role and not isinstance(value, list | dict):
        text = text_or_none(value)
        return [{"role": role, "content": text}] if text else None
    return messages


def messages_or_text(value: object, role: str) -> list[Message]:
    """Return the messages of a value; one with its JSON if it is no conversation."""
    messages = chat_messages(value, role)
    if messages is None and not is_empty(value) and value not in ({}, []):
        return [{"role": role, "content": text_of_value(value)}]
    return messages or []


def _object_messages(
    data: Mapping[str, object], role: str | None, depth: int
) -> list[Message] | None:
    """Return the messages of an object: a message, or a request or response that holds some."""
    message = _message(data, role)
    if message is not None:
        return message
    for key in _LISTS:
        messages = chat_messages(data.get(key), _role_within(key, role), depth + 1)
        if messages:
            return [*_instructions(data), *_with_finish(messages, data)]
    inner = object_of(data.get("message"))
    messages = None if inner is None else chat_messages(inner, role, depth + 1)
    return _with_finish(messages, data) if messages else None


def _list_messages(entries: Sequence[object], role: str | None, depth: int) -> list[Message] | None:
    """Return the messages of a list; of a list of lists, those of the first."""
    if entries and list_of(entries[0]) is not None:
        return chat_messages(entries[0], role, depth + 1)
    messages: list[Message] = []
    for entry in entries:
        inner = chat_messages(entry, role, depth + 1)
        if inner is None:
            return None
        messages += inner
    return _thoughts_joined(messages) if messages else None


def _message(entry: Mapping[str, object], role: str | None) -> list[Message] | None:
    """Return the messages that an entry is: one, and a message for each result of a tool in it."""
    for key in ("message", "kwargs", "data"):
        inner = object_of(entry.get(key))
        if inner is not None and "role" not in entry and (key != "message" or _is_message(inner)):
            entry = {**{name: entry[name] for name in entry if name != key}, **inner}
    kind = str(entry.get("type") or "")
    if kind in _CALL_PARTS | _RESULT_PARTS | {"reasoning"}:
        parts = _Parts()
        _read_part(entry, parts)
        return _messages_of_parts("assistant", entry, parts)
    speaker = _role_of(entry) or (role if _has_content(entry) else None)
    if speaker is None:
        return None
    parts = _Parts()
    content = next((entry[key] for key in _CONTENT_KEYS if entry.get(key) is not None), None)
    if speaker == "tool":
        text = _tool_text(content, parts)
        if parts.results:
            return list(parts.results)
        parts.texts.append(text)
    else:
        _read_content(content, parts)
    _read_extras(entry, parts)
    return _messages_of_parts(speaker, entry, parts)


def _read_extras(entry: Mapping[str, object], parts: _Parts) -> None:
    """Read what a message holds beside its content: calls, thoughts and a refusal."""
    extras = object_of(entry.get("additional_kwargs")) or {}
    for call in list_of(entry.get("tool_calls")) or list_of(extras.get("tool_calls")) or []:
        _add_call(object_of(call) or {}, parts)
    function = object_of(entry.get("function_call")) or object_of(extras.get("function_call"))
    if function is not None and not parts.calls:
        _add_call(function, parts)
    reasoning = text_or_none(entry.get("reasoning_content") or entry.get("reasoning"))
    parts.thoughts += [reasoning] if reasoning else []
    parts.refusal = text_or_none(entry.get("refusal")) or parts.refusal


def _messages_of_parts(role: str, entry: Mapping[str, object], parts: _Parts) -> list[Message]:
    messages = list(parts.results)
    content = "\n".join(text for text in parts.texts if text)
    message: dict[str, object] = {"role": role, "content": content or parts.refusal or None}
    name = text_or_none(entry.get("name"))
    if name and role in ("user", "tool", "system"):
        message["name"] = name
    if role == "tool":
        call_id = entry.get("tool_call_id") or entry.get("call_id") or entry.get("id")
        message |= {"tool_call_id": text_or_none(call_id), "content": content}
        return [message]
    if parts.calls:
        message["tool_calls"] = parts.calls
    if parts.thoughts:
        message["reasoning_content"] = "\n".join(parts.thoughts)
    if parts.refusal:
        message["refusal"] = parts.refusal
    finish = _finish_of(entry)
    if finish:
        message["finish_reason"] = finish
    is_empty = not (message["content"] or parts.calls or parts.thoughts)
    return messages if is_empty and messages else [*messages, message]


def _read_content(content: object, parts: _Parts) -> None:
    """Read the content of a message: text, one part, or a list of parts."""
    if content is None:
        return
    if isinstance(content, str):
        parts.texts.append(content)
        return
    entries = list_of(content)
    for entry in [content] if entries is None else entries:
        part = object_of(entry) if not isinstance(entry, str) else None
        if part is None:
            parts.texts.append(text_of_value(entry))
        else:
            _read_part(object_of(part.get("message_content")) or part, parts)


def _read_part(part: Mapping[str, object], parts: _Parts) -> None:
    kind = str(part.get("type") or "")
    call = object_of(part.get("functionCall") or part.get("function_call"))
    result = object_of(part.get("functionResponse") or part.get("function_response"))
    if call is not None or kind in _CALL_PARTS:
        _add_call(call or part, parts)
    elif result is not None or kind in _RESULT_PARTS:
        _add_result(result or part, parts)
    elif kind in _THOUGHT_PARTS or part.get("thought") is True:
        inner = _Parts()
        _read_content(_first(part, "content", "thinking", "text", "summary"), inner)
        parts.thoughts += inner.texts
    elif kind == "refusal":
        parts.refusal = text_or_none(part.get("refusal"))
    elif kind in _TEXT_PARTS or not kind:
        text = _first(part, "text", "content")
        parts.texts.append(text_of_value(dict(part) if text is None else text))
    else:
        parts.texts.append(f"[{text_or_none(part.get('modality')) or kind}]")


def _add_call(call: Mapping[str, object], parts: _Parts) -> None:
    call = object_of(call.get("tool_call")) or call
    function = object_of(call.get("function")) or call
    name = text_or_none(_first(function, "name", "toolName", "tool_name"))
    if name is None:
        return
    arguments = _first(function, "arguments", "args", "input")
    text = arguments if isinstance(arguments, str) else json.dumps(arguments or {}, default=str)
    call_id = text_or_none(_first(call, "call_id", "id", "toolCallId"))
    function_part = {"name": name, "arguments": text}
    parts.calls.append({"id": call_id, "type": "function", "function": function_part})


def _add_result(result: Mapping[str, object], parts: _Parts) -> None:
    content = _first(result, "response", "content", "output", "result")
    call_id = _first(result, "tool_use_id", "toolCallId", "call_id", "tool_call_id", "id")
    text = _tool_text(content, parts)
    parts.results.append({"role": "tool", "tool_call_id": text_or_none(call_id), "content": text})


def _tool_text(content: object, parts: _Parts) -> str:
    """Return the text of a tool's result; results among its parts are messages by themselves."""
    entries = list_of(content) if not isinstance(content, str) else None
    if entries is None:
        return "" if content is None else text_of_value(content)
    inner = _Parts()
    _read_content(entries, inner)
    parts.results += inner.results
    return "\n".join(inner.texts)


def _role_of(entry: Mapping[str, object]) -> str | None:
    """Return the role that an entry names, as OpenAI calls it."""
    for key in ("role", "from", "type"):
        role = _ROLES.get(str(entry.get(key) or "").casefold())
        if role is not None:
            return role
    path = list_of(entry.get("id")) or []
    return _ROLES.get(str(path[-1]).casefold()) if path else None


def _is_message(entry: Mapping[str, object]) -> bool:
    return _role_of(entry) is not None or object_of(entry.get("kwargs")) is not None


def _has_content(entry: Mapping[str, object]) -> bool:
    """Whether an entry without a role can only be a message: it has no member of other things."""
    has_any = any(entry.get(key) is not None for key in ("content", "parts", "text", "tool_calls"))
    return has_any and entry.keys() <= _MESSAGE_KEYS


def _role_within(key: str, role: str | None) -> str | None:
    """Return whose the messages are that a member holds."""
    if key in ("generations", "choices", "candidates"):
        return "assistant"
    return role


def _instructions(data: Mapping[str, object]) -> list[Message]:
    """Return the system message that a request holds beside its messages."""
    for key in ("system", "instructions", "system_instruction", "systemInstruction"):
        value = data.get(key)
        messages = chat_messages(value, "system") if value else None
        if messages:
            return [{**message, "role": "system"} for message in messages]
    return []


def _with_finish(messages: list[Message], data: Mapping[str, object]) -> list[Message]:
    """Note at the last message why the model stopped, if its response says it."""
    finish = _finish_of(data)
    if finish is None or "finish_reason" in messages[-1]:
        return messages
    return [*messages[:-1], {**messages[-1], "finish_reason": finish}]


def _finish_of(entry: Mapping[str, object]) -> str | None:
    sources = [
        entry,
        object_of(entry.get("response_metadata")) or {},
        object_of(entry.get("generation_info")) or {},
        object_of(entry.get("incomplete_details")) or {},
    ]
    keys = ("finish_reason", "finishReason", "stop_reason", "reason")
    return first_text(source.get(key) for source in sources for key in keys)


def _thoughts_joined(messages: Iterable[Message]) -> list[Message]:
    """Join an assistant's thought that is an entry of its own to the message after it."""
    result: list[Message] = []
    for message in messages:
        last: Message = result[-1] if result else {}
        both_assistant = last.get("role") == message["role"] == "assistant"
        if both_assistant and not last.get("content") and _is_piece(last):
            result[-1] = _union(last, message)
        else:
            result.append(message)
    return result


def _is_piece(message: Message) -> bool:
    """Whether a message is a thought or a call alone, as the Responses API lists them."""
    return not message.get("finish_reason")


def _union(first: Message, second: Message) -> Message:
    calls = [
        *(list_of(first.get("tool_calls")) or []),
        *(list_of(second.get("tool_calls")) or []),
    ]
    thoughts = [
        str(message["reasoning_content"])
        for message in (first, second)
        if message.get("reasoning_content")
    ]
    union = {**first, **{key: value for key, value in second.items() if value is not None}}
    if calls:
        union["tool_calls"] = calls
    if thoughts:
        union["reasoning_content"] = "\n".join(thoughts)
    return union


def _first(data: Mapping[str, object], *keys: str) -> object:
    return next((data[key] for key in keys if data.get(key) is not None), None)
