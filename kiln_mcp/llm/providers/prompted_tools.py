"""Tool calls for models without native ones: a schema asks for a call or an answer."""

import json
from dataclasses import replace
from typing import Final

from pydantic import JsonValue

from kiln_mcp.llm.answer_schemas import embedded, read_json
from kiln_mcp.llm.deltas import AnswerStream, deltas_of, stream_from
from kiln_mcp.llm.messages import (
    JsonSchema,
    Message,
    Model,
    ModelAnswer,
    ModelRequest,
    Tool,
    ToolCall,
)

_TOOL: Final = "tool"
_ARGUMENTS: Final = "arguments"
_ANSWER: Final = "answer"


class PromptedTools:
    """A model that is told of tools in words, and calls one by its answer."""

    def __init__(self, model: Model) -> None:
        self._model = model

    async def complete(self, request: ModelRequest) -> ModelAnswer:
        """Answer a request. Without tools this is the model's own `complete`.

        Raises:
            ModelError: As the model's own `complete`.
        """
        if not request.tools:
            return await self._model.complete(request)
        return read_in_words(await self._model.complete(in_words(request)), request)

    async def stream(self, request: ModelRequest) -> AnswerStream:
        """Answer a request while it is being written; in one piece if the request has tools.

        Raises:
            ModelError: As `complete`.
        """
        if request.tools:
            answer = await self.complete(request)
            for delta in deltas_of(answer):
                yield delta
            yield answer
            return
        parts = stream_from(self._model, request)
        try:
            async for part in parts:
                yield part
        finally:
            await parts.aclose()


def in_words(request: ModelRequest) -> ModelRequest:
    """Return a request without tools, whose answer names a tool to call or is the answer."""
    names = {call.id: call.name for message in request.messages for call in message.tool_calls}
    messages = [_message_in_words(message, names) for message in request.messages]
    return replace(
        request,
        messages=(Message("system", _instruction(request.tools)), *messages),
        schema=_schema(request),
        choices=(),
        tools=(),
    )


def _instruction(tools: tuple[Tool, ...]) -> str:
    tool_list = "\n".join(
        f"- {tool.name}: {tool.description} Arguments: "
        f"{json.dumps(tool.parameters, ensure_ascii=False)}"
        for tool in tools
    )
    return (
        f"You may call these tools, one at a time:\n{tool_list}\nTo call one, answer with JSON: "
        f'{{"{_TOOL}": its name, "{_ARGUMENTS}": its arguments}}. The next message tells you its '
        f'result. To answer without one: {{"{_ANSWER}": your answer}}.'
    )


def _schema(request: ModelRequest) -> JsonSchema:
    definitions: dict[str, JsonValue] = {}
    ways: list[JsonValue] = []
    for number, tool in enumerate(request.tools):
        arguments, new_definitions = embedded(tool.parameters, f"arguments_{number}")
        ways.append(_object({_TOOL: {"const": tool.name}, _ARGUMENTS: dict(arguments)}))
        definitions |= new_definitions
    answer, new_definitions = embedded(_answer_schema(request), "answer")
    definitions |= new_definitions
    ways.append(_object({_ANSWER: dict(answer)}))
    return {"anyOf": ways, "$defs": definitions} if definitions else {"anyOf": ways}


def _answer_schema(request: ModelRequest) -> JsonSchema:
    if request.choices:
        return {"enum": list(request.choices)}
    return request.schema or {"type": "string"}


def _object(properties: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _message_in_words(message: Message, names: dict[str, str]) -> Message:
    """Return a message with its tool calls in words."""
    if message.tool_calls:
        calls = [_call_text(call) for call in message.tool_calls]
        return Message(message.role, "\n".join([message.content, *calls]).strip())
    if message.role == "tool":
        name = names.get(message.tool_call_id or "", "the tool")
        return Message("user", f"Result of {name}: {message.content}")
    return message


def _call_text(call: ToolCall) -> str:
    return f'{{"{_TOOL}": {json.dumps(call.name)}, "{_ARGUMENTS}": {call.arguments}}}'


def read_in_words(answer: ModelAnswer, request: ModelRequest) -> ModelAnswer:
    """Return the answer or the tool call that an answer in words means."""
    try:
        value = read_json(answer.text)
    except ValueError:  # cut off
        return answer
    match value:
        case {"tool": str(name), "arguments": dict(arguments)}:
            call_id = f"call_{sum(len(message.tool_calls) for message in request.messages)}"
            call = ToolCall(call_id, name, json.dumps(arguments, ensure_ascii=False))
            return replace(answer, text="", tool_calls=(call,), finish="tool_calls")
        case {"answer": str(text)} if request.schema is None:
            return replace(answer, text=text)
        case {"answer": other}:
            return replace(answer, text=json.dumps(other, ensure_ascii=False))
        case _:
            return answer
