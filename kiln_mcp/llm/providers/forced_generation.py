"""The driver of forced text: the model writes values, and reads in one batch what lies between.

Each value is one call of llama.cpp with the answer so far as its prefix. The call stops where the
schema alone decides what follows. llama.cpp's prompt cache holds the prefix, and its grammar of the
whole schema goes on behind it, so the model chooses as it would in one call.

Equal answers are the aim, not a certainty: numbers of a batch and of a single token are rounded
differently, and a near tie between two tokens may fall the other way.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from kiln_mcp.llm.providers.forced_text import ForcedAnswer, forced_text, stop_texts
from kiln_mcp.llm.providers.partial_json import is_complete

INVALID_REQUEST: Final = "invalid_request_error"

ChunkHandler = Callable[[dict[str, Any]], bool]
"""Takes a chunk of a stream; returns true to stop the model."""


class ChatServer(Protocol):
    """The part of `xllamacpp.Server` that is used here."""

    def handle_chat_completions(
        self, body: dict[str, Any], callback: ChunkHandler | None = None
    ) -> dict[str, Any]:
        """Answer a request, whole or in chunks."""
        ...


@dataclass(slots=True)
class _Segment:
    """How one call ended.

    Attributes:
        stop_text: The text at which it was stopped; empty if it was not.
        is_cut: Whether it used up its tokens.
        usage: Its tokens.
        error: The chunk that refused the call.
        is_cancelled: Whether the reader of the answer stopped it.
    """

    stop_text: str = ""
    is_cut: bool = False
    usage: Mapping[str, Any] = field(default_factory=dict[str, Any])
    error: dict[str, Any] | None = None
    is_cancelled: bool = False

    def take(self, chunk: dict[str, Any]) -> str:
        """Take a chunk of the call's stream; return the text that it adds."""
        if "error" in chunk:
            self.error = chunk
            return ""
        self.usage = chunk.get("usage") or self.usage
        details: Mapping[str, Any] = chunk.get("__verbose") or {}
        self.stop_text = details.get("stopping_word") or self.stop_text
        self.is_cut = self.is_cut or details.get("stop_type") == "limit"
        choices: list[Mapping[str, Any]] = chunk.get("choices") or []
        deltas: list[Mapping[str, Any]] = [choice.get("delta") or {} for choice in choices]
        return "".join(delta.get("content") or "" for delta in deltas)

    @property
    def refuses_prefix(self) -> bool:
        """Whether the call was refused for another reason than its length."""
        error: Mapping[str, Any] = (self.error or {}).get("error") or {}
        return error.get("type") == INVALID_REQUEST


class ForcedGeneration:
    """One answer, written value by value."""

    def __init__(
        self,
        server: ChatServer,
        body: dict[str, Any],
        plan: ForcedAnswer,
        handler: ChunkHandler,
    ) -> None:
        """Set up.

        Args:
            server: The model.
            body: The chat request, as it would be sent in one call.
            plan: The answer's schema and its beginning.
            handler: Takes the answer's chunks.
        """
        self._server = server
        self._body = body
        self._schema = plan.schema
        self._handler = handler
        self._text = plan.beginning
        self._sent_length = 0
        self._asked_length = 0
        self._first_usage: Mapping[str, Any] | None = None
        self._total_tokens = 0

    def run(self) -> bool:
        """Write the answer; return false if the model cannot continue a prefix, nothing being sent.

        An error of the first call goes to the handler.
        """
        while not is_complete(self._extend()):
            if self._tokens_left() <= 0:
                self._end("length")
                return True
            segment = self._write()
            if segment.refuses_prefix and not self._sent_length:
                return False
            if not self._goes_on(segment):
                return True
        self._end("stop")
        return True

    def _extend(self) -> str:
        self._text += forced_text(self._schema, self._text)
        return self._text

    def _write(self) -> _Segment:
        """Let the model write from here to the next forced text."""
        segment = _Segment()
        # A call that adds nothing would be repeated for ever; without stops it ends the answer.
        has_grown, self._asked_length = len(self._text) > self._asked_length, len(self._text)
        stops = stop_texts(self._schema, self._text) if has_grown else ()

        def take(chunk: dict[str, Any]) -> bool:
            self._text += segment.take(chunk)
            segment.is_cancelled = segment.error is None and self._send()
            return segment.is_cancelled

        prefix = {"role": "assistant", "content": self._text}
        self._server.handle_chat_completions(
            {
                **self._body,
                "messages": [*self._body["messages"], prefix],
                "stop": list(stops),
                "max_tokens": self._tokens_left(),
                "verbose": True,
            },
            take,
        )
        return segment

    def _goes_on(self, segment: _Segment) -> bool:
        """Take note of a call; return whether another one follows, and send the end if not."""
        if segment.error is not None:
            self._handler(segment.error)
        if segment.error is not None or segment.is_cancelled:
            return False
        self._note_usage(segment)
        self._text += segment.stop_text
        if not segment.stop_text:
            self._end("length" if segment.is_cut else "stop")
        return bool(segment.stop_text)

    def _note_usage(self, segment: _Segment) -> None:
        self._first_usage = self._first_usage or segment.usage
        self._total_tokens = int(segment.usage.get("total_tokens") or 0)

    def _tokens_left(self) -> int:
        if self._first_usage is None:
            return int(self._body["max_tokens"])
        return int(self._body["max_tokens"]) - self._tokens_written(self._first_usage)

    def _tokens_written(self, first_usage: Mapping[str, Any]) -> int:
        return self._total_tokens - int(first_usage.get("prompt_tokens") or 0)

    def _send(self) -> bool:
        """Pass the new text on; return whether the reader stops the model."""
        addition, self._sent_length = self._text[self._sent_length :], len(self._text)
        if not addition:
            return False
        return self._handler({"choices": [{"index": 0, "delta": {"content": addition}}]})

    def _end(self, reason: str) -> None:
        self._send()
        self._handler({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
        usage = self._first_usage or {}
        self._handler(
            {
                "choices": [],
                "usage": {**usage, "completion_tokens": self._tokens_written(usage)},
            }
        )
