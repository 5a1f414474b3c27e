"""The response cache: every answer that a model ever gave, with its cost and its asker.

The same request with the same sample number is answered from here.
A row is never changed. It holds a hash of the request and the answer, and no keys. Notes of
in-flight calls (`in_flight.py`) let a call count as spent whose process was killed. `sqlite.py` is
the response cache of one machine, `postgres.py` that of several.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, Final, Protocol

from kiln_mcp.llm.answer_states import AnswerState
from kiln_mcp.llm.messages import (
    Alternative,
    ModelAnswer,
    ModelRequest,
    TokenLogprob,
    ToolCall,
    Usage,
)
from kiln_mcp.llm.response_cache.expense import Expense
from kiln_mcp.llm.response_cache.in_flight import InFlightNote, InFlightNotes
from storage.isolation.fixed_schema import compact_text
from storage.text.characters import repair_texts

Key = tuple[bytes, int]
_spell: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
_spell_answer: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """An answer as the response cache keeps it.

    Attributes:
        answer: The answer.
        problem: Why it does not fit its schema; None if it fits.
        asker: Who asked; empty for a new answer.
    """

    answer: ModelAnswer
    problem: str | None
    asker: str = ""

    @property
    def state(self) -> AnswerState:
        """What the answer is good for."""
        state = self.answer.state
        return "unreadable" if state == "complete" and self.problem is not None else state


@dataclass(frozen=True, slots=True)
class Spending:
    """What an asker has spent on one model; unpriced calls have no known price."""

    model: str
    usage: Usage
    unpriced_calls: int


def request_key(request: ModelRequest, identity: str) -> Key:
    """Return the key of a request in the response cache: everything but the asker.

    Args:
        request: What is asked.
        identity: The model behind the name: its address or file, so that a changed
            configuration does not get another model's answers.
    """
    beginning = (
        identity,
        [
            (message.role, message.content, message.tool_call_id, *map(_call, message.tool_calls))
            for message in request.messages
        ],
    )
    schema = "null" if request.schema is None else compact_text(request.schema)
    rest = (
        request.choices,
        request.temperature,
        request.max_tokens,
        request.seed,
        request.stop,
        request.top_logprobs,
        [(tool.name, tool.description, tool.parameters) for tool in request.tools],
    )
    # One list, whose third value is the schema; a fixed one is spelled once, not for each request.
    text = f"{_spell(beginning)[:-1]},{schema},{_spell(rest)[1:]}"
    return blake2b(text.encode(), digest_size=16).digest(), request.sample


def _call(call: ToolCall) -> tuple[str, str, str]:
    return call.id, call.name, call.arguments


def _answer_text(answer: ModelAnswer) -> str:
    parts: dict[str, Any] = {"text": answer.text, "finish": answer.finish}
    if answer.value is not None:
        parts["parsed"] = answer.value
    if answer.reasoning:
        parts["reasoning"] = answer.reasoning
    if answer.client:
        parts["client"] = answer.client
    if answer.trace:
        parts["trace"] = [dict(message) for message in answer.trace]
    if answer.tool_calls:
        parts["tool_calls"] = [_call(call) for call in answer.tool_calls]
    if answer.usage.hidden_tokens:
        parts["hidden_tokens"] = answer.usage.hidden_tokens
    if answer.logprobs:
        parts["logprobs"] = [
            (entry.token, entry.logprob, [(o.token, o.logprob) for o in entry.alternatives])
            for entry in answer.logprobs
        ]
    text = _spell_answer(parts)
    # A lone surrogate, which a model's server may send, cannot be written as it is.
    return text if text.isascii() or _encodable(text) else json.dumps(parts)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _read_answer(text: str, usage: Usage, latency_s: float) -> ModelAnswer:
    parts: dict[str, Any] = json.loads(text)
    if "\\ud" in text:  # written before answers were made whole
        parts = repair_texts(parts)
    return ModelAnswer(
        text=parts["text"],
        value=parts.get("parsed"),
        usage=replace(usage, hidden_tokens=parts.get("hidden_tokens", 0)),
        finish=parts["finish"],
        logprobs=tuple(
            TokenLogprob(token, logprob, tuple(Alternative(*other) for other in alternatives))
            for token, logprob, alternatives in parts.get("logprobs", ())
        ),
        tool_calls=tuple(ToolCall(*call) for call in parts.get("tool_calls", ())),
        reasoning=parts.get("reasoning", ""),
        client=parts.get("client", ""),
        trace=tuple(parts.get("trace", ())),
        latency_s=latency_s,
        is_cached=True,
    )


Row = dict[str, bytes | str | int | float | None]
"""The named values of a statement."""


@dataclass(frozen=True, slots=True)
class NewEntry:
    """An answer to write.

    Attributes:
        key: The request's key.
        model: The model's name in the request.
        entry: The answer.
        asker: Who asked.
    """

    key: Key
    model: str
    entry: CacheEntry
    asker: str


class ResponseCache(InFlightNotes, Protocol):
    """The store of answers. Every method raises DatabaseFailure if it cannot be used."""

    async def open(self) -> None:
        """Get ready."""
        ...

    async def close(self) -> None:
        """Write the rows that wait, and close."""
        ...

    async def read(self, key: Key) -> CacheEntry | None:
        """Return the newest answer to a request; None if it was never answered."""
        ...

    async def read_all(self, keys: Sequence[Key]) -> Mapping[Key, CacheEntry]:
        """Return the newest answer to each request that was ever answered, with one question."""
        ...

    async def write(self, new_entry: NewEntry) -> None:
        """Write an answer; return when it would survive a kill of this process."""
        ...

    async def spending(self, asker: str = "*") -> tuple[Spending, ...]:
        """Return the spending by model; `asker` may hold `*` as in file names."""
        ...

    async def unanswered_expense(self, budget: str) -> Expense:
        """Return the maximum of the in-flight and lost calls under a budget."""
        ...


def entry_row(new_entry: NewEntry) -> Row:
    """Return an answer as the table's columns hold it."""
    answer = new_entry.entry.answer
    return {
        "request_hash": new_entry.key[0],
        "sample": new_entry.key[1],
        "asked_at": time.time(),
        "asker": new_entry.asker,
        "model": new_entry.model,
        "answer": _answer_text(answer),
        "problem": new_entry.entry.problem,
        "input_tokens": answer.usage.input_tokens,
        "output_tokens": answer.usage.output_tokens,
        "cached_tokens": answer.usage.cached_tokens,
        "cost_usd": answer.usage.cost_usd,
        "latency_s": answer.latency_s,
    }


def note_row(note: InFlightNote) -> Row:
    """Return a note as the table's columns hold it."""
    return {
        "id": note.id,
        "budget": note.budget,
        "noted_at": time.time(),
        "cost_usd": note.maximum.cost_usd,
        "tokens": note.maximum.tokens,
        "calls": note.maximum.calls,
        "unpriced_calls": note.maximum.unpriced_calls,
    }


def entry_in(row: Sequence[Any]) -> CacheEntry:
    """Return the answer in a row of answer, problem, tokens, cost, latency and asker."""
    answer, problem, input_tokens, output_tokens, cached_tokens, cost_usd, latency_s, asker = row
    usage = Usage(input_tokens, output_tokens, cached_tokens, cost_usd)
    return CacheEntry(_read_answer(answer, usage, latency_s), problem, asker)


def spending_in(row: Sequence[Any]) -> Spending:
    """Return the spending in a row of model, calls, tokens, cost and unpriced calls."""
    model, calls, input_tokens, output_tokens, cached_tokens, cost_usd, unpriced_calls = row
    return Spending(
        model, Usage(input_tokens, output_tokens, cached_tokens, cost_usd, calls), unpriced_calls
    )
