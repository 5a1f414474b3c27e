"""OpenTelemetry: OTLP JSON of spans and logs, and single spans of SDKs and of Phoenix."""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from typing import Final

from storage.exchange.columns import Row
from storage.exchange.examples import list_of, object_of
from storage.exchange.traces.attributes import Attributes, any_value, attributes_of
from storage.exchange.traces.conventions import describe, is_described, read_event
from storage.exchange.traces.spans import Span, text_or_none, time_of

_GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "resourceSpans": ("scopeSpans", "instrumentationLibrarySpans"),
    "resource_spans": ("scope_spans", "instrumentation_library_spans"),
    "batches": ("scopeSpans", "instrumentationLibrarySpans"),
    "resourceLogs": ("scopeLogs",),
    "resource_logs": ("scope_logs",),
}
"""Members of an export, and those of their entries that hold spans or logs."""
_RECORDS: Final = ("spans", "logRecords", "log_records")
_HEXADECIMAL: Final = re.compile(r"(?:0x)?([0-9a-fA-F]{16,32})")
_TRACE_BYTES, _SPAN_BYTES = 16, 8
_ERRORS: Final = frozenset({"2", "status_code_error", "error", "statuscode.error"})
_NO_SPAN: Final = re.compile("0*")


class OpenTelemetry:
    """Spans of OpenTelemetry, with the conventions for models of several projects."""

    name = "OpenTelemetry spans"
    key = "opentelemetry"

    def fits(self, row: Row) -> bool:
        """Whether a row is an export of spans or logs, or one span."""
        return any(list_of(row.get(key)) is not None for key in _GROUPS) or _is_span(row)

    def pieces(self, row: Row) -> Iterator[Span | str]:
        """Return the spans of a row, or what is wrong with one."""
        exports = [key for key in _GROUPS if list_of(row.get(key)) is not None]
        if not exports:
            yield _span(row)
        for key in exports:
            for group in list_of(row.get(key)) or []:
                yield from _group(object_of(group), _GROUPS[key])


def _is_span(row: Row) -> bool:
    context = object_of(row.get("context")) or {}
    has_ids = ("traceId" in row and "spanId" in row) or ("trace_id" in row and "span_id" in row)
    return (has_ids and "attributes" in row) or "trace_id" in context or "context.trace_id" in row


def _group(group: Mapping[str, object] | None, scopes: tuple[str, ...]) -> Iterator[Span | str]:
    """Return the spans of the scopes of one resource."""
    if group is None:
        yield "an entry of its resources is no object"
        return
    for scope in [scope for name in scopes for scope in list_of(group.get(name)) or []]:
        data = object_of(scope) or {}
        for name in _RECORDS:
            for record in list_of(data.get(name)) or []:
                entry = object_of(record)
                if entry is None:
                    yield "a span of it is no object"
                else:
                    yield _span(entry) if name == "spans" else _log(entry)


def _span(row: Row) -> Span | str:
    """Return a span, or what is wrong with it."""
    context = object_of(row.get("context")) or {}
    trace = _id(_either(row, context, "traceId", "trace_id", "context.trace_id"), _TRACE_BYTES)
    span_id = _id(_either(row, context, "spanId", "span_id", "context.span_id"), _SPAN_BYTES)
    name = text_or_none(row.get("name")) or ""
    if trace is None or span_id is None:
        return f"the span {name!r} has no {'trace' if trace is None else 'span'} id"
    attributes = _attributes(row)
    parent = _either(row, {}, "parentSpanId", "parent_span_id", "parent_id")
    span = Span(trace, span_id, _id(parent, _SPAN_BYTES), name=name)
    span.start = time_of(
        _either(row, {}, "startTimeUnixNano", "start_time_unix_nano", "start_time")
    )
    span.end = time_of(_either(row, {}, "endTimeUnixNano", "end_time_unix_nano", "end_time"))
    span.error = _error(row)
    events = [object_of(event) or {} for event in list_of(row.get("events")) or []]
    if is_described(attributes):
        describe(span, attributes)
    for event in events:
        event_attributes = attributes_of(event.get("attributes"))
        read_event(span, str(event.get("name") or ""), event_attributes)
    return span


def _attributes(row: Row) -> Attributes:
    """Return a span's attributes, also of a table whose columns begin with `attributes.`."""
    attributes = attributes_of(row.get("attributes"))
    start = "attributes."
    columns = {key[len(start) :]: row[key] for key in row if key.startswith(start)}
    return {**attributes, **attributes_of(columns)} if columns else attributes


def _log(record: Row) -> Span | str:
    """Return what a log record says of its span, or what is wrong with it."""
    trace = _id(_either(record, {}, "traceId", "trace_id"), _TRACE_BYTES)
    span_id = _id(_either(record, {}, "spanId", "span_id"), _SPAN_BYTES)
    attributes = attributes_of(record.get("attributes"))
    name = str(_either(record, {}, "eventName", "event_name") or attributes.get("event.name") or "")
    if trace is None:
        return f"the log record {name!r} has no trace id"
    span = Span(trace, span_id or "", is_fragment=True)
    span.start = time_of(_either(record, {}, "timeUnixNano", "time_unix_nano"))
    read_event(span, name, attributes, any_value(record.get("body")))
    return span


def _either(row: Row, inner: Row, *names: str) -> object | None:
    sources = (row, inner)
    values = (source[name] for name in names for source in sources if name in source)
    return next((value for value in values if value not in (None, "")), None)


def _id(value: object, size: int) -> str | None:
    """Return an id in hexadecimal; protobuf's own JSON has it as base64. None if it is none."""
    text = text_or_none(value)
    if text is None:
        return None
    match = _HEXADECIMAL.fullmatch(text)
    if match is None:
        try:
            content = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            return text
        text = content.hex() if len(content) == size else text
    else:
        text = match.group(1).casefold()
    return None if _NO_SPAN.fullmatch(text) else text


def _error(row: Row) -> str | None:
    """Return what a span's status says went wrong; None for one that did not fail."""
    status = object_of(row.get("status"))
    code = row.get("status_code") if status is None else _either(status, {}, "code", "status_code")
    if str(code or "").casefold() not in _ERRORS:
        return None
    message = (
        row.get("status_message")
        if status is None
        else status.get("message", status.get("description"))
    )
    return text_or_none(message) or "it ended in an error"
