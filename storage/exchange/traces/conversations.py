"""The conversation of a trace: what its model was sent and answered, each message once."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from storage.exchange.examples import json_value, list_of, object_of, text_of_value
from storage.exchange.traces.spans import Message, Span

_OWN_KEYS = frozenset({"finish_reason", "place"})


@dataclass(slots=True)
class Conversation:
    """Messages in their order.

    Attributes:
        messages: The messages.
    """

    messages: list[Message] = field(default_factory=list[Message])
    _keys: list[str] = field(default_factory=list[str])

    def add_call(self, span: Span) -> None:
        """Add a call of a model: the messages that are new, and its first answer.

        A model is sent the whole exchange each time, so most of it is there already.
        """
        place = 0
        for message in sent_messages(span):
            key = _key(message)
            try:
                place = self._keys.index(key, place) + 1
            except ValueError:
                self._append(message, key)
                place = len(self._keys)
        for answer in span.answers[:1]:
            self._append(answer, _key(answer))

    def add_tools(self, spans: Iterable[Span]) -> None:
        """Answer the calls of tools that no message answers, from the spans of the tools."""
        free_spans = list(spans)
        answer_ids = {message.get("tool_call_id") for message in self.messages}
        for place in range(len(self.messages) - 1, -1, -1):
            for call in reversed(list_of(self.messages[place].get("tool_calls")) or []):
                data = object_of(call) or {}
                span = None if data.get("id") in answer_ids else _tool_of(data, free_spans)
                if span is not None:
                    free_spans.remove(span)
                    result = {
                        "role": "tool",
                        "tool_call_id": data.get("id"),
                        "content": _result_text(span),
                    }
                    self.messages.insert(place + 1, result)
                    self._keys.insert(place + 1, _key(result))

        if not any(message.get("tool_calls") for message in self.messages):
            self._add_unasked(free_spans)

    def _add_unasked(self, spans: Sequence[Span]) -> None:
        """Add the tools that ran although no message asks for them, before the last answer."""
        is_answered = bool(self.messages) and self.messages[-1]["role"] == "assistant"
        place = len(self.messages) - is_answered
        for number, span in enumerate(spans):
            arguments = "{}" if span.input is None else text_of_value(span.input)
            function = {"name": span.name, "arguments": arguments}
            call_id = span.call_id or f"tool_{number}"
            call = {"id": call_id, "type": "function", "function": function}
            request = {"role": "assistant", "content": None, "tool_calls": [call]}
            result = {"role": "tool", "tool_call_id": call_id, "content": _result_text(span)}
            self.messages[place:place] = [request, result]
            place += 2

    def _append(self, message: Message, key: str) -> None:
        self.messages.append(message)
        self._keys.append(key)


def sent_messages(span: Span) -> list[Message]:
    """Return what a model was sent, in order, without the answer that some exports repeat."""
    messages = sorted(span.messages, key=_place)
    answer = span.answers[0] if span.answers else None
    if answer is not None and messages and _key(messages[-1]) == _key(answer):
        messages = messages[:-1]
    return messages


def stored_messages(messages: Sequence[Message]) -> list[Message]:
    """Return messages as a run keeps them: each call of a tool and its answer have an id."""
    result_messages: list[Message] = []
    open_calls: list[object] = []
    for number, message in enumerate(messages):
        fields = {key: value for key, value in message.items() if key not in _OWN_KEYS}
        calls = [object_of(call) or {} for call in list_of(fields.get("tool_calls")) or []]
        if calls:
            fields["tool_calls"] = [
                {**call, "id": call.get("id") or f"call_{number}_{place}"}
                for place, call in enumerate(calls)
            ]
            open_calls += [call["id"] for call in fields["tool_calls"]]
        if fields["role"] == "tool":
            call_id = fields.get("tool_call_id") or (open_calls[0] if open_calls else "call")
            fields |= {"tool_call_id": call_id, "content": fields.get("content") or ""}
            open_calls = [other for other in open_calls if other != call_id]
        elif fields["role"] != "assistant":
            fields["content"] = fields.get("content") or ""
        result_messages.append(fields)
    return result_messages


def _key(message: Message) -> str:
    """Return what two messages have in common that are the same one."""
    role = message["role"]
    if role == "tool" and message.get("tool_call_id"):
        return f"tool {message['tool_call_id']}"
    content = message.get("content")
    text = content.strip() if isinstance(content, str) else content
    return json.dumps([role, text, _calls(message)], sort_keys=True, default=str)


def _calls(message: Message) -> list[object]:
    calls: list[object] = []
    for call in list_of(message.get("tool_calls")) or []:
        function = object_of((object_of(call) or {}).get("function")) or {}
        calls.append([function.get("name"), json_value(function.get("arguments"))])
    return calls


def _place(message: Message) -> int:
    place = message.get("place")
    return place if isinstance(place, int) else 0


def _tool_of(call: Mapping[str, object], spans: Sequence[Span]) -> Span | None:
    """Return the span that ran a call: by the call's id, or else the last one of its name."""
    name = (object_of(call.get("function")) or {}).get("name")
    by_id = [span for span in spans if span.call_id and span.call_id == call.get("id")]
    by_name = [span for span in spans if not span.call_id and span.name == name]
    return next(reversed(by_id or by_name), None)


def _result_text(span: Span) -> str:
    if span.output is None:
        return span.error or ""
    return text_of_value(span.output)
