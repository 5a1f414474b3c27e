"""Traces of production as examples: OpenTelemetry, Langfuse, LangSmith and OpenAI's own objects.

A module for each form reads rows as spans. Spans of a trace may lie in any rows and any order. Each
trace becomes one example: what its root was asked, what was answered, and the conversation of its
models, each message once. Answers are never taken for right; feedback of users stays theirs.
"""

from storage.exchange.traces.trace_examples import (
    FORMATS,
    TraceFormat,
    examples_of_traces,
    trace_format_of,
)

__all__ = ["FORMATS", "TraceFormat", "examples_of_traces", "trace_format_of"]
