"""Answers while they are written: the same from every model, and what may go wrong on the way."""

from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from kiln_mcp.llm import (
    AnswerRestart,
    BudgetLimit,
    Delta,
    Engine,
    EngineSettings,
    Message,
    ModelAnswer,
    ModelRequest,
    ReasoningDelta,
    ServerSettings,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
    find_embedded_model,
)
from kiln_mcp.llm.budget.reservation import maximum_expense
from kiln_mcp.llm.engine import ANY_STATE
from kiln_mcp.llm.errors import (
    BudgetSpent,
    KeyProblem,
    ModelError,
    ServerDown,
    ServerFailure,
    TooManyRequests,
    Unavailable,
)
from scripted_model import ScriptedModel

AGE = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
Loopback = Any  # the fixture's class lives in conftest


def model_request(model: str, **changes: Any) -> ModelRequest:
    request = ModelRequest(model, (Message("user", "Hello?"),), max_tokens=12)
    return replace(request, **changes)


async def heard(
    engine: Engine, request: ModelRequest, **options: Any
) -> tuple[list[Delta], ModelAnswer]:
    deltas: list[Delta] = []
    with anyio.fail_after(60):
        async with aclosing(engine.stream(request, asker="test", **options)) as parts:
            async for part in parts:
                if isinstance(part, ModelAnswer):
                    return deltas, part
                deltas.append(part)
    raise AssertionError("no answer came")


@asynccontextmanager
async def opened(kind: str, loopback: Loopback) -> AsyncGenerator[tuple[Engine, str]]:
    """Open an engine and name one of its models; where it is the assistant, answer for it."""
    server = ServerSettings("local", loopback.address)
    environment = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": loopback.address}
    settings = EngineSettings(servers=(server,), environment=environment, first_wait_s=0.01)
    names = {"lean": "local/tiny", "litellm": "openai/gpt-4o-mini"}
    models = {"scripted": ScriptedModel(["hello there"], repeat=True)}

    async def fulfil(engine: Engine) -> None:
        for _ in range(1000):
            for batch in await engine.orders.take():
                [(order_id, _)] = batch.items
                await engine.orders.answer(order_id, "hello there")
                return
            await anyio.sleep(0.005)

    async with Engine(settings, models) as engine, anyio.create_task_group() as group:
        if kind == "host":
            group.start_soon(fulfil, engine)
        yield engine, names.get(kind, kind)


needs_embedded = [
    pytest.mark.embedded,
    pytest.mark.skipif(find_embedded_model() is None, reason="kiln-mcp models pull"),
]
quiet = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:Item '.*' on TypedDict class:UserWarning"),
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning"),
]
every_model = pytest.mark.parametrize(
    ("kind", "in_pieces"),
    [
        ("lean", True),
        pytest.param("litellm", True, marks=quiet),
        ("scripted", True),
        ("host", False),
        pytest.param("embedded", True, marks=needs_embedded),
    ],
)


@every_model
async def test_a_streamed_answer_is_the_sum_of_its_parts_and_is_kept(
    loopback: Loopback, kind: str, in_pieces: bool
) -> None:
    loopback.text = "hello there"
    async with opened(kind, loopback) as (engine, model):
        deltas, answer = await heard(engine, model_request(model))
        again, remembered = await heard(engine, model_request(model))
        whole = await engine.complete(model_request(model), asker="test", accept=ANY_STATE)
    texts = [delta.text for delta in deltas if isinstance(delta, TextDelta)]
    assert "".join(texts) == answer.text
    assert (len(texts) > 1) is in_pieces
    assert answer.text
    assert answer.usage.input_tokens > 0
    assert answer.usage.output_tokens > 0
    assert again == [TextDelta(answer.text)]
    assert remembered == whole == replace(answer, is_cached=True)


@every_model
async def test_a_request_can_be_asked_again_after_its_stream_was_closed(
    loopback: Loopback, kind: str, in_pieces: bool
) -> None:
    loopback.text = "hello there"
    async with opened(kind, loopback) as (engine, model):
        async with aclosing(engine.stream(model_request(model), asker="test")) as parts:
            first = await anext(parts)
        assert isinstance(first, TextDelta)
        if kind != "host":  # the assistant has answered one order only
            _, answer = await heard(engine, model_request(model))
            assert not answer.is_cached
            assert answer.text.startswith(first.text)
    assert in_pieces or first.text == "hello there"


@pytest.mark.embedded
@pytest.mark.skipif(find_embedded_model() is None, reason="kiln-mcp models pull")
async def test_the_embedded_model_answers_the_same_whole_and_streamed() -> None:
    async with Engine(EngineSettings(environment={})) as engine:
        request = model_request("embedded", max_tokens=24)
        _, streamed = await heard(engine, request)
        raw = model_request(
            "embedded", messages=(Message("raw", "1. Red\n2. Blue\n3."),), stop=("\n",)
        )
        deltas, line = await heard(engine, raw)
        order, parsed = await heard(engine, model_request("embedded", schema=AGE, max_tokens=60))
        whole = await engine.complete(request, asker="test", fresh=True)
    assert (streamed.text, streamed.finish) == (whole.text, whole.finish)
    assert line.text == "".join(d.text for d in deltas if isinstance(d, TextDelta))
    assert isinstance(parsed.value, dict)
    assert len(order) > 1


async def test_a_stream_shows_that_an_answer_is_corrected() -> None:
    model = ScriptedModel(["old", '{"age": 5}'])
    async with Engine(EngineSettings(environment={}), {"m": model}) as engine:
        deltas, answer = await heard(engine, model_request("m", schema=AGE))
    first, again, *rest = deltas
    assert first == TextDelta("old")
    assert isinstance(again, AnswerRestart)
    assert "not valid JSON" in again.problem
    assert "".join(d.text for d in rest if isinstance(d, TextDelta)) == '{"age": 5}'
    assert (answer.value, answer.usage.calls) == ({"age": 5}, 2)


async def test_reasoning_and_tool_calls_are_replayed_apart_from_the_text() -> None:
    given = ModelAnswer("four", reasoning="hm", tool_calls=(ToolCall("c", "look", "{}"),))
    model = ScriptedModel([given])
    async with Engine(EngineSettings(environment={}), {"m": model}) as engine:
        first, _ = await heard(engine, model_request("m"))
        again, _ = await heard(engine, model_request("m"))
    assert (
        first
        == again
        == [
            ReasoningDelta("hm"),
            TextDelta("four"),
            ToolCallDelta(0, "c", "look", "{}"),
        ]
    )


async def test_of_equal_streams_at_the_same_time_one_is_sent() -> None:
    model = ScriptedModel(["one two three"])
    texts: list[str] = []
    async with Engine(EngineSettings(environment={}), {"m": model}) as engine:

        async def ask() -> None:
            texts.append((await heard(engine, model_request("m")))[1].text)

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(ask)
    assert texts == ["one two three"] * 5
    assert len(model.requests) == 1


async def test_a_failure_before_the_first_part_is_retried() -> None:
    model = ScriptedModel([ServerDown("m", "refused."), "there"])
    async with Engine(EngineSettings(environment={}, first_wait_s=0.01), {"m": model}) as engine:
        deltas, _ = await heard(engine, model_request("m"))
    assert deltas == [TextDelta("there")]


async def test_a_stream_keeps_to_its_budget_and_counts_its_incomplete_answer() -> None:
    answers = [ModelAnswer("a b c d", usage=Usage(10, 5, 0, 0.01))]
    async with Engine(
        EngineSettings(environment={}), {"m": ScriptedModel(answers, repeat=True)}
    ) as engine:
        budget = await engine.budget("jobs/1", BudgetLimit(calls=2))
        await heard(engine, model_request("m"), budget=budget)
        assert (budget.expense.calls, budget.expense.tokens) == (1, 15)
        parts = engine.stream(model_request("m", seed=1), asker="test", budget=budget)
        async with aclosing(parts):
            await anext(parts)
        assert budget.expense.calls == 2
        assert budget.expense.tokens > 15
        with pytest.raises(BudgetSpent):
            await heard(engine, model_request("m", seed=2), budget=budget)


async def test_a_stream_whose_connection_breaks_counts_as_its_whole_reservation(
    loopback: Loopback,
) -> None:
    loopback.pieces, loopback.ends = [words("Hello")], False
    async with opened("lean", loopback) as (engine, name):
        budget = await engine.budget("jobs/1", BudgetLimit())
        with pytest.raises(ServerFailure):
            await heard(engine, model_request(name), budget=budget)
    most = maximum_expense(model_request(name), None)
    assert budget.expense == budget.losses == most


def event(text: str) -> bytes:
    return f"data: {text}\n\n".encode()


def words(text: str, finish: str = "null") -> bytes:
    delta = f'"delta": {{"content": "{text}"}}'
    return event(f'{{"choices": [{{"index": 0, {delta}, "finish_reason": {finish}}}]}}')


STOP = words("", '"stop"')
DONE = event("[DONE]")


async def lean(
    loopback: Loopback, *pieces: bytes, timeout_s: float = 20, **server: Any
) -> tuple[list[Delta], ModelAnswer]:
    loopback.pieces = list(pieces)
    servers = (ServerSettings("local", loopback.address, **server),)
    settings = EngineSettings(servers=servers, environment={}, attempts=3, timeout_s=timeout_s)
    async with Engine(settings) as engine:
        return await heard(engine, model_request("local/tiny"))


@pytest.mark.parametrize(
    "pieces",
    [
        (words("hé"), words("llo"), STOP, DONE),
        (words("hé")[:40], words("hé")[40:] + words("llo") + STOP[:3], STOP[3:]),
        tuple(bytes([byte]) for byte in words("hé") + words("llo") + STOP + DONE),
        (b": wait\r\n\r\n", words("héllo").replace(b"\n", b"\r\n"), STOP.replace(b"\n", b"\r")),
        (words("héllo"), DONE),  # no reason for its end
        (words("hé"), event('{"choices": []}'), words("llo", '"stop"').rstrip()),
    ],
)
async def test_a_stream_is_read_however_a_server_writes_it(
    loopback: Loopback, pieces: tuple[bytes, ...]
) -> None:
    deltas, answer = await lean(
        loopback, *pieces, input_usd_per_million=1e6, output_usd_per_million=1e6
    )
    assert answer.text == "héllo" == "".join(d.text for d in deltas if isinstance(d, TextDelta))
    # Where the server counts no tokens they are counted roughly, so that a budget still holds.
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (2, 2)
    assert answer.usage.cost_usd == 4.0


@pytest.mark.parametrize(
    ("pieces", "kind", "said"),
    [
        ((event('{"error": {"message": "no memory", "code": 500}}'),), ServerFailure, "no memory"),
        ((event('{"error": {"message": "slow", "code": "429"}}'),), TooManyRequests, "slow"),
        ((event('{"error": {"message": "bad", "code": 401}}'),), KeyProblem, "bad"),
        ((b"data: {oops\n\n",), ModelError, "not JSON"),
        ((event('{"choices": [7]}'),), ModelError, "no chunk"),
        ((), ServerFailure, "broke off in the middle"),
    ],
)
async def test_a_failure_in_the_middle_is_reported_and_not_retried(
    loopback: Loopback, pieces: tuple[bytes, ...], kind: type[ModelError], said: str
) -> None:
    with pytest.raises(kind, match=said):
        await lean(loopback, words("hel"), *pieces)
    assert len(loopback.bodies) == 1


@pytest.mark.parametrize("kind", ["lean", pytest.param("litellm", marks=quiet)])
async def test_a_connection_that_breaks_in_the_middle_is_reported(
    loopback: Loopback, kind: str
) -> None:
    loopback.pieces = [words("hel")]
    loopback.ends = False
    async with opened(kind, loopback) as (engine, model):
        with pytest.raises(ServerFailure, match="broke off in the middle"):
            await heard(engine, model_request(model))


@pytest.mark.parametrize("kind", ["lean", pytest.param("litellm", marks=quiet)])
async def test_the_server_learns_that_a_stream_was_closed(loopback: Loopback, kind: str) -> None:
    loopback.pieces = [words("hel")]
    loopback.hangs = True
    async with opened(kind, loopback) as (engine, model):
        parts = engine.stream(model_request(model), asker="test")
        assert await anext(parts) == TextDelta("hel")
        with anyio.move_on_after(0.1) as stopped:
            await anext(parts)
        assert stopped.cancelled_caught
        with anyio.fail_after(60):
            await loopback.hung_up.wait()


async def test_comments_in_a_stream_do_not_extend_its_time(loopback: Loopback) -> None:
    loopback.hangs = True
    with pytest.raises(Unavailable, match="gave no answer within"):
        await lean(loopback, words("hel"), timeout_s=0.2)


async def test_a_server_that_knows_no_stream_options_is_asked_without(loopback: Loopback) -> None:
    loopback.fail(400, "unknown field stream_options")
    _, answer = await lean(loopback, words("hello"), STOP, DONE)
    assert answer.text == "hello"
    first, second = loopback.bodies
    assert first["stream_options"] == {"include_usage": True}
    assert "stream_options" not in second


@pytest.mark.parametrize(
    "calls",
    [
        ['[{"index": 0, "id": "a", "function": {"name": "look", "arguments": "{"}}]',
         '[{"index": 0, "function": {"arguments": "}"}}]',
         '[{"index": 1, "id": "b", "function": {"name": "look", "arguments": "{}"}}]'],
        ['[{"index": 0, "id": "a", "function": {"name": "look", "arguments": "{}"}}]',
         '[{"index": 0, "id": "b", "function": {"name": "look", "arguments": "{}"}}]'],
        ['[{"id": "a", "function": {"name": "look", "arguments": "{"}}]',
         '[{"function": {"arguments": "}"}}]',
         '[{"id": "b", "function": {"name": "look"}}]'],
        ['[{"index": 0, "id": "a", "function": {"name": "look", "arguments": "{"}},'
         ' {"index": 1, "id": "b", "function": {"name": "look", "arguments": "{"}}]',
         '[{"index": 0, "id": "a", "function": {"name": "look", "arguments": "}"}},'
         ' {"index": 1, "id": "b", "function": {"name": "look", "arguments": "}"}}]'],
    ],
)  # fmt: skip
async def test_tool_calls_are_put_together_however_a_server_numbers_them(
    loopback: Loopback, calls: list[str]
) -> None:
    events = [event(f'{{"choices": [{{"delta": {{"tool_calls": {part}}}}}]}}') for part in calls]
    _, answer = await lean(loopback, *events, words("", '"tool_calls"'), DONE)
    assert answer.tool_calls == (ToolCall("a", "look", "{}"), ToolCall("b", "look", "{}"))
    assert answer.finish == "tool_calls"


async def test_a_streams_answer_is_in_the_response_cache_of_another_process(tmp_path: Path) -> None:
    settings = EngineSettings(response_cache=tmp_path / "responses.sqlite", environment={})
    model = ScriptedModel(["one two"])
    async with Engine(settings, {"m": model}) as engine:
        await heard(engine, model_request("m"))
    async with Engine(settings, {"m": model}) as engine:
        deltas, answer = await heard(engine, model_request("m"))
    assert (deltas, answer.is_cached) == ([TextDelta("one two")], True)
