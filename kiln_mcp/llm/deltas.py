"""Answers while they are being written: parts as they come, then the whole answer."""

from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from kiln_mcp.llm.messages import Model, ModelAnswer, ModelRequest


@dataclass(frozen=True, slots=True)
class TextDelta:
    """The next part of the answer's text."""

    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """The next part of the model's reasoning, which is not part of its answer."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """The next part of a tool call.

    Attributes:
        index: Which of the answer's calls it belongs to.
        id: The call's id, in its first part.
        name: The tool's name, in the call's first part.
        arguments: The next part of the arguments' JSON text.
    """

    index: int
    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class AnswerRestart:
    """The answer so far does not fit the request: the model begins a new one."""

    problem: str


Delta = TextDelta | ReasoningDelta | ToolCallDelta | AnswerRestart
AnswerStream = AsyncGenerator[Delta | ModelAnswer]
"""Deltas as they come, then the whole answer, last."""


@runtime_checkable
class StreamingModel(Protocol):
    """A model that can show its answer while it writes it."""

    def stream(self, request: ModelRequest) -> AnswerStream:
        """Answer a request, without cache, limits or corrections; raises as `complete` does."""
        ...


def stream_from(model: Model, request: ModelRequest) -> AnswerStream:
    """Return a model's answer as a stream, in one piece if the model cannot stream."""
    if isinstance(model, StreamingModel):
        return model.stream(request)
    return _in_one_piece(model, request)


async def _in_one_piece(model: Model, request: ModelRequest) -> AnswerStream:
    answer = await model.complete(request)
    for delta in deltas_of(answer):
        yield delta
    yield answer


def deltas_of(answer: ModelAnswer) -> Iterator[Delta]:
    """Yield a whole answer as deltas: its reasoning, its text, its tool calls."""
    if answer.reasoning:
        yield ReasoningDelta(answer.reasoning)
    if answer.text:
        yield TextDelta(answer.text)
    for index, call in enumerate(answer.tool_calls):
        yield ToolCallDelta(index, call.id, call.name, call.arguments)


def size_of(delta: Delta) -> int:
    """Return how many characters of an answer a delta holds."""
    match delta:
        case TextDelta(text) | ReasoningDelta(text):
            return len(text)
        case ToolCallDelta(name=name, arguments=arguments):
            return len(name) + len(arguments)
        case AnswerRestart():
            return 0
