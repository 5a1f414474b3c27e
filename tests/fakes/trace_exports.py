"""Exports of traces, written from the specifications of their formats."""

import json
from collections.abc import Mapping, Sequence
from typing import cast

Json = dict[str, object]

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
_START = 1_780_000_000
SECRET = "sk-live-abcdefghijklmnop1234"


def key_value(key: str, value: object) -> Json:
    """Return an attribute as OTLP's JSON has it."""
    return {"key": key, "value": typed_value(value)}


def typed_value(value: object) -> Json:
    """Return a value as OTLP's JSON has it: with its type, whole numbers as text."""
    match value:
        case bool():
            return {"boolValue": value}
        case str():
            return {"stringValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case dict():
            members = cast("Json", value)
            return {"kvlistValue": {"values": [key_value(k, v) for k, v in members.items()]}}
        case _:
            entries = cast("list[object]", value)
            return {"arrayValue": {"values": [typed_value(entry) for entry in entries]}}


def span(
    number: int,
    attributes: Mapping[str, object],
    *,
    parent: int | None = None,
    trace: str = TRACE,
    name: str = "span",
    start: float = 0,
    seconds: float = 1,
    events: Sequence[Json] = (),
    **more: object,
) -> Json:
    """Return a span as OTLP's JSON has it."""
    return {
        "traceId": trace,
        "spanId": f"{number:016x}",
        "parentSpanId": "" if parent is None else f"{parent:016x}",
        "name": name,
        "kind": 3,
        "startTimeUnixNano": str(int((_START + start) * 1e9)),
        "endTimeUnixNano": str(int((_START + start + seconds) * 1e9)),
        "attributes": [key_value(key, value) for key, value in attributes.items()],
        "events": list(events),
        "status": {},
        **more,
    }


def event(name: str, attributes: Mapping[str, object]) -> Json:
    """Return an event of a span."""
    values = [key_value(key, value) for key, value in attributes.items()]
    return {"timeUnixNano": str(_START * 10**9), "name": name, "attributes": values}


def otlp(*spans: Json) -> Json:
    """Return an export request with spans."""
    resource = {"attributes": [key_value("service.name", "shop")]}
    scope = {"scope": {"name": "instrumentation", "version": "1"}, "spans": list(spans)}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]}


def part_message(role: str, *parts: Mapping[str, object], finish: str | None = None) -> Json:
    """Return a message of OpenTelemetry's newer convention."""
    return {
        "role": role,
        "parts": [dict(part) for part in parts],
        **({"finish_reason": finish} if finish else {}),
    }


def text_part(text: str) -> Json:
    """Return a part with text."""
    return {"type": "text", "content": text}


def agent_spans(trace: str = TRACE) -> list[Json]:
    """Return an agent's trace: two calls of a model with a tool between, children first."""
    question = part_message("user", text_part("Weather in Paris?"))
    call = part_message(
        "assistant",
        {"type": "tool_call", "id": "call_1", "name": "get_weather", "arguments": {"c": "Paris"}},
        finish="tool_call",
    )
    result = part_message(
        "tool", {"type": "tool_call_response", "id": "call_1", "response": "rainy"}
    )
    answer = part_message("assistant", text_part("It rains."), finish="stop")
    model = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
    }
    first = {
        **model,
        "gen_ai.usage.input_tokens": 40,
        "gen_ai.usage.output_tokens": 10,
        "gen_ai.input.messages": json.dumps([question]),
        "gen_ai.output.messages": json.dumps([call]),
    }
    second = {
        **model,
        "gen_ai.usage.input_tokens": 60,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.input.messages": json.dumps([question, call, result]),
        "gen_ai.output.messages": json.dumps([answer]),
        "gen_ai.response.finish_reasons": ["stop"],
    }
    tool = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "get_weather",
        "gen_ai.tool.call.id": "call_1",
    }
    root = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.conversation.id": "conversation-7",
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 15,
        "http.request.header.authorization": f"Bearer {SECRET}",
    }
    return [
        span(4, second, parent=1, trace=trace, name="chat gpt-4o", start=4, seconds=2),
        span(3, tool, parent=1, trace=trace, name="execute_tool get_weather", start=2),
        span(2, first, parent=1, trace=trace, name="chat gpt-4o", start=1),
        span(1, root, trace=trace, name="invoke_agent weather", seconds=7),
    ]


def chat_span(
    number: int = 1,
    answer: str = "Hello",
    trace: str = TRACE,
    more: Mapping[str, object] | None = None,
) -> Json:
    """Return the span of one chat, by the newer convention."""
    attributes: Json = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.input.messages": json.dumps([part_message("user", text_part("Hi"))]),
        "gen_ai.output.messages": json.dumps([part_message("assistant", text_part(answer))]),
    }
    return span(number, {**attributes, **(more or {})}, trace=trace)


def langfuse_trace() -> Json:
    """Return a trace of Langfuse's interface with its observations and scores."""
    call = {"name": "lookup", "arguments": json.dumps({"order": 1, "api_key": SECRET})}
    asked: Json = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c1", "type": "function", "function": call}],
    }
    messages: list[Json] = [
        {"role": "system", "content": "You help."},
        {"role": "user", "content": "Where is my order?"},
    ]

    def observation(number: int, kind: str, start: int, end: int, **more: object) -> Json:
        return {
            "id": f"o{number}",
            "traceId": "trace-1",
            "type": kind,
            "startTime": f"2026-05-01T10:00:0{start}.000Z",
            "endTime": f"2026-05-01T10:00:0{end}.000Z",
            "parentObservationId": None if number == 1 else "o1",
            "level": "DEFAULT",
            **more,
        }

    return {
        "id": "trace-1",
        "timestamp": "2026-05-01T10:00:00.000Z",
        "name": "support",
        "userId": "user-1",
        "sessionId": "session-1",
        "tags": ["vip", "beta test"],
        "input": {"question": "Where is my order?"},
        "output": {"answer": "On its way."},
        "metadata": {"headers": {"Authorization": f"Bearer {SECRET}"}},
        "latency": 4.5,
        "totalCost": 0.004,
        "observations": [
            observation(1, "SPAN", 0, 4, name="handle"),
            observation(
                2,
                "GENERATION",
                1,
                2,
                model="gpt-4o",
                input=messages,
                output=asked,
                usageDetails={"input": 10, "output": 5, "total": 15},
                costDetails={"total": 0.001},
            ),
            observation(3, "TOOL", 2, 3, name="lookup", input={"order": 1}, output={"s": "sent"}),
            observation(
                4,
                "GENERATION",
                3,
                4,
                model="gpt-4o",
                input={"messages": [*messages, asked]},
                output="On its way.",
                usage={"input": 20, "output": 3, "total": 23, "unit": "TOKENS"},
            ),
        ],
        "scores": [
            {
                "id": "s1",
                "traceId": "trace-1",
                "name": "user-thumbs",
                "value": 0,
                "dataType": "BOOLEAN",
                "source": "API",
                "comment": "too slow",
            },
            {
                "id": "s2",
                "traceId": "trace-1",
                "name": "helpfulness",
                "value": 0.9,
                "dataType": "NUMERIC",
                "source": "EVAL",
            },
        ],
    }


def langchain_message(kind: str, **fields: object) -> Json:
    """Return a message as LangChain serialises it."""
    path = ["langchain", "schema", "messages", kind]
    return {"lc": 1, "type": "constructor", "id": path, "kwargs": fields}


def langsmith_runs() -> list[Json]:
    """Return the runs of an agent: its root, two calls of a model, and a tool between."""
    ids = [f"00000000-0000-0000-0000-00000000000{number}" for number in range(1, 5)]
    call = {"name": "calculate", "args": {"e": "2+2"}, "id": "k1", "type": "tool_call"}
    asked = [
        langchain_message("SystemMessage", content="You calculate."),
        langchain_message("HumanMessage", content="2+2?"),
    ]
    first_answer = langchain_message(
        "AIMessage",
        content="",
        tool_calls=[call],
        usage_metadata={"input_tokens": 10, "output_tokens": 5, "total_tokens": 15},
    )
    result = langchain_message("ToolMessage", content="4", tool_call_id="k1")

    def run(number: int, kind: str, start: int, end: int, **more: object) -> Json:
        return {
            "id": ids[number],
            "trace_id": ids[0],
            "parent_run_id": ids[0] if number else None,
            "run_type": kind,
            "start_time": f"2026-05-01T10:00:0{start}.000000",
            "end_time": f"2026-05-01T10:00:0{end}.000000",
            "status": "success",
            **more,
        }

    model = {
        "metadata": {"ls_provider": "openai", "ls_model_name": "gpt-4o"},
        "invocation_params": {"model": "gpt-4o", "openai_api_key": SECRET},
    }
    generation = {
        "text": "",
        "generation_info": {"finish_reason": "tool_calls"},
        "message": first_answer,
    }
    last_message = langchain_message(
        "AIMessage", content="4", response_metadata={"finish_reason": "stop"}
    )
    return [
        run(
            0,
            "chain",
            0,
            4,
            name="AgentExecutor",
            inputs={"input": "2+2?", "chat_history": []},
            outputs={"output": "4"},
            total_tokens=30,
            tags=["prod"],
            extra={"metadata": {"thread_id": "thread-1"}},
            feedback_stats={"user_score": {"n": 1, "avg": 1.0, "values": {}, "comments": ["nice"]}},
        ),
        run(
            3,
            "llm",
            3,
            4,
            inputs={"messages": [[*asked, first_answer, result]]},
            outputs={"generations": [[{"text": "4", "message": last_message}]]},
            prompt_tokens=12,
            completion_tokens=3,
            total_tokens=15,
            extra=model,
        ),
        run(2, "tool", 2, 3, name="calculate", inputs={"input": "2+2"}, outputs={"output": "4"}),
        run(
            1,
            "llm",
            1,
            2,
            inputs={"messages": [asked]},
            outputs={"generations": [[generation]]},
            extra=model,
        ),
    ]


def stored_completion(
    answer: str | None = "Leaves fall.", finish: str = "stop", **more: object
) -> Json:
    """Return a completion as OpenAI's interface lists it, without what was sent."""
    message: Json = {"role": "assistant", "content": answer, "tool_calls": None, "refusal": None}
    return {
        "object": "chat.completion",
        "id": "chatcmpl-abc",
        "model": "gpt-4o-2024-08-06",
        "created": 1_738_960_610,
        "request_id": "req_1",
        "tool_choice": None,
        "usage": {"prompt_tokens": 13, "completion_tokens": 18, "total_tokens": 31},
        "metadata": {"session_id": "session-3"},
        "choices": [{"index": 0, "message": message, "finish_reason": finish, "logprobs": None}],
        **more,
    }


def response_object(**more: object) -> Json:
    """Return a response of OpenAI's Responses API."""
    text = {"type": "output_text", "text": "In a land"}
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_741_476_542,
        "status": "completed",
        "incomplete_details": None,
        "instructions": "Be kind.",
        "model": "gpt-4.1",
        "input": [{"role": "user", "content": [{"type": "input_text", "text": "Tell a story."}]}],
        "output": [
            {
                "type": "reasoning",
                "id": "rs_1",
                "summary": [{"type": "summary_text", "text": "A story."}],
            },
            {"type": "message", "id": "msg_1", "role": "assistant", "content": [text]},
        ],
        "usage": {
            "input_tokens": 36,
            "input_tokens_details": {"cached_tokens": 4},
            "output_tokens": 87,
            "total_tokens": 123,
        },
        **more,
    }
