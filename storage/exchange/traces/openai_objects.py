"""OpenAI: stored completions with their messages, responses with their items, logs and batches."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from storage.exchange.columns import Row
from storage.exchange.examples import list_of, object_of
from storage.exchange.traces.messages import chat_messages
from storage.exchange.traces.payloads import member
from storage.exchange.traces.spans import (
    Message,
    Span,
    count_of,
    finish_of,
    first_text,
    number_of,
    text_or_none,
    time_of,
    token_counts,
    trace_tags,
)

_MESSAGE_ID: Final = re.compile(r"(chatcmpl-.+)-(\d+)")
"""The id of a stored message: that of its completion, and its place."""
_REQUEST_KEYS: Final = ("messages", "input_messages", "input_items", "input", "prompt")
_SESSIONS: Final = ("session_id", "conversation_id", "thread_id")


class OpenAIObjects:
    """Completions and responses, alone, beside their requests, or in lists of the interface."""

    name = "OpenAI completions and responses"
    key = "openai"

    def fits(self, row: Row) -> bool:
        """Whether a row holds a completion, a response, or a stored message."""
        entries = list_of(row.get("data"))
        first = object_of(entries[0]) if entries else None
        is_list = first is not None and row.get("object") == "list" and self.fits(first)
        return is_list or _result(row) is not None or _is_stored_message(row)

    def pieces(self, row: Row) -> Iterator[Span | str]:
        """Return the spans of a row, or what is wrong with it."""
        entries = list_of(row.get("data")) if row.get("object") == "list" else None
        if entries is not None:
            for entry in entries:
                data = object_of(entry)
                yield from ["an entry of it is no object"] if data is None else self.pieces(data)
            return
        result = _result(row)
        if result is not None:
            yield _completion(row, result)
        elif _is_stored_message(row):
            yield _stored_message(row)
        elif row.get("custom_id") and object_of(row.get("body")) is not None:
            yield _request(row)
        else:
            yield "it is no completion and no response"


def _result(row: Row) -> Mapping[str, object] | None:
    """Return the completion or response of a row; None if it has none."""
    for value in (row, row.get("response"), member(row, "response", "body"), row.get("completion")):
        data = object_of(value) if value is not row else row
        if data is None:
            continue
        choices = list_of(data.get("choices"))
        if choices and "message" in (object_of(choices[0]) or {}):
            return data
        if data.get("object") == "response" or (
            list_of(data.get("output")) is not None and "model" in data
        ):
            return data
    return None


def _completion(row: Row, result: Mapping[str, object]) -> Span | str:
    trace = text_or_none(row.get("custom_id")) or text_or_none(result.get("id"))
    if trace is None:
        return "the completion has no id"
    span = Span(trace, trace, kind="model")
    sources = [row, *(object_of(row.get(key)) or {} for key in ("request", "body")), result]
    span.messages = _request_messages(sources)
    if not any(message["role"] == "user" for message in span.messages):
        span.predecessor = text_or_none(result.get("previous_response_id"))
    span.answers = chat_messages(result.get("output") or result.get("choices"), "assistant") or []
    span.start = time_of(result.get("created") or result.get("created_at"))
    span.end = time_of(result.get("completed_at"))
    span.model, span.provider = text_or_none(result.get("model")), "openai"
    span.tokens = _tokens(object_of(result.get("usage")) or {})
    span.cost = number_of(row.get("cost") or row.get("cost_usd"))
    span.finish = _finish(result, span.answers)
    span.error = text_or_none(member(result, "error", "message"))
    metadata = object_of(result.get("metadata")) or object_of(row.get("metadata")) or {}
    sessions = [metadata.get(key) for key in _SESSIONS]
    span.session = first_text([*sessions, member(result, "conversation", "id")])
    span.tags = trace_tags(metadata.get("tags"))
    return span


def _request_messages(sources: list[Mapping[str, object]]) -> list[Message]:
    """Return what the model was sent, from the first place that has it."""
    for source in sources:
        for key in _REQUEST_KEYS:
            value = source.get(key)
            messages = chat_messages(value, "user") if value else None
            if messages:
                instructions = text_or_none(source.get("instructions")) or text_or_none(
                    sources[-1].get("instructions")
                )
                first = {"role": "system", "content": instructions}
                return [first, *messages] if instructions else messages
    return []


def _finish(result: Mapping[str, object], answers: list[Message]) -> str | None:
    reason = text_or_none(member(result, "incomplete_details", "reason"))
    if reason is None and result.get("status") == "incomplete":
        reason = "incomplete"
    return reason or finish_of(answers)


def _tokens(usage: Mapping[str, object]) -> dict[str, int]:
    return token_counts(
        input=count_of(usage.get("prompt_tokens"), usage.get("input_tokens")),
        output=count_of(usage.get("completion_tokens"), usage.get("output_tokens")),
        total=count_of(usage.get("total_tokens")),
        cached=count_of(
            member(usage, "prompt_tokens_details", "cached_tokens"),
            member(usage, "input_tokens_details", "cached_tokens"),
        ),
    )


def _is_stored_message(row: Row) -> bool:
    return "role" in row and _MESSAGE_ID.fullmatch(str(row.get("id") or "")) is not None


def _stored_message(row: Row) -> Span | str:
    """Return a message of a stored completion; its place among the others is in its id."""
    match = _MESSAGE_ID.fullmatch(str(row.get("id") or ""))
    content = row.get("content") or row.get("content_parts")
    messages = chat_messages({**row, "content": content})
    if match is None or not messages:
        return "the stored message cannot be read"
    span = Span(match.group(1), match.group(1), kind="model", is_fragment=True)
    span.messages = [{**message, "place": int(match.group(2))} for message in messages]
    return span


def _request(row: Row) -> Span | str:
    """Return the request of a batch, which its answer completes."""
    trace = str(row.get("custom_id"))
    messages = _request_messages([object_of(row.get("body")) or {}])
    if not messages:
        return f"the request {trace!r} has no messages"
    return Span(trace, trace, kind="model", messages=messages, is_fragment=True)
