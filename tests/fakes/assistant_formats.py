"""Requests and answers of four providers: what a request shows, and how an answer looks.

An answer calls one tool, or is a text.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

Json = dict[str, Any]
Event = tuple[str, Json | str]
INDIRECT: Final = "tool_call"
"""A tool of qwen-code that calls others, which its requests never offer."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a tool."""

    id: str
    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reading:
    """What a request shows.

    Attributes:
        tools: The names of the tools.
        calls: Name and result of each call that was answered.
    """

    tools: Sequence[str]
    calls: Sequence[tuple[str, str]]


class Format(Protocol):
    """The format of one provider."""

    def read(self, body: Json) -> Reading:
        """Read a request."""
        ...

    def answer(self, body: Json, reply: Call | str) -> Json:
        """Return an answer in one piece."""
        ...

    def events(self, body: Json, reply: Call | str) -> Sequence[Event]:
        """Return an answer as a stream: name and data of each event."""
        ...


def text_of(content: Any) -> str:
    """Return a tool's result as one text."""
    return content if isinstance(content, str) else json.dumps(content)


class ChatCompletions:
    """OpenAI's older format, which most servers and clients share."""

    def read(self, body: Json) -> Reading:
        tools: list[Json] = body.get("tools") or []
        messages: list[Json] = body["messages"]
        made: list[Json] = []
        for message in messages:
            made += message.get("tool_calls") or []
        names = {call["id"]: self._name(call["function"]) for call in made}
        calls = [
            (names[message["tool_call_id"]], text_of(message["content"]))
            for message in messages
            if message["role"] == "tool"
        ]
        return Reading([tool["function"]["name"] for tool in tools], calls)

    def _name(self, function: Json) -> str:
        """Return the name of the tool that is called, by itself or through `INDIRECT`."""
        name: str = function["name"]
        return json.loads(function["arguments"])["name"] if name == INDIRECT else name

    def _message(self, reply: Call | str) -> Json:
        if isinstance(reply, str):
            return {"role": "assistant", "content": reply}
        function: Json = {"name": reply.name, "arguments": json.dumps(reply.arguments)}
        call: Json = {"index": 0, "id": reply.id, "type": "function", "function": function}
        return {"role": "assistant", "content": None, "tool_calls": [call]}

    def answer(self, body: Json, reply: Call | str) -> Json:
        finish = "stop" if isinstance(reply, str) else "tool_calls"
        choice: Json = {
            "index": 0,
            "message": self._message(reply),
            "finish_reason": finish,
        }
        return {
            "id": "x",
            "object": "chat.completion",
            "created": 0,
            "model": body["model"],
            "choices": [choice],
            "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
        }

    def events(self, body: Json, reply: Call | str) -> Sequence[Event]:
        whole: Json = self.answer(body, reply)
        whole["object"] = "chat.completion.chunk"
        choice: Json = whole["choices"][0]
        first: Json = {"index": 0, "delta": choice["message"], "finish_reason": None}
        last: Json = {"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}
        begin = {name: value for name, value in whole.items() if name != "usage"}
        return [
            ("", begin | {"choices": [first]}),
            ("", whole | {"choices": [last]}),
            ("", "[DONE]"),
        ]


class Responses:
    """OpenAI's newer format; some clients group a server's tools under a namespace."""

    def read(self, body: Json) -> Reading:
        content: Any = body["input"]
        items: list[Json] = [] if isinstance(content, str) else content
        names: dict[str, str] = {
            item["call_id"]: f"{item.get('namespace', '')}{item['name']}"
            for item in items
            if item.get("type") == "function_call"
        }
        calls = [
            (names[item["call_id"]], text_of(item["output"]))
            for item in items
            if item.get("type") == "function_call_output"
        ]
        return Reading([space + name for space, name in self._tools(body)], calls)

    def _tools(self, body: Json) -> Sequence[tuple[str, str]]:
        """Return namespace and name of each tool."""
        tools: list[Json] = body.get("tools") or []
        pairs: list[tuple[str, str]] = []
        for tool in tools:
            inner: list[Json] = tool.get("tools", [])
            if tool.get("type") == "namespace":
                pairs += [(tool["name"], item["name"]) for item in inner]
            elif "name" in tool:
                pairs.append(("", tool["name"]))
        return pairs

    def _item(self, body: Json, reply: Call | str) -> Json:
        if isinstance(reply, str):
            part: Json = {"type": "output_text", "text": reply, "annotations": []}
            message: Json = {"type": "message", "id": "msg_1", "role": "assistant"}
            return message | {"status": "completed", "content": [part]}
        [space] = [space for space, name in self._tools(body) if space + name == reply.name]
        call: Json = {
            "type": "function_call",
            "id": f"fc_{reply.id}",
            "call_id": reply.id,
            "name": reply.name.removeprefix(space),
            "arguments": json.dumps(reply.arguments),
            "status": "completed",
        }
        return call | ({"namespace": space} if space else {})

    def answer(self, body: Json, reply: Call | str) -> Json:
        return {
            "id": "resp_1",
            "object": "response",
            "created_at": 0,
            "status": "completed",
            "model": body["model"],
            "output": [self._item(body, reply)],
            "parallel_tool_calls": False,
            "tool_choice": "auto",
            "tools": [],
            "error": None,
            "usage": {
                "input_tokens": 10,
                "output_tokens": 5,
                "total_tokens": 15,
                "input_tokens_details": {"cached_tokens": 0},
                "output_tokens_details": {"reasoning_tokens": 0},
            },
        }

    def events(self, body: Json, reply: Call | str) -> Sequence[Event]:
        whole = self.answer(body, reply)
        [item] = whole["output"]
        begun: Json = whole | {"status": "in_progress", "output": list[Json]()}
        events: list[Json] = [
            {"type": "response.created", "response": begun},
            {"type": "response.output_item.added", "output_index": 0, "item": item},
            {"type": "response.output_item.done", "output_index": 0, "item": item},
            {"type": "response.completed", "response": whole},
        ]
        for place, event in enumerate(events):
            event["sequence_number"] = place
        return [(event["type"], event) for event in events]


class Gemini:
    """Google's format."""

    def read(self, body: Json) -> Reading:
        tools: list[Json] = body.get("tools") or []
        contents: list[Json] = body["contents"]
        declared: list[Json] = [
            item for tool in tools for item in tool.get("functionDeclarations", [])
        ]
        parts: list[Json] = [part for content in contents for part in content.get("parts", [])]
        calls = [
            (part["functionResponse"]["name"], text_of(part["functionResponse"]["response"]))
            for part in parts
            if "functionResponse" in part
        ]
        return Reading([item["name"] for item in declared], calls)

    def answer(self, body: Json, reply: Call | str) -> Json:
        part: Json = {"text": reply}
        if isinstance(reply, Call):
            part = {"functionCall": {"name": reply.name, "args": dict(reply.arguments)}}
        content: Json = {"role": "model", "parts": [part]}
        usage = {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15}
        candidate: Json = {"index": 0, "content": content, "finishReason": "STOP"}
        return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "scripted"}

    def events(self, body: Json, reply: Call | str) -> Sequence[Event]:
        return [("", self.answer(body, reply))]


class Messages:
    """Anthropic's format."""

    def read(self, body: Json) -> Reading:
        tools: list[Json] = body.get("tools") or []
        messages: list[Json] = body["messages"]
        blocks: list[Json] = []
        for message in messages:
            blocks += [] if isinstance(message["content"], str) else message["content"]
        names: dict[str, str] = {
            block["id"]: block["name"] for block in blocks if block["type"] == "tool_use"
        }
        calls = [
            (names[block["tool_use_id"]], text_of(block.get("content", "")))
            for block in blocks
            if block["type"] == "tool_result"
        ]
        return Reading([tool["name"] for tool in tools], calls)

    def answer(self, body: Json, reply: Call | str) -> Json:
        block: Json = {"type": "text", "text": reply}
        if isinstance(reply, Call):
            block = {"type": "tool_use", "id": f"toolu_{reply.id}", "name": reply.name}
            block["input"] = dict(reply.arguments)
        return {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": body["model"],
            "content": [block],
            "stop_reason": "end_turn" if isinstance(reply, str) else "tool_use",
            "stop_sequence": None,
            "usage": {"input_tokens": 10, "output_tokens": 5},
        }

    def events(self, body: Json, reply: Call | str) -> Sequence[Event]:
        whole = self.answer(body, reply)
        block: Json
        [block] = whole["content"]
        if isinstance(reply, str):
            delta: Json = {"type": "text_delta", "text": reply}
            empty: Json = block | {"text": ""}
        else:
            delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
            empty = block | {"input": dict[str, Any]()}
        begun: Json = whole | {"content": list[Json](), "stop_reason": None}
        end: Json = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
        events: list[Json] = [
            {"type": "message_start", "message": begun},
            {"type": "content_block_start", "index": 0, "content_block": empty},
            {"type": "content_block_delta", "index": 0, "delta": delta},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": end, "usage": whole["usage"]},
            {"type": "message_stop"},
        ]
        return [(event["type"], event) for event in events]


FORMATS: Final[Mapping[str, Format]] = {
    "/v1/chat/completions": ChatCompletions(),
    "/v1/responses": Responses(),
    "/v1/messages": Messages(),
    "/v1beta/models/{call:.+}": Gemini(),
}
"""The format of each path."""
