"""One contract for every way to a server: the lean one and litellm's."""

import json
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from typing import Any

import pytest
from aiohttp import web

from kiln_mcp.llm import (
    AnswerRestart,
    Budget,
    BudgetLimit,
    Engine,
    EngineSettings,
    Message,
    ModelAnswer,
    ModelRequest,
    ReasoningDelta,
    ServerSettings,
    TextDelta,
    Tool,
    ToolCall,
    ToolCallDelta,
)
from kiln_mcp.llm.errors import (
    ContextOverflow,
    KeyProblem,
    ModelError,
    RejectedRequest,
    ServerDown,
    ServerFailure,
    TooManyRequests,
    Unavailable,
    UnknownModel,
)
from kiln_mcp.llm.response_cache.in_flight import InFlightCalls, InFlightNote

KEY = "precious-secret"
AGE = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
Loopback = Any  # the fixture's class lives in conftest
Opened = Callable[..., tuple[Engine, str]]
Ask = Callable[..., Coroutine[None, None, ModelAnswer]]


def lean(loopback: Loopback, **settings: Any) -> tuple[Engine, str]:
    server = ServerSettings("local", loopback.address, key_variable="LOCAL_KEY")
    environment = settings.pop("environment", {"LOCAL_KEY": KEY})
    settings = {"first_wait_s": 0.01} | settings
    return Engine(EngineSettings(servers=(server,), environment=environment, **settings)), (
        "local/tiny"
    )


def litellm(loopback: Loopback, **settings: Any) -> tuple[Engine, str]:
    environment = settings.pop("environment", {"OPENAI_API_KEY": KEY})
    environment = {"OPENAI_BASE_URL": loopback.address} | environment
    settings = {"first_wait_s": 0.01} | settings
    return Engine(EngineSettings(environment=environment, **settings)), "openai/gpt-4o-mini"


pytestmark = [
    pytest.mark.parametrize("open_engine", [lean, litellm]),
    # litellm leaves its own pooled clients to the interpreter's end.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    # Its own types make pydantic and its serializer complain.
    pytest.mark.filterwarnings("ignore:Item '.*' on TypedDict class:UserWarning"),
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(params=["complete", "stream"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Ask for a whole answer, or have it streamed."""
    whole = request.param == "complete"

    async def ask(
        opened: tuple[Engine, str], budget: Budget | None = None, **changes: Any
    ) -> ModelAnswer:
        engine, name = opened
        asked = ModelRequest(name, (Message("user", "Hello?"),), **changes)
        async with engine:
            if whole:
                return await engine.complete(asked, asker="test", budget=budget)
            return await streamed(engine, asked, budget)

    return ask


async def streamed(
    engine: Engine, request: ModelRequest, budget: Budget | None = None
) -> ModelAnswer:
    """Return a streamed answer, which is what its deltas say."""
    text = reasoning = ""
    calls: dict[int, list[str]] = {}
    async with aclosing(engine.stream(request, asker="test", budget=budget)) as parts:
        async for part in parts:
            match part:
                case TextDelta():
                    text += part.text
                case ReasoningDelta():
                    reasoning += part.text
                case ToolCallDelta():
                    call = calls.setdefault(part.index, ["", "", ""])
                    for place, piece in enumerate((part.id, part.name, part.arguments)):
                        call[place] += piece
                case AnswerRestart():
                    text = reasoning = ""
                    calls.clear()
                case ModelAnswer():
                    assert (part.text, part.reasoning) == (text, reasoning.strip())
                    assert part.tool_calls == tuple(ToolCall(*call) for call in calls.values())
                    return part
    raise AssertionError("no answer came")


async def test_an_answer_has_text_usage_and_latency(
    loopback: Loopback, open_engine: Opened, ask: Ask
) -> None:
    answer = await ask(open_engine(loopback), stop=("x",), seed=3, sample=2)
    assert answer.text == "hello"
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (10, 5)
    assert answer.latency_s > 0
    [body] = loopback.bodies
    assert (body["stop"], body["seed"], body["temperature"]) == (["x"], 5, 0.0)
    assert loopback.headers[0]["Authorization"] == f"Bearer {KEY}"


def changed(reply: web.Response, **changes: object) -> web.Response:
    return web.json_response(json.loads(str(reply.text)) | changes)


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": 1e30, "completion_tokens": 5},
        {"prompt_tokens": 5, "completion_tokens": -500_000},
        {"prompt_tokens": "abc", "completion_tokens": 5},
        {"prompt_tokens": {"all": 5}, "completion_tokens": 5},
        [5, 5],
        None,
    ],
)
async def test_a_usage_that_cannot_be_true_is_replaced_by_an_estimate(
    loopback: Loopback, open_engine: Opened, ask: Ask, usage: object
) -> None:
    loopback.replies.append(changed(loopback.reply(), usage=usage))
    try:
        answer = await ask(open_engine(loopback))
    except ModelError:
        assert open_engine is litellm  # it throws the whole answer away
    else:
        assert answer.text == "hello"
        assert 0 < answer.usage.input_tokens < 20  # litellm counts by itself
        assert 0 < answer.usage.output_tokens < 20
    assert len(loopback.bodies) == 1


async def test_json_is_asked_by_schema_and_corrected(
    loopback: Loopback, open_engine: Opened, ask: Ask
) -> None:
    loopback.text = '{"age": 5}'
    loopback.replies.append(loopback.reply(content='{"age": "old"}'))
    answer = await ask(open_engine(loopback), schema=AGE)
    assert answer.value == {"age": 5}
    first, second = loopback.bodies
    assert first["response_format"]["json_schema"]["schema"] == AGE
    assert "not of type 'integer'" in json.dumps(second["messages"])


async def test_reasoning_is_kept_apart(loopback: Loopback, open_engine: Opened, ask: Ask) -> None:
    loopback.replies.append(loopback.reply(reasoning_content="hm", content="four"))
    answer = await ask(open_engine(loopback))
    assert (answer.text, answer.reasoning) == ("four", "hm")


async def test_tool_calls_come_through(loopback: Loopback, open_engine: Opened, ask: Ask) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    loopback.replies.append(loopback.reply("tool_calls", content=None, tool_calls=[call]))
    tool = Tool("look", "Look around.", {"type": "object", "properties": {}})
    answer = await ask(open_engine(loopback), tools=(tool,))
    assert answer.tool_calls == (ToolCall("c1", "look", "{}"),)
    assert answer.finish == "tool_calls"
    assert loopback.bodies[0]["tools"][0]["function"]["name"] == "look"


async def test_logprobs_come_through(loopback: Loopback, open_engine: Opened, ask: Ask) -> None:
    answer = await ask(open_engine(loopback), top_logprobs=1)
    assert answer.logprobs[0].token == "hello"
    assert answer.logprobs[0].alternatives[0].logprob == -1.0


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (401, f"bad key: {KEY}", KeyProblem),
        (403, "not yours", KeyProblem),
        (404, "no such model", UnknownModel),
        (400, "temperature is odd", RejectedRequest),
        (400, "This model's maximum context length is 10 tokens", ContextOverflow),
        (429, "slow down", TooManyRequests),
        (500, "oops", ServerFailure),
        (503, "overloaded", ServerFailure),
    ],
)
async def test_every_refusal_becomes_our_error(
    loopback: Loopback,
    open_engine: Opened,
    ask: Ask,
    status: int,
    message: str,
    kind: type[ModelError],
) -> None:
    loopback.fail(status, message)
    with pytest.raises(kind) as caught:
        await ask(open_engine(loopback, attempts=1))
    assert type(caught.value) is kind
    assert KEY not in str(caught.value)
    for foreign in ("litellm", "Exception", "Error code"):
        assert foreign not in str(caught.value)


@pytest.mark.parametrize("text", ['{"hello": 1}', "null", "[1]", '{"choices": []}', "OK", ""])
async def test_a_reply_without_a_completion_is_reported_and_not_retried(
    loopback: Loopback, open_engine: Opened, ask: Ask, text: str
) -> None:
    loopback.replies.append(web.Response(text=text, content_type="application/json"))
    budget = Budget("jobs/1", BudgetLimit(), InFlightCalls("jobs/1", NoNotes()))
    with pytest.raises(ModelError, match="cannot be read") as caught:
        await ask(open_engine(loopback), budget)
    assert "litellm" not in str(caught.value)
    assert len(loopback.bodies) == 1
    assert (budget.expense.calls, budget.losses.calls) == (1, 1)  # it may have to be paid for


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "context length exceeded", "code": 400}, ContextOverflow),
        ({"message": "no such field", "type": "invalid_request_error"}, RejectedRequest),
        ({"message": "no such field", "code": 422}, RejectedRequest),
        ({"message": f"bad key: {KEY}", "code": 401}, KeyProblem),
    ],
)
async def test_a_refusal_in_a_reply_of_200_is_one(
    loopback: Loopback,
    open_engine: Opened,
    ask: Ask,
    error: dict[str, object],
    kind: type[ModelError],
) -> None:
    loopback.replies.append(web.json_response({"error": error}))
    budget = Budget("jobs/1", BudgetLimit(), InFlightCalls("jobs/1", NoNotes()))
    with pytest.raises(ModelError) as caught:
        await ask(open_engine(loopback), budget)
    assert KEY not in str(caught.value)
    assert len(loopback.bodies) == 1
    if open_engine is lean:
        assert type(caught.value) is kind
        assert budget.expense.calls == 0


async def test_content_may_be_a_list_of_parts(
    loopback: Loopback, open_engine: Opened, ask: Ask
) -> None:
    parts = [{"type": "text", "text": "hel"}, {"type": "text", "text": "lo"}]
    loopback.replies.append(loopback.reply(content=parts))
    try:
        assert (await ask(open_engine(loopback))).text == "hello"
    except ModelError:
        assert open_engine is litellm
    assert len(loopback.bodies) == 1


async def test_lone_surrogates_are_joined_or_replaced(
    loopback: Loopback, open_engine: Opened, ask: Ask
) -> None:
    arguments = '{"a": "\ud83d\ude00\ud83d"}'
    call = {"id": "c\ud800", "type": "function", "function": {"name": "l", "arguments": arguments}}
    reply = loopback.reply(
        "tool_calls", content="x\ud83d\ude00\ud800", reasoning_content="\udc00b", tool_calls=[call]
    )
    loopback.replies.append(reply)
    tool = Tool("l", "Look around.", {"type": "object", "properties": {}})
    answer = await ask(open_engine(loopback), tools=(tool,))
    assert (answer.text, answer.reasoning) == ("x😀\ufffd", "\ufffdb")
    assert answer.tool_calls == (ToolCall("c\ufffd", "l", '{"a": "😀\ufffd"}'),)


async def test_lone_surrogates_in_json_are_replaced(
    loopback: Loopback, open_engine: Opened, ask: Ask
) -> None:
    loopback.text = '{"name": "a\\ud800"}'
    answer = await ask(open_engine(loopback), schema={"type": "object"})
    assert answer.value == {"name": "a\ufffd"}


async def test_lone_surrogates_in_an_error_are_replaced(
    loopback: Loopback, open_engine: Opened, ask: Ask
) -> None:
    loopback.fail(400, "odd: \ud800")
    with pytest.raises(RejectedRequest, match="odd: \ufffd"):
        await ask(open_engine(loopback))


async def test_a_request_is_retried_after_a_failure_that_passes(
    loopback: Loopback, open_engine: Opened, ask: Ask
) -> None:
    loopback.fail(503, "overloaded")
    loopback.fail(429, "slow down", retry_after="0.05")
    assert (await ask(open_engine(loopback))).text == "hello"
    assert len(loopback.bodies) == 3


async def test_a_server_that_is_down_opens_its_circuit_breaker_after_five_failures(
    loopback: Loopback, open_engine: Opened
) -> None:
    loopback.address = "http://127.0.0.1:9/v1"
    engine, name = open_engine(loopback, attempts=5)
    request = ModelRequest(name, (Message("user", "Hello?"),))
    async with engine:
        with pytest.raises(ServerDown, match=r"nothing listens at http://127\.0\.0\.1:9/v1"):
            await engine.complete(request, asker="test")
        with pytest.raises(ModelError, match="not asked for"):
            await engine.complete(request, asker="test")


async def test_a_missing_key_is_named(loopback: Loopback, open_engine: Opened, ask: Ask) -> None:
    with pytest.raises(KeyProblem, match=r"LOCAL_KEY|OPENAI_API_KEY"):
        await ask(open_engine(loopback, environment={}))


async def test_a_slow_answer_ends_with_a_timeout(
    loopback: Loopback, open_engine: Opened, ask: Ask
) -> None:
    with pytest.raises(Unavailable, match="gave no answer within"):
        await ask(open_engine(loopback, timeout_s=0.0001, attempts=1))


@pytest.mark.parametrize(
    ("fate", "count"),
    [("late", 2), ("before", 2), ("refused", 0), ("too many", 0), (500, 2), (504, 2)],
)
async def test_a_failed_call_counts_as_spent_only_if_it_may_have_been_answered(
    loopback: Loopback, open_engine: Opened, ask: Ask, fate: str | int, count: int
) -> None:
    match fate:
        case "late":
            loopback.late_s = 10.0
        case "refused":
            loopback.address = "http://127.0.0.1:9/v1"
        case "too many":
            for _ in range(2):
                loopback.fail(429, "slow down", retry_after="0.01")
        case int(status):
            for _ in range(2):
                loopback.fail(status, "no")
        case _:
            loopback.breaks = fate
    opened = open_engine(loopback, timeout_s=0.3, attempts=2)
    budget = Budget("jobs/1", BudgetLimit(), InFlightCalls("jobs/1", NoNotes()))
    with pytest.raises(ModelError):
        await ask(opened, budget)
    assert (budget.expense.calls, budget.losses.calls) == (count, count)


class NoNotes:
    """Keeps no notes."""

    async def note(self, note: InFlightNote) -> None:
        pass

    def note_soon(self, note: InFlightNote) -> None:
        pass


@pytest.mark.parametrize("status", [400, 401, 404, 500])
async def test_a_login_in_the_address_is_not_shown_where_the_server_repeats_it(
    loopback: Loopback, open_engine: Opened, ask: Ask, status: int
) -> None:
    loopback.address = loopback.address.replace("//", "//user:pa55word@")
    for said in ("Basic dXNlcjpwYTU1d29yZA==", "user:pa55word", "the password pa55word."):
        loopback.fail(status, f"bad header: {said}")
        with pytest.raises(ModelError) as caught:
            await ask(open_engine(loopback, attempts=1))
        assert "dXNlcjpwYTU1d29yZA" not in str(caught.value)
        assert "pa55word" not in str(caught.value)
