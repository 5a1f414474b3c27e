"""Broken, scattered and secret-bearing traces."""

import copy
import json
import tracemalloc
from collections.abc import Iterator, Mapping
from random import Random
from typing import cast

import pytest

import trace_exports as exports
from storage.exchange.examples import Example
from storage.exchange.traces import examples_of_traces, trace_format_of
from table_items import examples_and_faults

Row = Mapping[str, object]


def test_what_is_broken_is_named_and_the_remaining_traces_go_in() -> None:
    good = exports.chat_span()
    backwards = exports.chat_span(2, trace="b" * 32)
    backwards["endTimeUnixNano"] = "1"
    failure = exports.span(
        3,
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.input.messages": '[{"role":"user","parts":[{"type":"text","content":"x"}]}]',
        },
        trace="c" * 32,
    )
    failure["status"] = {"code": 2, "message": f"401 for {exports.SECRET}"}
    examples, bad = examples_and_faults(
        [
            exports.otlp(good),
            exports.otlp(good),
            exports.otlp({**good, "traceId": ""}),
            exports.otlp(backwards),
            exports.otlp(failure),
            {"resourceSpans": ["x", {"scopeSpans": [{"spans": ["x"]}]}]},
            "it is no JSON",
        ]
    )
    assert [example.answer for example in examples] == ["Hello", "Hello"]
    assert sorted(bad) == [
        (2, "the span 0000000000000001 is there more than once; the first one counts"),
        (3, "the span 'span' has no trace id"),
        (4, "the span 0000000000000002 ends before it starts; its time is not used"),
        (5, f"the trace {'c' * 32}: it has no answer (empty): 401 for …"),
        (6, "a span of it is no object"),
        (6, "an entry of its resources is no object"),
        (7, "it is no JSON"),
    ]


def test_calls_without_recorded_messages_say_how_to_record_them() -> None:
    examples, bad = examples_and_faults(
        [exports.otlp(exports.span(1, {"gen_ai.request.model": "m"}))]
    )
    assert examples == []
    assert "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=true" in bad[0][1]


def test_traces_that_call_no_model_are_counted_in_one_line() -> None:
    web_traces = [
        exports.otlp(exports.span(1, {"http.route": "/"}, trace=f"{number:032x}"))
        for number in range(1, 4)
    ]
    examples, bad = examples_and_faults([*web_traces, exports.otlp(exports.chat_span())])
    assert len(examples) == 1
    ((_, reason),) = bad
    assert reason.startswith("3 traces call no model and answer nothing")


def test_a_cycle_of_parents_ends() -> None:
    first, second = exports.chat_span(1), exports.chat_span(2)
    first["parentSpanId"], second["parentSpanId"] = second["spanId"], first["spanId"]
    examples, _ = examples_and_faults([exports.otlp(first, second)])
    assert len(examples) == 1


def test_a_model_call_that_wraps_another_is_counted_once() -> None:
    outer = exports.chat_span(1, more={"gen_ai.usage.input_tokens": 7})
    inner = exports.chat_span(2, more={"gen_ai.usage.input_tokens": 7})
    inner["parentSpanId"] = outer["spanId"]
    (example,), _ = examples_and_faults([exports.otlp(outer, inner)])
    assert example.record is not None
    assert example.record.usage is not None
    assert example.record.usage.input_tokens == 7
    assert [message["role"] for message in example.messages] == ["user", "assistant"]


@pytest.mark.parametrize("rating", [None, "user-thumbs"])
def test_what_a_user_said_is_a_rating_only_where_somebody_maps_it(rating: str | None) -> None:
    (example,), _ = examples_and_faults([exports.langfuse_trace()], rating)
    assert example.record is not None
    assert example.record.rating == (None if rating is None else 0)
    assert example.record.is_thumb == (rating is not None)


def test_a_score_that_is_no_rating_is_named_when_it_is_mapped() -> None:
    examples, bad = examples_and_faults([exports.langfuse_trace()], "helpfulness")
    assert examples == []
    assert "its feedback 'helpfulness' is 0.9, which is no rating" in bad[0][1]


def test_no_secret_of_an_export_is_in_its_examples() -> None:
    secrets = {
        "authorization": f"Bearer {exports.SECRET}",
        "x-api-key": "0123456789abcdef",
        "password": "hunter2!",
    }
    answer = f"Use Authorization: Basic dXNlcjpwYXNzd29yZA== and {exports.SECRET}"
    call = {"type": "tool_call", "id": "1", "name": "f", "arguments": {"headers": secrets}}
    parts = [exports.text_part(answer), call]
    messages = json.dumps([exports.part_message("assistant", *parts)])
    rows = [
        exports.otlp(exports.chat_span(more={"gen_ai.output.messages": messages})),
        exports.otlp(*exports.agent_spans("d" * 32)),
    ]
    texts = [repr(examples_and_faults(rows)), repr(examples_and_faults([exports.langfuse_trace()]))]
    texts.append(repr(examples_and_faults(exports.langsmith_runs())))
    for secret in (exports.SECRET, *secrets.values(), "dXNlcjpwYXNzd29yZA"):
        assert not [text for text in texts if secret in text]


def test_a_word_that_is_called_token_is_no_secret() -> None:
    row = exports.response_object(input='{"token": "dog", "max_tokens": 3}')
    (example,), _ = examples_and_faults([row])
    assert example.input == '{"token": "dog", "max_tokens": 3}'


def test_pictures_are_named_and_not_kept() -> None:
    parts = [
        {"type": "input_text", "text": "What is it?"},
        {"type": "input_image", "image_url": "data:image/png;base64," + "A" * 1000},
    ]
    row = exports.response_object(input=[{"role": "user", "content": parts}])
    (example,), _ = examples_and_faults([row])
    assert example.input == "What is it?\n[input_image]"


@pytest.mark.slow
def test_scattered_spans_of_many_traces_take_little_memory() -> None:
    """The spans of each trace lie a whole export apart."""
    count, text = 4_000, "word " * 400

    def rows() -> Iterator[tuple[int, Row]]:
        for start in (1, 2):
            for number in range(count):
                entry = exports.chat_span(start, text, trace=f"{number + 1:032x}")
                yield number, exports.otlp(entry)

    form = trace_format_of([exports.otlp(exports.chat_span())])
    assert form is not None
    tracemalloc.start()
    results = (result for _, result in examples_of_traces(rows(), form))
    example_count = sum(isinstance(result, Example) for result in results)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert example_count == count
    assert peak < 4_000_000


_JUNK: list[object] = [
    None,
    True,
    -1,
    1e400,
    "",
    "[",
    "[[]]",
    [None],
    {"a": None},
    "\ud800",
    10**400,
]


def _places(value: object) -> Iterator[tuple[dict[str, object], str]]:
    """Yield each member of the objects in a value."""
    if isinstance(value, dict):
        members = cast("dict[str, object]", value)
        for key, entry in members.items():
            yield members, key
            yield from _places(entry)
    elif isinstance(value, list):
        for entry in cast("list[object]", value):
            yield from _places(entry)


@pytest.mark.parametrize("seed", range(100))
def test_no_junk_in_an_export_stops_the_remaining_traces(seed: int) -> None:
    random = Random(seed)
    exports_of_all: list[list[dict[str, object]]] = [
        [exports.otlp(*exports.agent_spans())],
        [exports.langfuse_trace()],
        exports.langsmith_runs(),
        [exports.response_object()],
    ]
    rows = random.choice(exports_of_all)
    good_row = copy.deepcopy(rows[0])
    form = trace_format_of([good_row])
    assert form is not None
    for _ in range(3):
        members, key = random.choice(list(_places(random.choice(rows))))
        members[key] = copy.deepcopy(random.choice(_JUNK))
    numbered = enumerate([*rows, exports.otlp(exports.chat_span(trace="e" * 32))], start=1)
    results = [result for _, result in examples_of_traces(numbered, form)]
    assert results
    if form.key == "opentelemetry":
        assert any(isinstance(result, Example) for result in results)


def test_a_trace_without_its_root_begins_with_its_first_step_and_ends_with_its_last() -> None:
    def step(number: int, start: int, **texts: str) -> dict[str, object]:
        attributes = {f"{name}.value": text for name, text in texts.items()}
        kind = {"openinference.span.kind": "RETRIEVER" if number == 1 else "CHAIN"}
        return exports.span(number, {**kind, **attributes}, parent=99, start=start)

    call = exports.chat_span(4)
    call["parentSpanId"] = f"{3:016x}"
    spans = [
        step(1, 0, input="query", output="documents"),
        step(2, 1, input="rank", output="ranks"),
        step(3, 2, input="What is it?", output="It is this."),
        call,
    ]
    (example,), bad = examples_and_faults([exports.otlp(*spans)])
    assert bad == []
    assert (example.input, example.answer) == ("What is it?", "It is this.")


def test_a_prompt_that_is_all_in_the_system_message_is_the_input() -> None:
    sent = [{"role": "system", "content": "Say the capital of France."}]
    (example,), _ = examples_and_faults([exports.stored_completion("Paris", messages=sent)])
    assert (example.input, example.answer) == ("Say the capital of France.", "Paris")
