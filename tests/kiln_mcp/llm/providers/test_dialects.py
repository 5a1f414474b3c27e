"""The dialects of models: learned from refusals, one model at a time, and kept."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from kiln_mcp.llm import (
    BudgetLimit,
    Engine,
    EngineSettings,
    Message,
    ModelRequest,
    ServerSettings,
    Tool,
)
from kiln_mcp.llm.errors import RejectedRequest
from kiln_mcp.llm.model_probe import try_model

AGE = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
Loopback = Any  # the fixture's class lives in conftest
LOOK = Tool("look", "Look around.", {"type": "object", "properties": {}})
NO_SCHEMAS = "response_format json_schema is not supported"


def _settings(loopback: Loopback, dialects: Path | None = None) -> EngineSettings:
    server = ServerSettings("local", loopback.address)
    return EngineSettings(environment={}, servers=(server,), dialects=dialects)


def _engine(loopback: Loopback) -> Engine:
    return Engine(_settings(loopback))


def _ages(count: int) -> list[ModelRequest]:
    return [
        ModelRequest("local/tiny", (Message("user", f"How old is {n}?"),), schema=AGE)
        for n in range(count)
    ]


async def test_several_requests_at_once_learn_that_a_server_takes_no_schema(
    loopback: Loopback,
) -> None:
    loopback.text = '{"age": 5}'
    for _ in range(3):
        loopback.fail(400, NO_SCHEMAS)
    async with _engine(loopback) as engine:
        asked = [engine.complete(request, asker="test") for request in _ages(3)]
        answers = await asyncio.gather(*asked)
    assert [answer.value for answer in answers] == [{"age": 5}] * 3
    forms = [body["response_format"]["type"] for body in loopback.bodies]
    assert forms == ["json_schema"] * 3 + ["json_object"] * 3
    assert "schema" in loopback.bodies[-1]["messages"][-1]["content"]


async def test_a_server_without_any_json_mode_is_asked_in_words(loopback: Loopback) -> None:
    loopback.text = '{"age": 5}'
    loopback.fail(400, NO_SCHEMAS)
    loopback.fail(400, "unknown field response_format")
    async with _engine(loopback) as engine:
        for request in _ages(2):
            assert (await engine.complete(request, asker="test")).value == {"age": 5}
    assert ["response_format" in body for body in loopback.bodies] == [True, True, False, False]


async def test_one_model_that_refuses_a_schema_lowers_no_other(loopback: Loopback) -> None:
    loopback.text = '{"age": 5}'
    loopback.fail(400, NO_SCHEMAS)
    async with _engine(loopback) as engine:
        for model in ("local/tiny", "local/other", "local/tiny"):
            request = ModelRequest(model, (Message("user", f"{model}?"),), schema=AGE)
            await engine.complete(request, asker="test", fresh=True)
    forms = [(body["model"], body["response_format"]["type"]) for body in loopback.bodies]
    assert forms == [
        ("tiny", "json_schema"),
        ("tiny", "json_object"),
        ("other", "json_schema"),
        ("tiny", "json_object"),
    ]


async def test_a_schema_in_words_stands_in_the_first_system_message(loopback: Loopback) -> None:
    loopback.text = '{"age": 5}'
    loopback.fail(400, NO_SCHEMAS)
    messages = (Message("system", "You count."), Message("user", "How old?"))
    async with _engine(loopback) as engine:
        request = ModelRequest("local/tiny", messages, schema=AGE)
        await engine.complete(request, asker="test")
    system, user = loopback.bodies[-1]["messages"]
    assert (system["role"], user) == ("system", {"role": "user", "content": "How old?"})
    assert system["content"].startswith("You count.\n\nAnswer with one JSON value")


async def test_what_was_learned_is_kept_in_the_home_with_its_date_until_a_test(
    loopback: Loopback, tmp_path: Path
) -> None:
    settings = _settings(loopback, tmp_path / "home" / "dialects.sqlite")
    loopback.fail(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
    hello = ModelRequest("local/tiny", (Message("user", "Hello?"),))
    for _ in range(2):
        async with Engine(settings) as engine:
            await engine.complete(hello, asker="test")
    lengths = ["max_completion_tokens" in body for body in loopback.bodies]
    assert lengths == [False, True, True]
    async with Engine(settings) as engine:
        [lesson] = (await engine.describe("local/tiny")).lessons
        assert "length field: max_completion_tokens (learned 20" in lesson
        assert "Use 'max_completion_tokens' instead" in lesson
        await try_model(engine, "local/tiny", "test")
        assert (await engine.describe("local/tiny")).lessons == ()
    assert "max_tokens" in loopback.bodies[3]


async def test_what_another_process_learns_holds_for_the_next_request(
    loopback: Loopback, tmp_path: Path
) -> None:
    settings = _settings(loopback, tmp_path / "home" / "dialects.sqlite")
    loopback.text = '{"age": 5}'
    first, second, third = _ages(3)
    async with Engine(settings) as own, Engine(settings) as other:
        await own.complete(first, asker="test")
        loopback.fail(400, NO_SCHEMAS)
        await other.complete(second, asker="test")
        await own.complete(third, asker="test")
    forms = [body["response_format"]["type"] for body in loopback.bodies]
    assert forms == ["json_schema", "json_schema", "json_object", "json_object"]


async def test_a_refused_schema_is_kept_in_the_home_until_a_test(
    loopback: Loopback, tmp_path: Path
) -> None:
    settings = _settings(loopback, tmp_path / "home" / "dialects.sqlite")
    loopback.text = '{"age": 5}'
    loopback.fail(400, "Invalid schema for response_format: 'age' is not permitted.")
    other = {**AGE, "properties": {"age": {"type": "number"}}}
    for number in range(2):
        async with Engine(settings) as engine:
            for schema in (AGE, other):
                message = Message("user", f"How old is {number}?")
                request = ModelRequest("local/tiny", (message,), schema=schema)
                assert (await engine.complete(request, asker="test")).value == {"age": 5}
    forms = [body["response_format"]["type"] for body in loopback.bodies]
    assert forms == ["json_schema", "json_object", "json_schema", "json_object", "json_schema"]
    async with Engine(settings) as engine:
        [lesson] = (await engine.describe("local/tiny")).lessons
        assert lesson == "json mode: 1 schema that it refused is asked for otherwise"
        await try_model(engine, "local/tiny", "test")
        assert (await engine.describe("local/tiny")).lessons == ()
        request = ModelRequest("local/tiny", (Message("user", "How old now?"),), schema=AGE)
        await engine.complete(request, asker="test")
    assert loopback.bodies[-1]["response_format"]["type"] == "json_schema"


async def test_a_file_of_dialects_that_cannot_be_used_stops_nothing(
    loopback: Loopback, tmp_path: Path
) -> None:
    path = tmp_path / "dialects.sqlite"
    path.write_bytes(b"no database at all, but long enough to be read as one" * 100)
    servers = (ServerSettings("local", loopback.address),)
    async with Engine(EngineSettings(environment={}, servers=servers, dialects=path)) as engine:
        loopback.fail(400, "unknown field 'seed'")
        request = ModelRequest("local/tiny", (Message("user", "Hello?"),), seed=3)
        assert (await engine.complete(request, asker="test")).text == "hello"


async def test_a_server_that_refuses_everything_is_not_asked_for_ever(loopback: Loopback) -> None:
    for _ in range(40):
        loopback.fail(400, "temperature, max_tokens, seed, system role: not supported")
    request = ModelRequest("local/tiny", (Message("user", "Hello?"),), seed=3)
    async with _engine(loopback) as engine:
        with pytest.raises(RejectedRequest):
            await engine.complete(request, asker="test")
    assert len(loopback.bodies) < 8


async def test_a_refusal_and_its_repetition_count_as_one_call(loopback: Loopback) -> None:
    loopback.fail(400, "'temperature' does not support 0.0")
    request = ModelRequest("local/tiny", (Message("user", "Hello?"),))
    async with _engine(loopback) as engine:
        budget = await engine.budget("jobs/1", BudgetLimit(calls=1))
        await engine.complete(request, asker="test", budget=budget)
        assert budget.expense.calls == 1
    assert ["temperature" in body for body in loopback.bodies] == [True, False]


@pytest.mark.parametrize(
    "sentence",
    [
        "The model is overloaded.",
        "Your system is not supported in this region.",
        "Invalid image.",
        "messages must not be empty",
    ],
)
async def test_other_refusals_teach_nothing(loopback: Loopback, sentence: str) -> None:
    loopback.fail(400, sentence)
    request = ModelRequest("local/tiny", (Message("user", "Hello?"),))
    async with _engine(loopback) as engine:
        with pytest.raises(RejectedRequest):
            await engine.complete(request, asker="test")
        assert (await engine.describe("local/tiny")).lessons == ()
    assert len(loopback.bodies) == 1


async def test_a_refusal_of_one_value_does_not_lower_a_model(loopback: Loopback) -> None:
    refusals = {
        "top_logprobs must be less than or equal to 5": {"top_logprobs": 20},
        "stop: at most 4 sequences are not exceeded": {"stop": ("a", "b", "c", "d", "e")},
        "Invalid schema for function 'look': tools.0 is not valid": {"tools": (LOOK,)},
    }
    async with _engine(loopback) as engine:
        for sentence, changes in refusals.items():
            loopback.fail(400, sentence)
            request = ModelRequest("local/tiny", (Message("user", "?"),), **changes)  # pyright: ignore[reportArgumentType]
            with pytest.raises(RejectedRequest):
                await engine.complete(request, asker="test")
        assert (await engine.describe("local/tiny")).lessons == ()
