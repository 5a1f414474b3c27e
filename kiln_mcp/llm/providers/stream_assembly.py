"""An answer from a stream in the OpenAI format: deltas as they come, then the whole."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final, cast

from kiln_mcp.llm.deltas import (
    AnswerRestart,
    Delta,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
)
from kiln_mcp.llm.errors import ModelError, ServerFailure
from kiln_mcp.llm.messages import ModelAnswer
from kiln_mcp.llm.providers.http_errors import refusal_in, unreadable_answer
from kiln_mcp.llm.providers.openai_format import (
    CUT_OFF,
    arguments_in,
    read_chat_answer,
    reasoning_in,
    text_and_reasoning,
)
from kiln_mcp.llm.providers.reasoning_marks import ReasoningSplitter
from storage.text.characters import Joiner, repair_surrogates

DONE: Final = "[DONE]"


@dataclass(slots=True)
class _Call:
    id: str
    name: str
    arguments: str = ""
    joiner: Joiner = field(default_factory=Joiner)


class Assembly:
    """Puts one answer together.

    Attributes:
        finished: Whether the model said why its answer ends; only its usage may follow.
        is_closed: Whether the stream has sent its end mark.
    """

    def __init__(self, model: str, mask: Callable[[str], str] = str) -> None:
        """Set up.

        Args:
            model: The model that answers.
            mask: Masks secrets in quotations of unreadable data.
        """
        self.finished = False
        self.is_closed = False
        self._model = model
        self._mask = mask
        self._joiners = Joiner(), Joiner()  # of the reasoning and of the content
        self._splitter = ReasoningSplitter()
        self._content: list[str] = []
        self._reasoning: list[str] = []
        self._calls: list[_Call] = []
        self._place_of: dict[int, int] = {}
        self._logprobs: list[Any] = []
        self._finish: object = None
        self._refusal = ""
        self._usage: object = None

    def read(self, data: str) -> list[Delta]:
        """Take the data of an event; return what it adds to the answer.

        Raises:
            ModelError: It is or holds an error, or cannot be read.
        """
        if data.strip() == DONE:
            self.is_closed = True
            return []
        try:
            chunk = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise self._unreadable("not JSON in its stream", data) from error
        return self.feed(chunk)

    def _unreadable(self, problem: str, data: str) -> ModelError:
        return unreadable_answer(self._model, self._mask(f"{problem}: {data}"))

    def feed(self, chunk: Mapping[str, Any]) -> list[Delta]:
        """Take a chunk; return what it adds to the answer.

        Raises:
            ModelError: It holds an error, or has another shape.
        """
        failure = refusal_in(self._model, chunk, self._mask)
        if failure is not None:
            raise failure
        try:
            self._usage = chunk.get("usage") or self._usage
            for choice in chunk.get("choices") or ():
                if not choice.get("index"):
                    return list(self._take(choice))
        except (KeyError, TypeError, AttributeError) as error:
            raise self._unreadable("no chunk of a chat completion", str(chunk)) from error
        return []

    def _take(self, choice: Mapping[str, Any]) -> Iterator[Delta]:
        # llama.cpp streams a raw continuation as `text`.
        delta: Mapping[str, Any] = choice.get("delta") or {"content": choice.get("text")}
        self._logprobs += (
            cast("Mapping[str, Any]", choice.get("logprobs") or {}).get("content") or ()
        )
        thoughts, contents = self._joiners
        words, part_reasoning = text_and_reasoning(delta.get("content"))
        reasoning = thoughts.feed(reasoning_in(delta) or part_reasoning)
        if reasoning:
            self._splitter.follow_reasoning()
        content = contents.feed(words)
        self._refusal += str(delta.get("refusal") or "")
        self._reasoning.append(reasoning)
        self._content.append(content)
        self._finish = choice.get("finish_reason") or self._finish
        self.finished = self._finish is not None
        yield from _not_empty(ReasoningDelta(reasoning))
        yield from self._split(self._splitter.feed(content))
        for part in delta.get("tool_calls") or ():
            yield self._tool_call(part)

    def _split(self, deltas: Iterator[Delta]) -> Iterator[Delta]:
        """Pass deltas on; after a restart repeat the reasoning that had a field of its own."""
        for delta in deltas:
            yield delta
            if isinstance(delta, AnswerRestart):
                yield from _not_empty(ReasoningDelta("".join(self._reasoning)))

    def _tool_call(self, part: Mapping[str, Any]) -> ToolCallDelta:
        function: Mapping[str, Any] = part.get("function") or {}
        call_id, name = (
            repair_surrogates(str(value or "")) for value in (part.get("id"), function.get("name"))
        )
        place = self._place(part.get("index"), call_id, name)
        call = self._calls[place]
        # Some servers repeat the id and the name with every part.
        call.id, call.name = call.id or call_id, call.name or name
        arguments = call.joiner.feed(arguments_in(function))
        call.arguments += arguments
        return ToolCallDelta(place, call_id, name, arguments)

    def _place(self, index: int | None, call_id: str, name: str) -> int:
        """Return the call that a part belongs to; some servers number no call, or all alike."""
        place = len(self._calls) - 1 if index is None else self._place_of.get(index, -1)
        another = bool(
            name and call_id and place >= 0 and self._calls[place].id not in {"", call_id}
        )
        if place < 0 or another or (index is None and name and not call_id):
            self._calls.append(_Call(call_id, name))
            place = len(self._calls) - 1
            if index is not None:
                self._place_of[index] = place
        return place

    @property
    def is_empty(self) -> bool:
        """Whether nothing of an answer has come."""
        return not (any(self._content) or any(self._reasoning) or self._calls)

    def add_total(self, total: object) -> None:
        """Take the total of tokens, if it is larger than the one that came with the usage."""
        if isinstance(self._usage, Mapping) and isinstance(total, int):
            usage = cast("Mapping[str, Any]", self._usage)
            self._usage = {**usage, "total_tokens": max(total, usage.get("total_tokens") or 0)}

    def end(self) -> Iterator[Delta]:
        """Yield the rest, which might have been the beginning of a tag or a character."""
        reasoning, content = (joiner.end() for joiner in self._joiners)
        self._reasoning.append(reasoning)
        self._content.append(content)
        yield from _not_empty(ReasoningDelta(reasoning))
        yield from self._split(chain(self._splitter.feed(content), self._splitter.end()))
        if self._refusal and not "".join(self._content):
            yield TextDelta(repair_surrogates(self._refusal.strip()))
        for place, call in enumerate(self._calls):
            if rest := call.joiner.end():
                call.arguments += rest
                yield ToolCallDelta(place, "", "", rest)

    def answer(self, latency_s: float) -> ModelAnswer:
        """Return the whole answer; its cost is not known yet.

        Raises:
            ModelError: The stream ended before the answer did, or it cannot be read.
        """
        if not (self.finished or self.is_closed):
            raise ServerFailure(self._model, CUT_OFF, is_unanswered=True)
        message = {
            "content": "".join(self._content),
            "reasoning_content": "".join(self._reasoning),
            "refusal": self._refusal,
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
        return read_chat_answer(self._model, reply, latency_s=latency_s, mask=self._mask)


def _not_empty(*deltas: ReasoningDelta | TextDelta) -> Iterator[Delta]:
    return (delta for delta in deltas if delta.text)
