"""A trace's spans as one example: what its root was asked, and what it answered."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from storage.exchange.examples import AnswerRecord, Example, text_of_value
from storage.exchange.traces.conversations import Conversation, sent_messages, stored_messages
from storage.exchange.traces.payloads import (
    answer_of,
    answer_state,
    exchange_text,
    input_of,
    output_of,
    prompt_of,
)
from storage.exchange.traces.spans import Feedback, Message, Span, moment_of
from storage.exchange.traces.user_feedback import feedback_properties, rating_of, thumb_tags
from storage.records import Usage
from storage.records.run import COMPLETE

MOST_SPANS: Final = 20_000
MOST_CHARACTERS: Final = 8_000_000
"""Characters of a trace's messages; a longer one was not an answer to a person."""
_MOST_MESSAGES: Final = 5_000
_MOST_TAGS: Final = 30
_LONGEST_NAME: Final = 200
_ADVICE: Final = (
    "its calls of a model were recorded without their messages; have your instrumentation "
    "record message content, such as OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=true"
)


@dataclass(frozen=True, slots=True)
class RatingRule:
    """Which feedback becomes the rating of a run.

    Attributes:
        name: The feedback's name; None if none does.
        is_stars: Whether its values go beyond 1, so that they are stars and no thumbs.
    """

    name: str | None = None
    is_stars: bool = False


class NoModel(ValueError):
    """A trace in which no model was called and nothing was answered."""


@dataclass(slots=True)
class _Trace:
    """The spans of a trace.

    Attributes:
        spans: Them all, in the order of their start.
        calls: The calls of a model that hold no other such call.
        tops: The spans that no other one holds, and that a model was called in, if there are any.
            A trace whose root is not in its export has several.
    """

    spans: list[Span]
    calls: list[Span]
    tops: list[Span]

    @property
    def root(self) -> Span:
        """What the trace began with; the record of the whole trace, if there is one."""
        return next((span for span in self.tops if span.is_trace), self.tops[0])

    @property
    def error(self) -> str | None:
        """What went wrong: in the root, or else first in the order of their start."""
        return self.root.error or next((span.error for span in self.spans if span.error), None)

    @property
    def last_call(self) -> Span | None:
        """The call whose answer came last; of those with an answer in words, if there are any."""
        calls_with_answer = [call for call in self.calls if call.answers]
        calls_with_words = [
            call for call in calls_with_answer if answer_of(call.answers) and not _only_calls(call)
        ]
        return max(calls_with_words or calls_with_answer, key=_end, default=None)


def example_of_trace(spans: Sequence[Span], format_key: str, rating: RatingRule) -> Example:
    """Return the example of a trace.

    Args:
        spans: Its spans, each id once.
        format_key: The form of the export.
        rating: Which feedback becomes a rating.

    Raises:
        NoModel: No model was called in it, and nothing was answered.
        ValueError: It cannot become a run; the text says why.
    """
    trace = _trace(spans)
    conversation = Conversation()
    for call in trace.calls:
        conversation.add_call(call)
    conversation.add_tools(span for span in trace.spans if span.kind == "tool")
    messages = stored_messages(conversation.messages)
    _check_size(messages)
    question, answer = _question(trace), _answer(trace)
    last = trace.last_call
    text = "" if answer is None else text_of_value(answer)
    state = answer_state(_finish(trace), text, is_refusal=_is_refusal(last))
    if question is None or answer is None:
        raise _unusable(trace, question, state)
    feedback = [entry for span in trace.spans for entry in span.feedback]
    stars, is_thumb = rating_of(feedback, rating.name, is_stars=rating.is_stars)
    return Example(
        question,
        tags=_tags(trace.spans, feedback, state),
        messages=tuple(messages),
        answer=answer,
        record=AnswerRecord(
            id=f"{format_key}:{trace.root.trace}",
            model=_model(trace),
            provider=next((call.provider for call in trace.calls if call.provider), None),
            created_at=_moment(trace),
            usage=_usage(trace),
            reasoning=_reasoning(last),
            rating=stars,
            is_thumb=is_thumb,
            state=state,
            properties=_properties(trace, format_key, feedback),
        ),
    )


def _trace(spans: Sequence[Span]) -> _Trace:
    if len(spans) > MOST_SPANS:
        raise ValueError(f"it has {len(spans):,} spans, more than {MOST_SPANS:,}")
    spans_by_start = sorted(spans, key=lambda span: span.start or 0)
    by_id = {span.id: span for span in spans_by_start}
    wrappers = _wrappers(spans_by_start, by_id)
    models = [span for span in spans_by_start if span.kind == "model"]
    calls = [span for span in models if span.id not in wrappers]
    if not any(call.messages or call.answers for call in calls):
        calls = [span for span in models if span.messages or span.answers] or calls
    tops = [span for span in spans_by_start if span.parent not in by_id or span.parent == span.id]
    model_tops = [
        span for span in tops if span.is_trace or span.kind == "model" or span.id in wrappers
    ]
    is_trace_alone = all(span.is_trace for span in model_tops)
    return _Trace(spans_by_start, calls, (tops if is_trace_alone else model_tops) or spans_by_start)


def _wrappers(spans: Iterable[Span], by_id: Mapping[str, Span]) -> set[str]:
    """Return the ids of the spans that hold a call of a model: they count its tokens again."""
    wrappers: set[str] = set()
    for span in spans:
        if span.kind == "model":
            parent = by_id.get(span.parent or "")
            while parent is not None and parent.id not in wrappers and parent is not span:
                wrappers.add(parent.id)
                parent = by_id.get(parent.parent or "")
    return wrappers


def _question(trace: _Trace) -> object | None:
    """Return what was asked: of the root, or else of the first model."""
    for span in [trace.root, *trace.tops]:
        question = input_of(span.input) if span.kind != "model" else None
        if question is not None:
            return question
    requests = [sent_messages(call) for call in trace.calls]
    texts = (text_of(request) for text_of in (exchange_text, prompt_of) for request in requests)
    return next((text for text in texts if text), None) or input_of(trace.root.input)


def _answer(trace: _Trace) -> object | None:
    """Return what was answered: by the root, or else by what ended last."""
    last_tops = sorted(trace.tops, key=_end, reverse=True)
    for span in [*([trace.root] if trace.root.is_trace else []), *last_tops]:
        if span.kind == "model":
            break
        answer = output_of(span.output)
        if answer is not None:
            return answer
    last = trace.last_call
    return answer_of(last.answers[:1]) if last else output_of(trace.root.output)


def _unusable(trace: _Trace, question: object | None, state: str) -> ValueError:
    """Return why a trace cannot become a run."""
    error = trace.error
    if not trace.calls and trace.root.input is None and trace.root.output is None:
        return NoModel("no model was called in it")
    if not any(call.messages or call.answers for call in trace.calls) and trace.calls and not error:
        return ValueError(_ADVICE)
    missing = "its input is missing" if question is None else f"it has no answer ({state})"
    return ValueError(f"{missing}: {error}" if error else missing)


def _check_size(messages: Sequence[Message]) -> None:
    if len(messages) > _MOST_MESSAGES:
        raise ValueError(f"it has {len(messages):,} messages, more than {_MOST_MESSAGES:,}")
    size = sum(len(str(message.get("content") or "")) for message in messages)
    if size > MOST_CHARACTERS:
        raise ValueError(f"its messages have {size:,} characters, more than {MOST_CHARACTERS:,}")


def _only_calls(call: Span) -> bool:
    return not any(answer.get("content") for answer in call.answers)


def _finish(trace: _Trace) -> str | None:
    return trace.last_call.finish if trace.last_call else None


def _is_refusal(call: Span | None) -> bool:
    return call is not None and any(answer.get("refusal") for answer in call.answers)


def _end(span: Span) -> int:
    return span.end or span.start or 0


def _model(trace: _Trace) -> str | None:
    last = trace.last_call
    models = [last.model if last else None, *(call.model for call in trace.calls)]
    return next((model for model in models if model), None)


def _moment(trace: _Trace) -> datetime | None:
    starts = [span.start for span in (trace.root, *trace.spans) if span.start]
    return moment_of(starts[0]) if starts else None


def _reasoning(call: Span | None) -> str | None:
    thoughts = [answer.get("reasoning_content") for answer in (call.answers[:1] if call else [])]
    return str(thoughts[0]) if thoughts and thoughts[0] else None


def _usage(trace: _Trace) -> Usage | None:
    """Return the tokens and the cost of the model's calls; those of the root if they have none."""
    token_spans = [call for call in trace.calls if call.tokens] or [
        span for span in trace.spans if span.tokens
    ][:1]
    latencies = [call.latency for call in trace.calls if call.latency is not None]
    usage = Usage(
        input_tokens=_total(token_spans, "input"),
        output_tokens=_total(token_spans, "output"),
        total_tokens=_total(token_spans, "total") or _sum_of_both(token_spans),
        cached_tokens=_total(token_spans, "cached"),
        cost=_cost(trace),
        total_llm_latency_ms=sum(latencies) if latencies else None,
    )
    return None if usage == Usage() else usage


def _total(spans: Sequence[Span], name: str) -> int | None:
    counts = [span.tokens[name] for span in spans if name in span.tokens]
    return sum(counts) if counts else None


def _sum_of_both(spans: Sequence[Span]) -> int | None:
    counts = [_total(spans, "input"), _total(spans, "output")]
    return sum(filter(None, counts)) if any(count is not None for count in counts) else None


def _cost(trace: _Trace) -> float | None:
    """Return the root's cost, or the calls' if each that counts tokens has one."""
    if trace.root.is_trace and trace.root.cost is not None:
        return trace.root.cost
    costs = [call.cost for call in trace.calls if call.tokens or call.cost is not None]
    if costs and all(cost is not None for cost in costs):
        return sum(filter(None, costs))
    return trace.root.cost


def _tags(spans: Sequence[Span], feedback: Sequence[Feedback], state: str) -> tuple[str, ...]:
    tags = dict.fromkeys(tag for span in spans for tag in span.tags)
    own = [
        "production",
        *thumb_tags(feedback),
        *([f"answer_{state}"] if state != COMPLETE else []),
    ]
    return tuple(dict.fromkeys([*own, *list(tags)[:_MOST_TAGS]]))


def _properties(
    trace: _Trace, format_key: str, feedback: Sequence[Feedback]
) -> Mapping[str, str | int | float]:
    root = trace.root
    session = next((span.session for span in trace.spans if span.session), None)
    error = trace.error
    optional: dict[str, str | int | float | None] = {
        "trace_format": format_key,
        "trace_id": root.trace,
        "trace_name": root.name[:_LONGEST_NAME] or None,
        "session_id": session and session[:_LONGEST_NAME],
        "latency_ms": root.latency,
        "model_calls": len(trace.calls),
        "tool_calls": sum(span.kind == "tool" for span in trace.spans) or None,
        "trace_error": error and error[:_LONGEST_NAME],
        "finish_reason": _finish(trace),
        **feedback_properties(feedback),
    }
    return {key: value for key, value in optional.items() if value is not None and value != ""}
