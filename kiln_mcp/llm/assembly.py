"""An answer from a stream in the OpenAI format: deltas as they come, then the whole."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from kiln_mcp.llm.deltas import Delta, ReasoningDelta, TextDelta, ToolCallDelta
from kiln_mcp.llm.errors import ServerFailed
from kiln_mcp.llm.messages import ModelAnswer
from kiln_mcp.llm.openai_format import read_chat_answer
from kiln_mcp.llm.refusals import refusal_in
from kiln_mcp.llm.thinking import ThoughtSplitter

DONE: Final = "[DONE]"
CUT_OFF: Final = "its answer broke off in the middle."


def read_chunk(model: str, data: str) -> Mapping[str, Any]:
    """Return the JSON object in an event of a stream.

    Raises:
        ServerFailed: It is none.
    """
    try:
        chunk = json.loads(data)
    except ValueError as error:
        said = f"not JSON in its stream: {data[:200]}."
        raise ServerFailed(model, said, unanswered=True) from error
    if not isinstance(chunk, dict):
        raise ServerFailed(model, f"no object in its stream: {data[:200]}.", unanswered=True)
    return cast("dict[str, Any]", chunk)


@dataclass(slots=True)
class _Call:
    id: str
    name: str
    arguments: str = ""


class Assembly:
    """Puts one answer together.

    Attributes:
        finished: Whether the model said why its answer ends; only its usage may follow.
        ended: Whether the stream said that nothing follows.
    """

    def __init__(self, model: str) -> None:
        self.finished = False
        self.ended = False
        self._model = model
        self._splitter = ThoughtSplitter()
        self._content: list[str] = []
        self._reasoning: list[str] = []
        self._calls: list[_Call] = []
        self._place_of: dict[int, int] = {}
        self._logprobs: list[Any] = []
        self._finish: object = None
        self._usage: object = None

    def read(self, data: str) -> list[Delta]:
        """Take the data of an event; return what it adds to the answer.

        Raises:
            ModelError: It is or holds an error, or cannot be read.
        """
        if data.strip() == DONE:
            self.ended = True
            return []
        return self.feed(read_chunk(self._model, data))

    def feed(self, chunk: Mapping[str, Any]) -> list[Delta]:
        """Take a chunk; return what it adds to the answer.

        Raises:
            ModelError: It holds an error, or has another shape.
        """
        failure = refusal_in(self._model, chunk)
        if failure is not None:
            raise failure
        try:
            self._usage = chunk.get("usage") or self._usage
            for choice in chunk.get("choices") or ():
                if not choice.get("index"):
                    return list(self._take(choice))
        except (KeyError, TypeError, AttributeError) as error:
            said = f"not a chunk of a chat completion: {str(chunk)[:200]}."
            raise ServerFailed(self._model, said, unanswered=True) from error
        return []

    def _take(self, choice: Mapping[str, Any]) -> Iterator[Delta]:
        # llama.cpp streams a raw continuation as `text`.
        delta: Mapping[str, Any] = choice.get("delta") or {"content": choice.get("text")}
        self._logprobs += (
            cast("Mapping[str, Any]", choice.get("logprobs") or {}).get("content") or ()
        )
        reasoning = str(delta.get("reasoning_content") or delta.get("reasoning") or "")
        content = str(delta.get("content") or "")
        self._reasoning.append(reasoning)
        self._content.append(content)
        text, thought = self._splitter.feed(content)
        self._finish = choice.get("finish_reason") or self._finish
        self.finished = self._finish is not None
        yield from _not_empty(ReasoningDelta(reasoning + thought), TextDelta(text))
        for part in delta.get("tool_calls") or ():
            yield self._tool_call(part)

    def _tool_call(self, part: Mapping[str, Any]) -> ToolCallDelta:
        function: Mapping[str, Any] = part.get("function") or {}
        given, name = str(part.get("id") or ""), str(function.get("name") or "")
        arguments = str(function.get("arguments") or "")
        place = self._place(part.get("index"), given, name)
        call = self._calls[place]
        # Some servers repeat the id and the name with every part.
        call.id, call.name = call.id or given, call.name or name
        call.arguments += arguments
        return ToolCallDelta(place, given, name, arguments)

    def _place(self, index: int | None, given: str, name: str) -> int:
        """Return which call a part belongs to; some servers number none, or all alike."""
        place = len(self._calls) - 1 if index is None else self._place_of.get(index, -1)
        another = bool(name and given and place >= 0 and self._calls[place].id not in {"", given})
        if place < 0 or another or (index is None and name and not given):
            self._calls.append(_Call(given, name))
            place = len(self._calls) - 1
            if index is not None:
                self._place_of[index] = place
        return place

    def end(self) -> Iterator[Delta]:
        """Yield what was held back because it might have been the beginning of a tag."""
        text, thought = self._splitter.end()
        yield from _not_empty(ReasoningDelta(thought), TextDelta(text))

    def answer(self, latency_s: float) -> ModelAnswer:
        """Return the whole answer; its cost is not known yet.

        Raises:
            ServerFailed: The stream ended before the answer did.
        """
        if not (self.finished or self.ended):
            raise ServerFailed(self._model, CUT_OFF, unanswered=True)
        message = {
            "content": "".join(self._content),
            "reasoning_content": "".join(self._reasoning),
            "tool_calls": [
                {
                    "id": call.id,
                    "function": {"name": call.name, "arguments": call.arguments or "{}"},
                }
                for call in self._calls
            ],
        }
        choice = {
            "message": message,
            "finish_reason": self._finish,
            "logprobs": {"content": self._logprobs},
        }
        reply = {"choices": [choice], "usage": self._usage}
        return read_chat_answer(reply, cost_usd=None, latency_s=latency_s)


def _not_empty(*deltas: ReasoningDelta | TextDelta) -> Iterator[Delta]:
    return (delta for delta in deltas if delta.text)
