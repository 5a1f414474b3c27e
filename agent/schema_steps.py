"""Steps by a schema, for models whose servers take no tools.

Each answer is one flat JSON object: what the model says, the tool that it calls, and its arguments.
A flat object is what most servers can hold a model to, and what small models get right. Arguments
are checked by the tool itself, whose sentence says what is wrong.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from pydantic import JsonValue

from kiln_mcp.llm import JsonSchema, Message, ModelAnswer, ModelRequest, Tool, ToolCall
from storage.text.characters import repair_surrogates

_NO_TOOL: Final = "none"
"""The tool of a step that calls none, and so ends the turn."""
_BEGINNING: Final = '"say"'
_HIGH_SURROGATES: Final = frozenset({"d8", "d9", "da", "db"})
"""How the first half of a surrogate pair begins in hexadecimal."""


def step_request(request: ModelRequest) -> ModelRequest:
    """Return a request without tools, whose answer is a step."""
    names = {call.id: call.name for message in request.messages for call in message.tool_calls}
    system = Message("system", _instruction(request.tools))
    messages = [_in_words(message, names) for message in request.messages]
    return replace(
        request, messages=(*messages[:1], system, *messages[1:]), schema=_schema(request), tools=()
    )


def _instruction(tools: Sequence[Tool]) -> str:
    lines = [
        f"- {tool.name}: {tool.description}\n  arguments: "
        f"{json.dumps(tool.parameters, ensure_ascii=False)}"
        for tool in tools
    ]
    return (
        "You work in steps. Each of your answers is one JSON object with three fields: say (what "
        "the person reads, or an empty text), tool (the one tool that you call now, or "
        f'"{_NO_TOOL}") and arguments (an object, as the tool takes them; else empty). The next '
        f'message is the result of the call. With the tool "{_NO_TOOL}" your turn ends and the '
        "person speaks.\nThe tools:\n" + "\n".join(lines)
    )


def _schema(request: ModelRequest) -> JsonSchema:
    names = [_NO_TOOL, *(tool.name for tool in request.tools)]
    properties: dict[str, JsonValue] = {
        "say": {"type": "string"},
        "tool": {"type": "string", "enum": [*names]},
        "arguments": {"type": "object"},
    }
    return {
        "type": "object",
        "properties": properties,
        "required": [*properties],
        "additionalProperties": False,
    }


def _in_words(message: Message, names: Mapping[str, str]) -> Message:
    """Return a message as one of steps: a call is a step, and a result is the person's message."""
    if message.role == "tool":
        name = names.get(message.tool_call_id or "", "the tool")
        return Message("user", f"Result of {name}:\n{message.content}")
    if message.role != "assistant":
        return message
    if not message.tool_calls:
        return Message("assistant", _step(message.content, _NO_TOOL, "{}"))
    steps = [
        _step("" if place else message.content, call.name, call.arguments)
        for place, call in enumerate(message.tool_calls)
    ]
    return Message("assistant", "\n".join(steps))


def _step(say: str, tool: str, arguments: str) -> str:
    say_text, tool_text = (json.dumps(text, ensure_ascii=False) for text in (say, tool))
    return f'{{"say": {say_text}, "tool": {tool_text}, "arguments": {arguments or "{}"}}}'


def read_step(answer: ModelAnswer, number: int) -> ModelAnswer:
    """Return the text and the call of a step; a text that is none, cut off, stays as it is.

    Args:
        answer: The answer, with the step as its value.
        number: Sets the call's id apart from those of earlier steps.
    """
    step = answer.value
    if not isinstance(step, Mapping):
        return answer
    say, tool, arguments = step.get("say"), step.get("tool"), step.get("arguments")
    text = say if isinstance(say, str) else ""
    if not isinstance(tool, str) or tool in {"", _NO_TOOL}:
        return replace(answer, text=text, value=None)
    call = ToolCall(f"step-{number}", tool, json.dumps(arguments or {}, ensure_ascii=False))
    return replace(answer, text=text, value=None, tool_calls=(call,), finish="tool_calls")


class SaidText:
    """The text of the field `say` of a step that is being written, piece by piece."""

    def __init__(self) -> None:
        self._source = ""
        self._place = -1
        self._has_ended = False

    def take(self, piece: str) -> str:
        """Take the next piece of the step; return what it adds to the text."""
        self._source += piece
        if self._place < 0:
            self._place = _start_of_text(self._source)
        return "" if self._place < 0 or self._has_ended else self._read()

    def _read(self) -> str:
        """Return the characters that have come since the last time."""
        characters: list[str] = []
        source = self._source
        while self._place < len(source):
            character = source[self._place]
            if character == '"':
                self._has_ended = True
                break
            length = _length_of_escape(source, self._place) if character == "\\" else 1
            if self._place + length > len(source):
                break
            characters.append(_character(source[self._place : self._place + length]))
            self._place += length
        return "".join(characters)


def _start_of_text(source: str) -> int:
    """Return where the text of `say` begins; -1 if it has not begun."""
    key = source.find(_BEGINNING)
    quote = source.find('"', key + len(_BEGINNING)) if key >= 0 else -1
    return quote + 1 if quote >= 0 else -1


def _length_of_escape(source: str, place: int) -> int:
    """Return the characters of an escape; those of a surrogate pair are one."""
    if source[place + 1 : place + 2] != "u":
        return 2
    is_pair = source[place + 2 : place + 4].casefold() in _HIGH_SURROGATES
    return 12 if is_pair else 6


def _character(escape: str) -> str:
    """Return the character of an escape; what is none, such as half a pair, is a mark of that."""
    if len(escape) == 1:
        return escape
    try:
        return repair_surrogates(str(json.loads(f'"{escape}"')))
    except ValueError:
        return "\N{REPLACEMENT CHARACTER}"
