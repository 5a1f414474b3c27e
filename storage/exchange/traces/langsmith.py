"""LangSmith: runs with parents and children, their feedback, and the messages of LangChain."""

from collections.abc import Iterator, Mapping
from typing import Final

from storage.exchange.columns import Row
from storage.exchange.examples import list_of, object_of
from storage.exchange.traces.messages import chat_messages, messages_or_text
from storage.exchange.traces.payloads import member
from storage.exchange.traces.spans import (
    Feedback,
    Kind,
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

_KINDS: Final[Mapping[str, Kind]] = {"llm": "model", "chat_model": "model", "tool": "tool"}
_SESSIONS: Final = ("session_id", "thread_id", "conversation_id")
"""Members of a run's metadata that name its thread."""
_MOST_RUNS_DEEP: Final = 200
_STAT_FIELDS: Final = frozenset({"n", "avg", "values", "comments"})


class LangSmith:
    """Runs of LangSmith: one a row, with their children in rows of their own or below them."""

    name = "LangSmith runs"
    key = "langsmith"

    def fits(self, row: Row) -> bool:
        """Whether a row is a run, feedback on one, or a list of runs."""
        runs = list_of(row.get("runs"))
        first = object_of(runs[0]) if runs else None
        return _is_run(row) or _is_feedback(row) or (first is not None and _is_run(first))

    def pieces(self, row: Row) -> Iterator[Span | str]:
        """Return the spans of a row, or what is wrong with it."""
        if _is_feedback(row):
            yield _feedback_row(row)
            return
        runs = list_of(row.get("runs")) if not _is_run(row) else [dict(row)]
        for entry in runs or []:
            run = object_of(entry)
            if run is None:
                yield "a run of it is no object"
            else:
                yield from _run(run, None, None)
        if not runs:
            yield "it is no run"


def _is_run(row: Row) -> bool:
    return "run_type" in row and bool({"id", "trace_id", "dotted_order"} & row.keys())


def _is_feedback(row: Row) -> bool:
    return {"key", "run_id"} <= row.keys() and bool({"score", "value", "comment"} & row.keys())


def _run(
    run: Mapping[str, object], trace: str | None, parent: str | None, depth: int = 0
) -> Iterator[Span | str]:
    """Return the spans of a run and of the runs below it."""
    span_id = text_or_none(run.get("id"))
    if span_id is None:
        yield f"the run {text_or_none(run.get('name')) or ''!r} has no id"
        return
    parent = text_or_none(run.get("parent_run_id")) or parent
    order = (text_or_none(run.get("dotted_order")) or "").split(".")
    # The last 36 characters of a step of the order are the run's id.
    trace = text_or_none(run.get("trace_id")) or trace or order[0][-36:] or span_id
    if parent is None and len(order) > 1:
        parent = order[-2][-36:]
    span = Span(trace, span_id, parent, _KINDS.get(str(run.get("run_type")), "step"))
    _describe(span, run)
    yield span
    for entry in list_of(run.get("child_runs")) or []:
        child = object_of(entry)
        if child is None or depth > _MOST_RUNS_DEEP:
            yield "a run below it is no object, or lies too deep"
        else:
            yield from _run(child, trace, span_id, depth + 1)


def _describe(span: Span, run: Mapping[str, object]) -> None:
    metadata = object_of(member(run, "extra", "metadata")) or object_of(run.get("metadata")) or {}
    parameters = object_of(member(run, "extra", "invocation_params")) or {}
    span.name = text_or_none(run.get("name")) or ""
    span.start, span.end = time_of(run.get("start_time")), time_of(run.get("end_time"))
    span.input, span.output = run.get("inputs"), run.get("outputs")
    span.error = text_or_none(run.get("error"))
    span.session = first_text(metadata.get(key) for key in _SESSIONS)
    span.tags = trace_tags(run.get("tags"))
    span.feedback = list(_stats(run.get("feedback_stats")))
    if span.kind == "tool":
        span.call_id = text_or_none(member(run, "outputs", "output", "tool_call_id"))
    if span.kind != "model":
        return
    span.messages = _request_messages(run.get("inputs"))
    span.answers = _answers(run.get("outputs"))
    model = metadata.get("ls_model_name") or parameters.get("model") or parameters.get("model_name")
    span.model = text_or_none(model)
    span.provider = text_or_none(metadata.get("ls_provider"))
    span.tokens = _tokens(run)
    span.cost = number_of(run.get("total_cost")) or None
    span.finish = finish_of(span.answers)


def _request_messages(inputs: object) -> list[Message]:
    data = object_of(inputs) or {}
    prompts = list_of(data.get("prompts")) or []
    if prompts:
        return chat_messages(prompts[0], "user") or []
    return chat_messages(data) or messages_or_text(_only_member(data, "input"), "user")


def _answers(outputs: object) -> list[Message]:
    data = object_of(outputs) or {}
    for value in (data, data.get("message"), data.get("output"), data.get("generations")):
        answers = chat_messages(value, "assistant") if value is not None else None
        if answers:
            # A response may repeat what was sent; its own message is the last.
            return answers[-1:]
    return messages_or_text(_only_member(data, "output"), "assistant")


def _only_member(data: Mapping[str, object], name: str) -> object:
    """Return the member of a name if there is no other, and the object itself if there is."""
    return data[name] if list(data) == [name] else dict(data)


def _tokens(run: Mapping[str, object]) -> dict[str, int]:
    usage = object_of(member(run, "outputs", "usage_metadata")) or _usage_within(run)
    details = object_of(usage.get("input_token_details")) or {}
    return token_counts(
        input=count_of(run.get("prompt_tokens"), usage.get("input_tokens")),
        output=count_of(run.get("completion_tokens"), usage.get("output_tokens")),
        total=count_of(run.get("total_tokens"), usage.get("total_tokens")),
        cached=count_of(
            details.get("cache_read"),
            member(run, "prompt_token_details", "cache_read"),
        ),
    )


def _usage_within(run: Mapping[str, object]) -> Mapping[str, object]:
    """Return the usage that LangChain keeps with its message, or its model's output."""
    entry: object = member(run, "outputs", "generations")
    while (entries := list_of(entry)) is not None:
        entry = entries[0] if entries else None
    message = object_of(member(object_of(entry) or {}, "message", "kwargs", "usage_metadata"))
    usage = object_of(member(run, "outputs", "llm_output", "token_usage")) or {}
    names = {"prompt_tokens": "input_tokens", "completion_tokens": "output_tokens"}
    return message or {names.get(key, key): count for key, count in usage.items()}


def _stats(value: object) -> Iterator[Feedback]:
    """Return what was said about a run: for each key the mean score, words, and comments."""
    for name, entry in (object_of(value) or {}).items():
        stats = object_of(entry)
        if stats is None or not _STAT_FIELDS & stats.keys() or count_of(stats.get("n")) == 0:
            continue
        words = list(object_of(stats.get("values")) or {})
        mean = stats.get("avg")
        is_number = isinstance(mean, int | float)
        comments = [text for text in map(_comment, list_of(stats.get("comments")) or []) if text]
        yield Feedback(
            name,
            mean if is_number else ", ".join(words) or None,
            "\n".join(comments) or None,
            _author(list_of(stats.get("sources")) or []),
        )


def _comment(value: object) -> str | None:
    data = object_of(value)
    return text_or_none(value if data is None else data.get("comment"))


def _author(sources: list[object]) -> str:
    kinds = {str((object_of(source) or {"type": source}).get("type")) for source in sources}
    return "evaluator" if kinds & {"model", "auto_eval"} else "user"


def _feedback_row(row: Row) -> Span | str:
    run_id = text_or_none(row.get("run_id"))
    if run_id is None:
        return "the feedback has no run_id"
    trace = text_or_none(row.get("trace_id")) or run_id
    span = Span(trace, run_id, is_fragment=True)
    score = row.get("score")
    is_score = isinstance(score, bool | int | float)
    span.feedback = [
        Feedback(
            text_or_none(row.get("key")) or "feedback",
            score if is_score else text_or_none(row.get("value")),
            text_or_none(row.get("comment")),
            _author([row.get("feedback_source")] if row.get("feedback_source") else []),
        )
    ]
    return span
