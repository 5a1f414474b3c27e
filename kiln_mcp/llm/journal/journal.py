"""The journal: every answer that a model ever gave, with what it cost and who asked.

One row a call, never changed. An answer to a request that was asked before, with the same sample
number, is read from here. Keys never come here: a row holds a hash of the request and the answer.
It also keeps notes of what is on its way under a budget (`on_the_way.py`), so that a call whose
process was killed counts as spent. `sqlite_journal.py` keeps it for one machine,
`postgres_journal.py` for several.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Protocol

from kiln_mcp.llm.journal.in_flight import Note, NoteBook
from kiln_mcp.llm.journal.spent import Spent
from kiln_mcp.llm.messages import (
    Alternative,
    ModelAnswer,
    ModelRequest,
    TokenLogprob,
    ToolCall,
    Usage,
)
from storage.text.characters import repair_texts

Key = tuple[bytes, int]


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """An answer as the journal keeps it.

    Attributes:
        answer: The answer.
        problem: Why it does not fit its schema; None where it does.
        asker: Who asked, where it comes from the journal.
    """

    answer: ModelAnswer
    problem: str | None
    asker: str = ""


@dataclass(frozen=True, slots=True)
class Spending:
    """What some asker has spent on one model; unpriced calls have no known price."""

    model: str
    usage: Usage
    unpriced_calls: int


def request_key(request: ModelRequest, identity: str) -> Key:
    """Return what makes two requests the same: everything but who asks.

    Args:
        request: What is asked.
        identity: The model behind the name: its address or file, so that a changed
            configuration does not answer from another model's memory.
    """
    content = (
        identity,
        [
            (message.role, message.content, message.tool_call_id, *map(_call, message.tool_calls))
            for message in request.messages
        ],
        request.schema,
        request.choices,
        request.temperature,
        request.max_tokens,
        request.seed,
        request.stop,
        request.top_logprobs,
        [(tool.name, tool.description, tool.parameters) for tool in request.tools],
    )
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return blake2b(text.encode(), digest_size=16).digest(), request.sample


def _call(call: ToolCall) -> tuple[str, str, str]:
    return call.id, call.name, call.arguments


def _answer_text(answer: ModelAnswer) -> str:
    parts: dict[str, Any] = {"text": answer.text, "finish": answer.finish}
    if answer.parsed is not None:
        parts["parsed"] = answer.parsed
    if answer.reasoning:
        parts["reasoning"] = answer.reasoning
    if answer.tool_calls:
        parts["tool_calls"] = [_call(call) for call in answer.tool_calls]
    if answer.logprobs:
        parts["logprobs"] = [
            (entry.token, entry.logprob, [(o.token, o.logprob) for o in entry.alternatives])
            for entry in answer.logprobs
        ]
    text = json.dumps(parts, ensure_ascii=False, separators=(",", ":"))
    # Half a surrogate pair, which a model's server may send, cannot be written as it is.
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
        parsed=parts.get("parsed"),
        usage=usage,
        finish=parts["finish"],
        logprobs=tuple(
            TokenLogprob(token, logprob, tuple(Alternative(*other) for other in others))
            for token, logprob, others in parts.get("logprobs", ())
        ),
        tool_calls=tuple(ToolCall(*call) for call in parts.get("tool_calls", ())),
        reasoning=parts.get("reasoning", ""),
        latency_s=latency_s,
        journalled=True,
    )


Row = dict[str, bytes | str | int | float | None]
"""The named values of a statement."""


@dataclass(frozen=True, slots=True)
class Writing:
    """An answer to be written down.

    Attributes:
        key: The request.
        model: The name that it was asked by.
        entry: The answer.
        asker: Who asked.
    """

    key: Key
    model: str
    entry: JournalEntry
    asker: str


class Journal(NoteBook, Protocol):
    """Where answers are remembered. All of it raises JournalFailed where it cannot be used."""

    async def open(self) -> None:
        """Make it ready."""
        ...

    async def close(self) -> None:
        """Write what waits, and close it."""
        ...

    async def read(self, key: Key) -> JournalEntry | None:
        """Return the newest answer to a request, or None where it was never answered."""
        ...

    async def write(self, writing: Writing) -> None:
        """Remember an answer; returns when it would outlive this process."""
        ...

    async def spending(self, asker: str = "*") -> tuple[Spending, ...]:
        """Return what was spent, by model; `asker` may hold `*` as in file names."""
        ...

    async def unheard(self, budget: str) -> Spent:
        """Return what is noted as on its way under a budget, or as lost."""
        ...


def row_of(writing: Writing) -> Row:
    """Return an answer as the table's columns hold it."""
    answer = writing.entry.answer
    return {
        "request_hash": writing.key[0],
        "sample": writing.key[1],
        "asked_at": time.time(),
        "asker": writing.asker,
        "model": writing.model,
        "answer": _answer_text(answer),
        "problem": writing.entry.problem,
        "input_tokens": answer.usage.input_tokens,
        "output_tokens": answer.usage.output_tokens,
        "cached_tokens": answer.usage.cached_tokens,
        "cost_usd": answer.usage.cost_usd,
        "latency_s": answer.latency_s,
    }


def row_of_note(note: Note) -> Row:
    """Return a note as the table's columns hold it."""
    return {
        "id": note.id,
        "budget": note.budget,
        "noted_at": time.time(),
        "cost_usd": note.most.cost_usd,
        "tokens": note.most.tokens,
        "calls": note.most.calls,
        "unpriced_calls": note.most.unpriced_calls,
    }


def entry_of(row: Sequence[Any]) -> JournalEntry:
    """Return the answer in a row of answer, problem, tokens, cost, latency and asker."""
    answer, problem, read, written, cached, cost_usd, latency_s, asker = row
    usage = Usage(read, written, cached, cost_usd)
    return JournalEntry(_read_answer(answer, usage, latency_s), problem, asker)


def spending_of(row: Sequence[Any]) -> Spending:
    """Return the spending in a row of model, calls, tokens, cost and unpriced calls."""
    model, calls, read, written, cached, cost_usd, unpriced = row
    return Spending(model, Usage(read, written, cached, cost_usd, calls), unpriced)
