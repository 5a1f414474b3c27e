"""Conventions for the attributes of spans: OpenTelemetry GenAI, OpenLLMetry, OpenInference, Vercel.

Each place names the attributes of all conventions for one thing; the newest comes first.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from storage.exchange.columns import read_json
from storage.exchange.examples import json_value, list_of, object_of, text_of_value
from storage.exchange.traces.attributes import Attributes, first_of, subtree
from storage.exchange.traces.messages import chat_messages
from storage.exchange.traces.spans import (
    Feedback,
    Kind,
    Message,
    Span,
    count_of,
    finish_of,
    number_of,
    text_or_none,
    token_counts,
    trace_tags,
)

_MODEL_OPERATIONS: Final = frozenset(
    {"chat", "text_completion", "completion", "generate_content", "responses", "message"}
)
_OTHER_OPERATIONS: Final = frozenset(
    {"invoke_agent", "create_agent", "embeddings", "retrieval", "invoke_workflow", "rerank"}
)
_INPUTS: Final = (
    "gen_ai.input.messages",
    "llm.input_messages",
    "gen_ai.prompt",
    "llm.prompts",
    "ai.prompt.messages",
    "ai.prompt",
)
_OUTPUTS: Final = (
    "gen_ai.output.messages",
    "llm.output_messages",
    "gen_ai.completion",
    "llm.completions",
)
_CONVENTIONS: Final = re.compile(r"gen_ai\.|llm\.|ai\.|openinference\.|traceloop\.|input\.value")
_EVENT_ROLES: Final[Mapping[str, str]] = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
    "gen_ai.content.prompt": "user",
}
_ANSWER_EVENTS: Final = frozenset({"gen_ai.choice", "gen_ai.content.completion"})
_SESSIONS: Final = (
    "gen_ai.conversation.id",
    "session.id",
    "langfuse.session.id",
    "traceloop.association.properties.session_id",
    "traceloop.association.properties.conversation_id",
    "ai.telemetry.metadata.sessionId",
)
_ANNOTATIONS: Final[Mapping[str, str]] = {
    "annotations": "annotation",
    "trace.annotations": "annotation",
    "evaluations": "evaluation",
    "trace.evaluations": "evaluation",
}


def is_described(attributes: Attributes) -> bool:
    """Whether some attribute is of a convention for models, agents or tools."""
    return any(_CONVENTIONS.match(key) for key in attributes)


def describe(span: Span, attributes: Attributes) -> None:
    """Fill in what the attributes of a span say."""
    span.messages += _system(attributes) + _request_messages(attributes)
    span.answers += _answers(attributes)
    span.kind = _kind(attributes, span)
    span.model = text_or_none(
        first_of(
            attributes,
            *("gen_ai.response.model", "gen_ai.request.model", "llm.model_name"),
            *("llm.response.model", "llm.request.model", "ai.response.model", "ai.model.id"),
        )
    )
    span.provider = text_or_none(
        first_of(
            attributes,
            *("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system"),
            *("llm.vendor", "ai.model.provider"),
        )
    )
    span.tokens = _tokens(attributes)
    span.cost = number_of(
        first_of(attributes, "llm.cost.total", "gen_ai.usage.cost", "gen_ai.usage.total_cost")
    )
    span.finish = _finish(attributes, span.answers)
    span.session = text_or_none(first_of(attributes, *_SESSIONS))
    span.tags = trace_tags(first_of(attributes, "tag.tags", "langfuse.trace.tags", "tags"))
    span.feedback += _annotations(attributes)
    span.error = span.error or text_or_none(attributes.get("error.type"))
    _describe_step(span, attributes)


def _describe_step(span: Span, attributes: Attributes) -> None:
    """Fill in what went into a tool or a step and came out of it."""
    if span.kind == "tool":
        name = first_of(attributes, "gen_ai.tool.name", "tool.name", "ai.toolCall.name")
        span.name = text_or_none(name) or span.name.removeprefix("execute_tool ")
        span.call_id = text_or_none(first_of(attributes, "gen_ai.tool.call.id", "ai.toolCall.id"))
    inputs = _json_text(attributes.get("traceloop.entity.input")) or first_of(
        attributes,
        *("gen_ai.tool.call.arguments", "ai.toolCall.args"),
        *("langfuse.observation.input", "langfuse.trace.input", "input.value", "tool.parameters"),
    )
    outputs = _json_text(attributes.get("traceloop.entity.output")) or first_of(
        attributes,
        *("gen_ai.tool.call.result", "ai.toolCall.result"),
        *("langfuse.observation.output", "langfuse.trace.output", "output.value"),
    )
    span.input = inputs if inputs is not None or span.kind == "model" else span.messages or None
    span.output = outputs if outputs is not None or span.kind == "model" else span.answers or None


def _json_text(value: object) -> object | None:
    """Return the text that JSON text is; all else as it is."""
    if not isinstance(value, str) or not value.startswith('"'):
        return value
    try:
        return read_json(value)
    except ValueError:
        return value


def read_event(span: Span, name: str, attributes: Attributes, body: object = None) -> None:
    """Add what an event of a span says: messages, answers, feedback, or an error."""
    content = body if body is not None else first_of(attributes, "gen_ai.event.content")
    data = object_of(content) or {}
    fields = {**attributes, **data}
    if name in _EVENT_ROLES or name in _ANSWER_EVENTS:
        _read_message(span, name, fields, content)
    elif name.startswith("gen_ai.evaluation"):
        span.feedback.append(_evaluation(name, fields))
    elif name == "exception":
        span.error = text_or_none(
            first_of(attributes, "exception.message", "exception.type") or span.error
        )
    elif name.startswith("gen_ai.") and name.endswith("operation.details"):
        details = Span(span.trace, span.id)
        describe(details, fields)
        details.kind = "model" if details.messages or details.answers else "step"
        span.complete(details)


def _read_message(span: Span, name: str, fields: Attributes, content: object) -> None:
    if name == "gen_ai.content.prompt":
        span.messages += chat_messages(fields.get("gen_ai.prompt"), "user") or []
        return
    if name == "gen_ai.content.completion":
        span.answers += chat_messages(fields.get("gen_ai.completion"), "assistant") or []
        return
    keys = ("content", "role", "id", "name", "tool_calls", "message", "finish_reason", "parts")
    entry: dict[str, object] = {
        key: subtree(fields, key) if key in ("tool_calls", "message") else fields[key]
        for key in fields
        if key in keys
    }
    if name in _ANSWER_EVENTS:
        answer = entry.get("message", entry)
        answers = chat_messages(answer, "assistant") or []
        finish = text_or_none(entry.get("finish_reason"))
        span.finish = span.finish or finish
        span.answers += answers
    else:
        role = _EVENT_ROLES[name]
        value = entry if entry else content
        span.messages += chat_messages({"role": role, **entry} if entry else value, role) or []
    span.kind = "model"


# ------------------------------------------------------------ parts


def _kind(attributes: Attributes, span: Span) -> Kind:
    operation = str(attributes.get("gen_ai.operation.name") or "").casefold()
    kind = str(
        first_of(attributes, "openinference.span.kind", "traceloop.span.kind", "gen_ai.span.kind")
        or ""
    ).casefold()
    if operation == "execute_tool" or kind == "tool" or "ai.toolCall.name" in attributes:
        return "tool"
    if operation in _OTHER_OPERATIONS or kind in ("agent", "chain", "workflow", "task"):
        return "step"
    if kind in ("embedding", "retriever", "reranker", "guardrail", "evaluator"):
        return "step"
    request = str(attributes.get("llm.request.type") or "").casefold()
    if operation in _MODEL_OPERATIONS or kind == "llm" or request in ("chat", "completion"):
        return "model"
    has_model = any(key in attributes for key in ("gen_ai.request.model", "llm.model_name"))
    return "model" if has_model or span.messages or span.answers else "step"


def _system(attributes: Attributes) -> list[Message]:
    instructions = json_value(first_of(attributes, "gen_ai.system_instructions"))
    messages = chat_messages({"role": "system", "parts": instructions}) if instructions else None
    return messages or []


def _request_messages(attributes: Attributes) -> list[Message]:
    for key in _INPUTS:
        value = subtree(attributes, key)
        messages = chat_messages(value, "user") if value is not None else None
        if messages:
            return messages
    return _events_within(attributes)[0]


def _answers(attributes: Attributes) -> list[Message]:
    for key in _OUTPUTS:
        value = subtree(attributes, key)
        answers = chat_messages(value, "assistant") if value is not None else None
        if answers:
            return answers
    text = first_of(attributes, "ai.response.text", "ai.response.object")
    calls = first_of(attributes, "ai.response.toolCalls")
    if text is not None or calls is not None:
        entry = {"role": "assistant", "content": text, "tool_calls": json_value(calls)}
        return chat_messages(entry) or []
    return _events_within(attributes)[1]


def _events_within(attributes: Attributes) -> tuple[list[Message], list[Message]]:
    """Return messages and answers of events that are kept as JSON in an attribute."""
    span = Span("", "")
    for entry in list_of(attributes.get("events")) or []:
        data = object_of(entry) or {}
        name = str(data.get("event.name") or data.get("name") or "")
        if name in _EVENT_ROLES or name in _ANSWER_EVENTS:
            _read_message(span, name, data, None)
    return span.messages, span.answers


def _tokens(attributes: Attributes) -> dict[str, int]:
    usage = "gen_ai.usage."
    return token_counts(
        input=count_of(
            first_of(
                attributes,
                *(f"{usage}input_tokens", f"{usage}prompt_tokens", "llm.token_count.prompt"),
                *("llm.usage.prompt_tokens", "ai.usage.promptTokens", "ai.usage.inputTokens"),
            )
        ),
        output=count_of(
            first_of(
                attributes,
                *(f"{usage}output_tokens", f"{usage}completion_tokens"),
                *("llm.token_count.completion", "llm.usage.completion_tokens"),
                *("ai.usage.completionTokens", "ai.usage.outputTokens"),
            )
        ),
        total=count_of(
            first_of(
                attributes,
                *(f"{usage}total_tokens", "llm.token_count.total", "llm.usage.total_tokens"),
            )
        ),
        cached=count_of(
            first_of(
                attributes,
                *(f"{usage}cache_read.input_tokens", f"{usage}cache_read_input_tokens"),
                *(f"{usage}cached_tokens", "llm.token_count.prompt_details.cache_read"),
            )
        ),
    )


def _finish(attributes: Attributes, answers: Sequence[Message]) -> str | None:
    reasons = json_value(
        first_of(
            attributes,
            *("gen_ai.response.finish_reasons", "gen_ai.response.finish_reason"),
            *("llm.finish_reason", "ai.response.finishReason", "llm.response.finish_reason"),
            "llm.response.stop_reason",
        )
    )
    entries = list_of(reasons)
    reason = entries[0] if entries else reasons if entries is None else None
    return text_or_none(reason) or finish_of(answers)


def _annotations(attributes: Attributes) -> list[Feedback]:
    feedback: list[Feedback] = []
    for prefix, inner in _ANNOTATIONS.items():
        for entry in list_of(subtree(attributes, prefix)) or []:
            data = object_of(entry) or {}
            feedback.append(_annotation(object_of(data.get(inner)) or data))
    return feedback


def _annotation(data: Mapping[str, object]) -> Feedback:
    author = str(data.get("annotator_kind") or "").casefold()
    authors = {"human": "user", "llm": "evaluator", "code": "evaluator", "": "user"}
    score = data.get("score")
    return Feedback(
        text_or_none(data.get("name")) or "feedback",
        score if isinstance(score, int | float) else text_or_none(data.get("label")),
        text_or_none(data.get("explanation")),
        authors.get(author, author),
    )


def _evaluation(name: str, fields: Attributes) -> Feedback:
    score = first_of(fields, "gen_ai.evaluation.score.value", "gen_ai.evaluation.score")
    label = text_or_none(fields.get("gen_ai.evaluation.score.label"))
    comment = first_of(fields, "gen_ai.evaluation.explanation", "comment")
    title = text_or_none(fields.get("gen_ai.evaluation.name")) or name.rpartition(".")[2]
    is_user = "feedback" in title.casefold()
    return Feedback(
        title,
        score if isinstance(score, int | float) else label,
        None if comment is None else text_of_value(comment),
        "user" if is_user else "evaluator",
    )
