"""Each form of exports of traces, as one example a trace."""

import json
from collections.abc import Mapping, Sequence

import pytest

import trace_exports as exports
from storage.exchange.examples import AnswerRecord, Example
from storage.records import Usage
from table_items import examples_and_faults

Row = Mapping[str, object]


def _only(rows: Sequence[Row]) -> tuple[Example, AnswerRecord]:
    (example,), bad = examples_and_faults(rows)
    assert bad == []
    assert example.record is not None
    return example, example.record


def _roles(example: Example) -> list[str]:
    return [str(message["role"]) for message in example.messages]


_AGENT_ROLES = ["user", "assistant", "tool", "assistant"]


def test_an_agents_spans_in_any_order_are_one_run_whose_tokens_count_once() -> None:
    example, record = _only([exports.otlp(entry) for entry in exports.agent_spans()])
    assert (example.input, example.answer, example.reference) == (
        "Weather in Paris?",
        "It rains.",
        None,
    )
    assert _roles(example) == _AGENT_ROLES
    assert example.messages[2] == {"role": "tool", "tool_call_id": "call_1", "content": "rainy"}
    assert (record.model, record.provider, record.state) == ("gpt-4o", "openai", "complete")
    assert record.usage == Usage(
        input_tokens=100, output_tokens=15, total_tokens=115, total_llm_latency_ms=3000
    )
    assert record.properties["session_id"] == "conversation-7"
    assert (record.properties["latency_ms"], record.properties["model_calls"]) == (7000, 2)
    assert record.created_at is not None
    assert record.created_at.timestamp() == 1_780_000_000


_SYSTEM_EVENT = exports.event(
    "gen_ai.system.message", {"gen_ai.event.content": json.dumps({"content": "Be brief."})}
)
_USER_EVENT = exports.event("gen_ai.user.message", {"content": "Hi", "role": "user"})
_CHOICE = {"index": 0, "finish_reason": "length", "message": {"content": "Hello th"}}
_CHOICE_EVENT = exports.event("gen_ai.choice", {"gen_ai.event.content": json.dumps(_CHOICE)})
_OLD_EVENTS = [
    exports.event("gen_ai.content.prompt", {"gen_ai.prompt": '[{"role":"user","content":"Hi"}]'}),
    exports.event(
        "gen_ai.content.completion",
        {"gen_ai.completion": '[{"role":"assistant","content":"Hello th"}]'},
    ),
]
_MODEL = {"gen_ai.operation.name": "chat", "gen_ai.system": "openai", "gen_ai.request.model": "m"}


@pytest.mark.parametrize(
    "entry",
    [
        exports.span(1, _MODEL, events=[_SYSTEM_EVENT, _USER_EVENT, _CHOICE_EVENT]),
        exports.span(
            1, {**_MODEL, "gen_ai.response.finish_reasons": ["length"]}, events=_OLD_EVENTS
        ),
        exports.span(
            1,
            {
                "llm.request.type": "chat",
                "gen_ai.prompt.0.role": "user",
                "gen_ai.prompt.0.content": "Hi",
                "gen_ai.completion.0.role": "assistant",
                "gen_ai.completion.0.content": "Hello th",
                "gen_ai.completion.0.finish_reason": "length",
                "gen_ai.response.model": "m",
            },
        ),
        exports.span(
            1,
            {
                "openinference.span.kind": "LLM",
                "llm.model_name": "m",
                "llm.input_messages.0.message.role": "user",
                "llm.input_messages.0.message.contents.0.message_content.type": "text",
                "llm.input_messages.0.message.contents.0.message_content.text": "Hi",
                "llm.output_messages.0.message.role": "assistant",
                "llm.output_messages.0.message.content": "Hello th",
                "llm.finish_reason": "length",
            },
        ),
        exports.span(
            1,
            {
                "ai.operationId": "ai.generateText.doGenerate",
                "ai.model.id": "m",
                "ai.prompt.messages": '[{"role":"user","content":[{"type":"text","text":"Hi"}]}]',
                "ai.response.text": "Hello th",
                "ai.response.finishReason": "length",
            },
        ),
    ],
    ids=["events", "oldest events", "openllmetry", "openinference", "vercel"],
)
def test_each_convention_of_spans_gives_the_same_run(entry: Row) -> None:
    example, record = _only([exports.otlp(dict(entry))])
    assert (example.input, example.answer) == ("Hi", "Hello th")
    assert (record.model, record.state) == ("m", "truncated")
    assert "answer_truncated" in example.tags
    assert _roles(example)[-2:] == ["user", "assistant"]


def test_messages_in_logs_complete_the_span_that_they_name() -> None:
    def log(name: str, body: Row, **more: object) -> dict[str, object]:
        values = {"event.name": name, **more}
        return {
            "timeUnixNano": "1780000000000000000",
            "traceId": exports.TRACE,
            "spanId": f"{1:016x}",
            "attributes": [exports.key_value(key, value) for key, value in values.items()],
            "body": exports.typed_value(dict(body)),
        }

    choice: dict[str, object] = {"index": 0, "finish_reason": "stop", "message": {"content": "Yo"}}
    records = [
        log("gen_ai.user.message", {"content": "Hi"}),
        log("gen_ai.choice", choice),
        log(
            "gen_ai.evaluation.user_feedback",
            {"comment": "rude"},
            **{"gen_ai.evaluation.score": -1.0},
        ),
    ]
    logs = {"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}
    example, record = _only([logs, exports.otlp(exports.span(1, _MODEL))])
    assert (example.input, example.answer, record.model) == ("Hi", "Yo", "m")
    assert "user_thumb_down" in example.tags
    (feedback,) = json.loads(str(record.properties["feedback"]))
    assert feedback["comment"] == "rude"


def test_the_spans_of_an_sdks_console_and_of_phoenix_are_read() -> None:
    context = {"trace_id": f"0x{exports.TRACE}", "span_id": "0x00f067aa0ba902b7"}
    console = {
        "name": "chat",
        "context": context,
        "parent_id": None,
        "start_time": "2026-05-01T10:00:00.000000Z",
        "end_time": "2026-05-01T10:00:01.000000Z",
        "status": {"status_code": "UNSET"},
        "attributes": {**_MODEL, "gen_ai.usage.input_tokens": 3},
        "events": [
            {"name": "gen_ai.user.message", "attributes": {"content": "Hi"}},
            {"name": "gen_ai.choice", "attributes": {"message": '{"content": "Yo"}'}},
        ],
    }
    phoenix = {
        "name": "llm",
        "context.trace_id": exports.TRACE,
        "context.span_id": "00f067aa0ba902b7",
        "parent_id": None,
        "start_time": "2026-05-01T10:00:00+00:00",
        "end_time": "2026-05-01T10:00:01+00:00",
        "attributes.openinference.span.kind": "LLM",
        "attributes.llm.input_messages": [{"message.role": "user", "message.content": "Hi"}],
        "attributes.llm.output_messages": [{"message.role": "assistant", "message.content": "Yo"}],
        "attributes.llm.token_count": {"prompt": 3},
    }
    for row in (console, phoenix):
        example, record = _only([row])
        assert (example.input, example.answer) == ("Hi", "Yo")
        assert record.usage is not None
        assert (record.usage.input_tokens, record.usage.total_llm_latency_ms) == (3, 1000)


def test_the_root_of_a_workflow_says_what_was_asked_and_its_model_what_it_was_sent() -> None:
    workflow = {
        "traceloop.span.kind": "workflow",
        "traceloop.entity.input": json.dumps({"args": [], "kwargs": {"question": "Refund?"}}),
        "traceloop.entity.output": json.dumps("Within 30 days."),
    }
    model = {
        "llm.request.type": "chat",
        "gen_ai.prompt.0.role": "user",
        "gen_ai.prompt.0.content": "Documents … Question: Refund?",
        "gen_ai.completion.0.content": "Within 30 days.",
    }
    rows = [exports.otlp(exports.span(2, model, parent=1), exports.span(1, workflow))]
    example, _ = _only(rows)
    assert (example.input, example.answer) == ("Refund?", "Within 30 days.")
    assert example.messages[0]["content"] == "Documents … Question: Refund?"


def test_a_call_of_a_function_in_place_of_words_is_the_answer() -> None:
    call = {"type": "tool_call", "id": "1", "name": "classify", "arguments": {"label": "spam"}}
    answer = json.dumps([exports.part_message("assistant", call)])
    rows = [exports.otlp(exports.chat_span(more={"gen_ai.output.messages": answer}))]
    example, record = _only(rows)
    assert json.loads(str(example.answer)) == {"label": "spam"}
    assert record.state == "complete"


# ------------------------------------------------------------ Langfuse


def test_a_langfuse_trace_keeps_its_tools_its_cost_and_what_its_user_said() -> None:
    example, record = _only([exports.langfuse_trace()])
    assert (example.input, example.answer) == ("Where is my order?", "On its way.")
    assert _roles(example) == ["system", *_AGENT_ROLES]
    assert example.messages[3]["content"] == '{"s": "sent"}'
    assert record.usage == Usage(
        input_tokens=30, output_tokens=8, total_tokens=38, cost=0.004, total_llm_latency_ms=2000
    )
    assert {"vip", "beta_test", "user_thumb_down"} <= set(example.tags)
    assert (record.rating, record.properties["session_id"]) == (None, "session-1")
    feedback = json.loads(str(record.properties["feedback"]))
    assert [(entry["name"], entry["author"]) for entry in feedback] == [
        ("user-thumbs", "user"),
        ("helpfulness", "evaluator"),
    ]


def test_langfuse_rows_of_their_own_in_its_storages_spelling_are_one_trace() -> None:
    observation = {
        "id": "o9",
        "trace_id": "t9",
        "type": "GENERATION",
        "start_time": "2026-05-01 10:00:00.000000",
        "end_time": "2026-05-01 10:00:01.500000",
        "parent_observation_id": None,
        "input": "Say hi",
        "output": "hi",
        "provided_model_name": "claude-sonnet-4",
        "usage_details": '{"input": 1, "output": 2, "total": 3}',
        "cost_details": {"total": "0.01"},
        "session_id": "s",
        "level": "DEFAULT",
    }
    score = {"id": "x", "trace_id": "t9", "name": "stars", "value": 4, "data_type": "NUMERIC"}
    (example,), bad = examples_and_faults([score, observation], rating="stars")
    assert bad == []
    assert example.record is not None
    assert (example.input, example.answer, example.record.model) == (
        "Say hi",
        "hi",
        "claude-sonnet-4",
    )
    assert (example.record.rating, example.record.is_thumb) == (4, False)
    assert example.record.usage is not None
    assert (example.record.usage.cost, example.record.usage.total_llm_latency_ms) == (0.01, 1500)


def test_a_row_of_langfuses_table_of_traces_is_a_run_by_itself() -> None:
    row = {
        "id": "t",
        "timestamp": "2026-05-01T10:00:00Z",
        "name": "chat",
        "userId": "u",
        "sessionId": "s",
        "input": '{"messages": [{"role": "user", "content": "Q"}]}',
        "output": '{"role": "assistant", "content": "A"}',
        "tags": '["x"]',
        "latency": "1.2",
        "totalCost": "0.1",
    }
    example, record = _only([row])
    assert (example.input, example.answer) == ("Q", "A")
    assert record.usage == Usage(cost=0.1)
    assert record.properties["latency_ms"] == 1200


# ------------------------------------------------------------ LangSmith


def test_langsmith_runs_are_one_trace_with_the_messages_of_langchain() -> None:
    example, record = _only(exports.langsmith_runs())
    assert (example.input, example.answer) == ("2+2?", "4")
    assert _roles(example) == ["system", *_AGENT_ROLES]
    assert (record.model, record.provider) == ("gpt-4o", "openai")
    assert record.usage == Usage(
        input_tokens=22, output_tokens=8, total_tokens=30, total_llm_latency_ms=2000
    )
    assert record.properties["session_id"] == "thread-1"
    assert json.loads(str(record.properties["feedback"])) == [
        {"name": "user_score", "value": 1.0, "comment": "nice", "author": "user"}
    ]


def test_langsmith_runs_below_their_parents_and_by_their_order_are_read() -> None:
    root, last, tool, first = exports.langsmith_runs()
    nested = {**root, "child_runs": [first, tool, last]}
    ordered: list[Row] = []
    for run in (root, last, tool, first):
        path = [f"20260501T100000000000Z{name}" for name in (root["id"], run["id"])]
        order = ".".join(path[: 1 if run is root else 2])
        left_out = ("trace_id", "parent_run_id")
        fields = {key: value for key, value in run.items() if key not in left_out}
        ordered.append({**fields, "dotted_order": order})
    for rows in ([nested], ordered):
        example, _ = _only(rows)
        assert _roles(example) == ["system", *_AGENT_ROLES]


# ------------------------------------------------------------ OpenAI


def test_a_stored_completion_is_joined_with_its_messages_in_their_order() -> None:
    rows = [
        {"object": "list", "data": [exports.stored_completion()], "has_more": False},
        {
            "object": "list",
            "data": [
                {"id": "chatcmpl-abc-1", "role": "user", "content": "Write a haiku."},
                {"id": "chatcmpl-abc-0", "role": "developer", "content": "You are a poet."},
            ],
        },
    ]
    example, record = _only(rows)
    assert (example.input, example.answer) == ("Write a haiku.", "Leaves fall.")
    assert _roles(example) == ["developer", "user", "assistant"]
    assert record.usage == Usage(input_tokens=13, output_tokens=18, total_tokens=31)
    assert record.properties["session_id"] == "session-3"


def test_a_completion_without_what_was_sent_is_named() -> None:
    examples, bad = examples_and_faults([exports.stored_completion()])
    assert examples == []
    assert bad == [(1, "the trace chatcmpl-abc: its input is missing")]


def test_a_response_keeps_its_thought_its_instructions_and_why_it_ended() -> None:
    cut = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    example, record = _only([exports.response_object(**cut)])
    assert (example.input, example.answer) == ("Tell a story.", "In a land")
    assert (record.state, record.reasoning) == ("truncated", "A story.")
    assert _roles(example) == ["system", "user", "assistant"]
    assert record.usage is not None
    assert record.usage.cached_tokens == 4


def test_responses_that_answer_tools_are_one_run_with_what_asked_for_them() -> None:
    call = {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"}
    result = {"type": "function_call_output", "call_id": "c1", "output": "found"}
    first = exports.response_object(id="resp_1", output=[call])
    second = exports.response_object(
        id="resp_2",
        created_at=1_741_476_543,
        previous_response_id="resp_1",
        input=[result],
        output=[{**call, "call_id": "c2"}],
    )
    third = exports.response_object(
        id="resp_3",
        created_at=1_741_476_544,
        previous_response_id="resp_2",
        input=[{**result, "call_id": "c2"}],
    )
    for rows in ([first, second, third], [third, first, second], [second, third, first]):
        example, record = _only(rows)
        assert (example.input, example.answer) == ("Tell a story.", "In a land")
        assert record.properties["model_calls"] == 3
        assert record.id == "openai:resp_1"
        roles = [role for role in _roles(example) if role != "system"]
        assert roles == ["user", "assistant", "tool", "assistant", "tool", "assistant"]


def test_a_circle_of_responses_ends() -> None:
    result = {"type": "function_call_output", "call_id": "c1", "output": "found"}
    rows = [
        exports.response_object(id=name, previous_response_id=other, input=[result])
        for name, other in (("a", "b"), ("b", "a"), ("c", "c"))
    ]
    examples, bad = examples_and_faults(rows)
    assert len(examples) + len(bad) == 2


def test_the_answers_of_a_batch_find_their_requests() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "One"}]}
    request = {"custom_id": "r-1", "method": "POST", "url": "/v1/chat/completions", "body": body}
    answer = {"custom_id": "r-1", "response": {"body": exports.stored_completion("Two")}}
    example, _ = _only([request, answer])
    assert (example.input, example.answer) == ("One", "Two")


@pytest.mark.parametrize(
    ("message", "finish", "state"),
    [
        ({"content": "Half of", "refusal": None}, "length", "truncated"),
        ({"content": None, "refusal": "I cannot."}, "stop", "refused"),
        ({"content": "Well,", "refusal": None}, "content_filter", "refused"),
        ({"content": "All.", "refusal": None}, "stop", "complete"),
    ],
)
def test_an_answer_keeps_its_state(message: Row, finish: str, state: str) -> None:
    choice = {"message": {"role": "assistant", **message}, "finish_reason": finish}
    sent = [{"role": "user", "content": "Hi"}]
    row = exports.stored_completion(choices=[choice], messages=sent)
    example, record = _only([row])
    assert record.state == state
    assert (f"answer_{state}" in example.tags) == (state != "complete")
