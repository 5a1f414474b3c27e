"""Send a request in the dialect of its model, and at once in the next one after a refusal.

A refused request costs nothing and counts once, however many dialects were tried.
"""

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Final

from kiln_mcp.llm.deltas import AnswerStream, deltas_of
from kiln_mcp.llm.errors import ModelError
from kiln_mcp.llm.messages import ModelAnswer, ModelRequest
from kiln_mcp.llm.providers.dialect import Dialect
from kiln_mcp.llm.providers.dialects import ServerDialects
from kiln_mcp.llm.providers.prompted_tools import in_words, read_in_words

MOST_TRIES: Final = 12
"""Dialects in which one request is sent; more would be a circle."""

Complete = Callable[[ModelRequest, Dialect], Awaitable[ModelAnswer]]
Stream = Callable[[ModelRequest, Dialect], AnswerStream]


class DialectLoop:
    """Asks the models of one server, each in its dialect."""

    def __init__(self, dialects: ServerDialects, complete: Complete, stream: Stream) -> None:
        """Name the ways to ask.

        Args:
            dialects: The dialects of the server's models.
            complete: Sends a request once, for a whole answer.
            stream: Sends a request once, for a stream.
        """
        self._dialects = dialects
        self._complete = complete
        self._stream = stream

    async def complete(self, request: ModelRequest) -> ModelAnswer:
        """Answer a request.

        Raises:
            ModelError: Whatever goes wrong.
        """
        for _ in range(MOST_TRIES):
            dialect = self._dialect_for(request)
            try:
                return await self._send(request, dialect)
            except ModelError as error:
                if not self._dialects.learn_from(error, request, dialect):
                    raise
        return await self._send(request, self._dialect_for(request))

    async def stream(self, request: ModelRequest) -> AnswerStream:
        """Answer a request while it is being written; in one piece if the model does not stream.

        Raises:
            ModelError: Whatever goes wrong, also in the middle of an answer.
        """
        for attempt in range(MOST_TRIES + 1):
            dialect = self._dialect_for(request)
            if dialect.streaming == "no" or _needs_words(request, dialect):
                answer = await self.complete(request)
                for delta in deltas_of(answer):
                    yield delta
                yield answer
                return
            began = False
            try:
                async with aclosing(self._stream(request, dialect)) as parts:
                    async for part in parts:
                        began = True
                        yield part
            except ModelError as error:
                is_last = began or attempt == MOST_TRIES
                if is_last or not self._dialects.learn_from(error, request, dialect, streams=True):
                    raise
            else:
                return

    async def _send(self, request: ModelRequest, dialect: Dialect) -> ModelAnswer:
        has_words = _needs_words(request, dialect)
        sent_request = in_words(request) if has_words else request
        if dialect.streaming == "only":
            answer = await self._collect(sent_request, dialect)
        else:
            answer = await self._complete(sent_request, dialect)
        return read_in_words(answer, request) if has_words else answer

    async def _collect(self, request: ModelRequest, dialect: Dialect) -> ModelAnswer:
        async with aclosing(self._stream(request, dialect)) as parts:
            async for part in parts:
                if isinstance(part, ModelAnswer):
                    return part
        raise AssertionError("a stream ends with the answer")

    def _dialect_for(self, request: ModelRequest) -> Dialect:
        """Return how to send a request.

        Raises:
            RejectedRequest: It needs what the model is known to lack.
        """
        dialect = self._dialects.of_request(request)
        missing = self._dialects.missing_logprobs(request, dialect)
        if missing is not None:
            raise missing
        return dialect


def _needs_words(request: ModelRequest, dialect: Dialect) -> bool:
    return bool(request.tools) and dialect.tools == "words"
