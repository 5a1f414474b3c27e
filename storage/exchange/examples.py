"""One example of a table: an input, its reference if there is one, and what goes with them."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, cast

from storage.exchange.column_names import plain_name
from storage.exchange.columns import Row, read_json
from storage.records import Usage
from storage.records.run import COMPLETE
from storage.text.excerpts import excerpt

Message = Mapping[str, object]

_ROLES: Final[Mapping[str, str]] = {
    "human": "user",
    "user": "user",
    "prompter": "user",
    "gpt": "assistant",
    "ai": "assistant",
    "bot": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "assistant": "assistant",
    "system": "system",
    "developer": "developer",
    "tool": "tool",
    "function": "tool",
    "function_call": "assistant",
    "observation": "tool",
}
"""The roles of messages in the common dialects, and OpenAI's names for them."""
_TEXT_PARTS: Final = frozenset({"text", "input_text", "output_text"})
_LONGEST_SHOWN: Final = 60
_LIST_SIGNS = re.compile(r"[,;]+")
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Example:
    """An input, and what its table holds for it.

    Attributes:
        input: Text, or a JSON value.
        reference: The right output; None if there is none.
        tags: Tags without spaces.
        topic: What it is about.
        messages: The whole conversation, in OpenAI's form.
        alternatives: Other outputs that are right as well.
        answer: What a model answered, if the table says what happened; it need not be right.
        record: What is known of that answer.
        columns: Others of our columns that the row has, such as rating and model.
        whole_input: The object that the input was the only member of.
        whole_reference: The same for the reference.
        is_open: Whether its table says that no one output is right, so that none is missing.
        is_assembled: Whether input or reference was put together from columns, whose texts may
            stand for numbers.
    """

    input: object
    reference: object | None = None
    tags: tuple[str, ...] = ()
    topic: str | None = None
    messages: tuple[Message, ...] = ()
    alternatives: tuple[object, ...] = ()
    answer: object | None = None
    record: "AnswerRecord | None" = None
    columns: Mapping[str, object] = field(default_factory=dict[str, object])
    whole_input: Mapping[str, object] | None = None
    whole_reference: Mapping[str, object] | None = None
    is_open: bool = False
    is_assembled: bool = False


@dataclass(frozen=True, slots=True)
class AnswerRecord:
    """What is known of a model's answer.

    Attributes:
        id: Its id where it comes from: the same id again is the same run.
        model: The model that answered.
        provider: Who ran the model.
        created_at: When it answered.
        usage: Tokens, US dollars and milliseconds.
        reasoning: What it thought.
        rating: What people gave it: 1 to 5, or 0 and 1 with `is_thumb`.
        is_thumb: Whether the rating is a thumb up (1) or down (0).
        feedback: What people wrote about it.
        state: State of the answer: complete, truncated, refused, empty.
        properties: What else is to be kept with the answer's source.
    """

    id: str | None = None
    model: str | None = None
    provider: str | None = None
    created_at: datetime | None = None
    usage: Usage | None = None
    reasoning: str | None = None
    rating: float | None = None
    is_thumb: bool = False
    feedback: tuple[str, ...] = ()
    state: str = COMPLETE
    properties: Mapping[str, str | int | float] = field(
        default_factory=dict[str, str | int | float]
    )


def fields_of(row: Row) -> dict[str, object]:
    """Return a row by its keys without case and separators: `Expected Output` is `expectedoutput`.

    Empty values are left out. Of two keys that become the same, the first counts.
    """
    fields: dict[str, object] = {}
    for key, value in row.items():
        if not is_empty(value):
            fields.setdefault(plain_name(key), value)
    return fields


def is_empty(value: object) -> bool:
    """Whether a cell holds nothing: null, no text, or no number."""
    return value is None or value != value or (isinstance(value, str) and not value.strip())


def json_value(value: object) -> object:
    """Return the JSON value of a cell whose text is a list or an object; all else as it is."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            return read_json(value)
        except ValueError:
            return value
    return value


def object_of(value: object) -> dict[str, object] | None:
    """Return the object that a value is or has as its JSON text; None if it is none."""
    value = json_value(value)
    return cast("dict[str, object]", value) if isinstance(value, dict) else None


def list_of(value: object) -> list[object] | None:
    """Return the list that a value is or has as its JSON text; None if it is none."""
    value = json_value(value)
    return cast("list[object]", value) if isinstance(value, list) else None


def text_of_value(value: object) -> str:
    """Return text as it is, and all else as JSON.

    Raises:
        ValueError: JSON cannot hold it.
    """
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, allow_nan=False, default=str)


def tags_of(value: object) -> tuple[str, ...]:
    """Return tags: a list, or text with commas or semicolons; a space becomes an underscore.

    Raises:
        ValueError: A tag is neither text nor a number.
    """
    entries = list_of(value)
    if entries is None:
        entries = [] if is_empty(value) else list[object](_LIST_SIGNS.split(_tag(value)))
    tags = (_SPACE.sub("_", _tag(entry).strip()) for entry in entries)
    return tuple(dict.fromkeys(tag for tag in tags if tag))


def _tag(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        text = excerpt(repr(value), _LONGEST_SHOWN)
        raise ValueError(f"its tags cannot be used: {text} is no text")  # noqa: TRY004
    return str(value)


def topic_of(*values: object) -> str | None:
    """Return the first topic that is one, as text."""
    return next((text_of_value(value) for value in values if not is_empty(value)), None)


# ------------------------------------------------------------ conversations


def messages_of(value: object) -> tuple[Message, ...] | None:
    """Return the messages of a conversation in OpenAI's form; None if it is no conversation."""
    entries = list_of(value)
    if not entries:
        return None
    objects = [object_of(entry) for entry in entries]
    messages = [_message(entry) for entry in objects if entry is not None]
    if len(messages) < len(entries) or None in messages:
        return None
    return tuple(message for message in messages if message is not None)


def _message(entry: Mapping[str, object]) -> Message | None:
    """Return a message of OpenAI, ShareGPT or LangChain in OpenAI's form; None if it is none."""
    inner = object_of(entry.get("kwargs")) or object_of(entry.get("data")) or entry
    role = entry.get("role", entry.get("from", inner.get("type", entry.get("type"))))
    if not isinstance(role, str) or role.casefold() not in _ROLES:
        return None
    content = next((inner[key] for key in ("content", "value", "text") if key in inner), None)
    details = {key: inner[key] for key in ("name", "tool_calls", "tool_call_id") if inner.get(key)}
    if content is None and not details:
        return None
    return {"role": _ROLES[role.casefold()], "content": content, **details}


def conversation(messages: Sequence[Message], reference: object | None = None) -> Example:
    """Return the example of a conversation.

    The last message is the reference if the assistant wrote it and no other reference is there.
    One message of a user is the input by itself; a longer exchange is a transcript.

    Raises:
        ValueError: No user speaks, or a message holds more than text.
    """
    question = list(messages)
    if reference is None and question and question[-1]["role"] == "assistant":
        answer = question.pop()
        reference = _content(answer) or calls_of(answer)
    turns = [message for message in question if message["role"] not in ("system", "developer")]
    if not any(message["role"] == "user" for message in turns):
        raise ValueError("its messages have no message of a user before the last answer")
    text = _content(turns[0]) if len(turns) == 1 else "\n\n".join(map(message_line, turns))
    if not text.strip():
        raise ValueError("the user's message is empty")
    return Example(text, reference, messages=tuple(messages))


def calls_of(message: Message) -> object | None:
    """Return the arguments of one call; of several calls, their names and arguments."""
    calls = [object_of(call) or {} for call in list_of(message.get("tool_calls")) or []]
    functions = [object_of(call.get("function")) or {} for call in calls]
    if len(functions) == 1:
        return functions[0].get("arguments") or None
    return [
        {"name": function.get("name"), "arguments": json_value(function.get("arguments"))}
        for function in functions
    ] or None


def message_line(message: Message) -> str:
    """Return a message as one text: who says what, and what it calls."""
    calls = message.get("tool_calls")
    content = _content(message)
    if calls:
        content = f"{content} {text_of_value(calls)}".strip()
    return f"{message['role']}: {content}"


def _content(message: Message) -> str:
    """Return the text of a message, whose content may be a list of parts."""
    content = message.get("content")
    if content is None or isinstance(content, str):
        return content or ""
    parts = list_of(content)
    return text_of_value(content) if parts is None else "\n".join(_parts(parts))


def _parts(content: Iterable[object]) -> list[str]:
    texts: list[str] = []
    for part in content:
        data = object_of(part)
        if data is None:
            texts.append(text_of_value(part))
            continue
        kind = data.get("type", "text")
        if kind not in _TEXT_PARTS:
            raise ValueError(f"a message holds a part of the type {kind!r}; only text can be read")
        texts.append(text_of_value(data.get("text", "")))
    return texts
