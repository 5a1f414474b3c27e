"""Langfuse: traces, observations and scores, as its interface, its page and its storage export."""

from collections.abc import Iterator, Mapping
from typing import Final

from storage.exchange.columns import Row
from storage.exchange.examples import fields_of, is_empty, json_value, list_of, object_of
from storage.exchange.traces.langfuse_scores import column_scores
from storage.exchange.traces.messages import chat_messages, messages_or_text
from storage.exchange.traces.spans import (
    Feedback,
    Kind,
    Span,
    count_of,
    first_text,
    number_of,
    text_or_none,
    time_of,
    token_counts,
    trace_tags,
)

_MODELS: Final = frozenset({"generation"})
_TYPES: Final = frozenset(
    {
        *("span", "generation", "event", "agent", "tool", "chain", "retriever"),
        *("evaluator", "embedding", "guardrail"),
    }
)
_LISTS: Final = ("traces", "observations", "scores", "data")
_TRACE_FIELDS: Final = frozenset(
    {
        *("sessionid", "userid", "htmlpath", "totalcost", "observations", "scores"),
        *("release", "public", "bookmarked", "projectid", "environment"),
    }
)
_AUTHORS: Final[Mapping[str, str]] = {"eval": "evaluator", "annotation": "annotator", "api": "user"}


class Langfuse:
    """Traces with their observations and scores, in one row or in rows of their own."""

    name = "Langfuse traces"
    key = "langfuse"

    def fits(self, row: Row) -> bool:
        """Whether a row is a trace, an observation, a score, or a list of these."""
        fields = fields_of(row)
        if _is_observation(fields) or _is_score(fields) or _is_trace(fields):
            return True
        entries = (list_of(fields.get(name)) for name in _LISTS)
        firsts = (object_of(entry[0]) for entry in entries if entry)
        return any(self.fits(first) for first in firsts if first is not None)

    def pieces(self, row: Row) -> Iterator[Span | str]:
        """Return the spans of a row, or what is wrong with it."""
        fields = fields_of(row)
        if _is_score(fields):
            yield _score(fields)
        elif _is_observation(fields):
            yield from _observation(fields)
        elif _is_trace(fields):
            yield from _trace(fields, row)
        else:
            yield from self._lists(fields)

    def _lists(self, fields: Mapping[str, object]) -> Iterator[Span | str]:
        entries = [entry for name in _LISTS for entry in list_of(fields.get(name)) or []]
        if not entries:
            yield "it is no trace, no observation and no score"
        for entry in entries:
            data = object_of(entry)
            if data is None:
                yield "an entry of it is no object"
            else:
                yield from self.pieces(data)


def _is_observation(fields: Mapping[str, object]) -> bool:
    kind = str(fields.get("type") or "").casefold()
    return "traceid" in fields and kind in _TYPES and "starttime" in fields


def _is_score(fields: Mapping[str, object]) -> bool:
    has_value = bool({"value", "stringvalue", "comment"} & fields.keys())
    is_named = {"traceid", "name"} <= fields.keys()
    return is_named and has_value and bool({"datatype", "source", "configid"} & fields.keys())


def _is_trace(fields: Mapping[str, object]) -> bool:
    is_named = {"id", "timestamp"} <= fields.keys()
    return is_named and bool(_TRACE_FIELDS & fields.keys()) and "traceid" not in fields


def _trace(fields: Mapping[str, object], row: Row) -> Iterator[Span | str]:
    trace = text_or_none(fields.get("id"))
    if trace is None:
        yield "the trace has no id"
        return
    start, latency = time_of(fields.get("timestamp")), number_of(fields.get("latency"))
    span = Span(trace, f"trace:{trace}", is_trace=True)
    span.name = text_or_none(fields.get("name")) or ""
    span.start = start
    span.end = None if start is None or latency is None else start + int(latency * 1e9)
    span.input, span.output = fields.get("input"), fields.get("output")
    span.session = text_or_none(fields.get("sessionid"))
    span.tags = trace_tags(fields.get("tags"))
    span.cost = number_of(fields.get("totalcost")) or None
    span.error = _error(fields)
    has_list = "scores" in fields
    span.feedback = list(_scores_within(fields["scores"]) if has_list else column_scores(row))
    yield span
    for entry in list_of(fields.get("observations")) or []:
        data = object_of(entry)
        if data is not None:
            yield from _observation({"traceid": trace, **fields_of(data)})


def _scores_within(value: object) -> Iterator[Feedback]:
    """Return the scores of a trace: a list of them, or values by their names, as its page has."""
    by_name = object_of(value)
    for name, entry in (by_name or {}).items():
        values = list_of(entry)
        for score in [entry] if values is None else values:
            data = object_of(score)
            yield (
                Feedback(name, _plain(score))
                if data is None
                else _feedback({"name": name, **fields_of(data)})
            )
    for entry in list_of(value) or []:
        data = object_of(entry)
        if data is not None:
            yield _feedback(fields_of(data))


def _observation(fields: Mapping[str, object]) -> Iterator[Span | str]:
    trace, span_id = text_or_none(fields.get("traceid")), text_or_none(fields.get("id"))
    if trace is None or span_id is None:
        yield f"the observation has no {'traceId' if trace is None else 'id'}"
        return
    span = Span(trace, span_id, text_or_none(fields.get("parentobservationid")))
    span.kind = _kind(fields)
    span.name = text_or_none(fields.get("name")) or ""
    span.start, span.end = time_of(fields.get("starttime")), time_of(fields.get("endtime"))
    span.input, span.output = json_value(fields.get("input")), json_value(fields.get("output"))
    if span.kind == "model":
        span.messages = messages_or_text(span.input, "user")
        span.answers = messages_or_text(span.output, "assistant")
        span.finish = _finish(fields)
    span.model = text_or_none(fields.get("model") or fields.get("providedmodelname"))
    metadata = object_of(fields.get("metadata")) or {}
    span.provider = text_or_none(metadata.get("ls_provider") or metadata.get("provider"))
    span.tokens, span.cost = _tokens(fields), _cost(fields)
    span.error = _error(fields)
    span.session = text_or_none(fields.get("sessionid"))
    span.tags = trace_tags(fields.get("tags") or fields.get("tracetags"))
    yield span


def _kind(fields: Mapping[str, object]) -> Kind:
    kind = str(fields.get("type") or "").casefold()
    return "model" if kind in _MODELS else "tool" if kind == "tool" else "step"


def _finish(fields: Mapping[str, object]) -> str | None:
    """Return why the model stopped, which Langfuse keeps in metadata or in the output alone."""
    metadata = object_of(fields.get("metadata")) or {}
    answers = chat_messages(fields.get("output"), "assistant") or [{}]
    sources = (metadata, object_of(metadata.get("attributes")) or {}, answers[-1])
    keys = ("finish_reason", "finishReason", "stop_reason", "gen_ai.response.finish_reasons")
    return first_text(_reason(source.get(key)) for source in sources for key in keys)


def _reason(value: object) -> object:
    """Return a reason, or the first one of a list."""
    entries = list_of(value)
    return entries[0] if entries else value


def _tokens(fields: Mapping[str, object]) -> dict[str, int]:
    usage = fields_of(object_of(fields.get("usage")) or {})
    details = fields_of(object_of(fields.get("usagedetails")) or {})
    return token_counts(
        input=count_of(
            details.get("input"),
            usage.get("input"),
            fields.get("inputtokens"),
            fields.get("prompttokens"),
        ),
        output=count_of(
            details.get("output"),
            usage.get("output"),
            fields.get("outputtokens"),
            fields.get("completiontokens"),
        ),
        total=count_of(details.get("total"), usage.get("total"), fields.get("totaltokens")),
        cached=count_of(
            details.get("inputcachedtokens"),
            details.get("cachereadinputtokens"),
            details.get("inputcacheread"),
        ),
    )


def _cost(fields: Mapping[str, object]) -> float | None:
    details = object_of(fields.get("costdetails")) or {}
    values = (details.get("total"), fields.get("calculatedtotalcost"), fields.get("totalcost"))
    return next((cost for cost in map(number_of, values) if cost), None)


def _error(fields: Mapping[str, object]) -> str | None:
    if str(fields.get("level") or "").casefold() != "error":
        return None
    return text_or_none(fields.get("statusmessage")) or "it ended in an error"


def _score(fields: Mapping[str, object]) -> Span | str:
    trace = text_or_none(fields.get("traceid"))
    if trace is None:
        return "the score has no traceId"
    span = Span(trace, text_or_none(fields.get("observationid")) or "", is_fragment=True)
    span.feedback = [_feedback(fields)]
    return span


def _feedback(fields: Mapping[str, object]) -> Feedback:
    source = str(fields.get("source") or "").casefold()
    value = fields.get("value")
    if str(fields.get("datatype") or "").casefold() == "boolean" and not is_empty(value):
        value = number_of(value) != 0
    label = text_or_none(fields.get("stringvalue"))
    return Feedback(
        text_or_none(fields.get("name")) or "score",
        value if isinstance(value, bool) else _plain(label if is_empty(value) else value),
        text_or_none(fields.get("comment")),
        _AUTHORS.get(source, source or "user"),
    )


def _plain(value: object) -> str | float | bool | None:
    if isinstance(value, bool | int | float):
        return value
    text = text_or_none(value)
    number = number_of(text)
    return text if number is None else number
