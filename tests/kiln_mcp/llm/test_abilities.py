"""What is said of a model's abilities: known beforehand, seen here, or not known."""

from typing import Any

import pytest

from kiln_mcp.llm import Engine, EngineSettings, ServerSettings
from kiln_mcp.llm.abilities import Abilities, Ability
from kiln_mcp.llm.model_probe import open_questions, try_model

Loopback = Any  # the fixture's class lives in conftest


def engine_of(server: Loopback, **settings: Any) -> Engine:
    servers = (ServerSettings("p", server.address, **settings),)
    return Engine(EngineSettings(servers=servers, environment={}, attempts=1))


async def abilities(engine: Engine, model: str = "p/tiny") -> Abilities:
    [found] = [one for one in await engine.models([model]) if one.name == model]
    return found.abilities


async def test_the_abilities_of_a_server_are_unknown_until_it_was_asked(loopback: Loopback) -> None:
    async with engine_of(loopback) as engine:
        assert await abilities(engine) == Abilities()
    async with engine_of(loopback, schema_mode=False) as engine:
        assert (await abilities(engine)).json_schema is Ability.NO


async def test_a_trial_shows_the_abilities_of_a_server(loopback: Loopback) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "report_ready", "arguments": "{}"}}
    async with engine_of(loopback) as engine:
        loopback.replies.extend(
            [
                loopback.reply(content="I am ready."),
                loopback.reply(content='{"ready": true}'),
                loopback.reply(content="yes"),
                loopback.reply("tool_calls", content=None, tool_calls=[call]),
            ]
        )
        trial = await try_model(engine, "p/tiny", "test")
        assert (trial.answer.text, trial.usage.calls, trial.problems) == ("I am ready.", 4, ())
        seen = Ability.SEEN
        expected = Abilities(seen, Ability.UNKNOWN, seen, seen, seen)
        assert trial.description.abilities == await abilities(engine) == expected
        assert await open_questions(engine, "p/tiny") == []


async def test_a_trial_reports_a_refusal_and_continues(loopback: Loopback) -> None:
    async with engine_of(loopback) as engine:
        loopback.replies.append(loopback.reply(content="I am ready."))
        loopback.fail(400, "response_format json_schema is not supported")
        loopback.replies.append(loopback.reply(content='{"ready": true}'))
        loopback.fail(400, "logprobs are not supported")
        loopback.fail(400, "this model has no tools")
        loopback.replies.append(loopback.reply(content='{"answer": "ready"}'))
        trial = await try_model(engine, "p/tiny", "test")
    refused = Ability.REFUSED
    expected = Abilities(refused, Ability.SEEN, refused, Ability.IN_WORDS, Ability.SEEN)
    assert trial.description.abilities == expected
    assert len(trial.problems) == 1
    assert "logprobs are not supported" in trial.problems[0]


async def test_a_server_that_does_not_stream_is_described_so(loopback: Loopback) -> None:
    async with engine_of(loopback) as engine:
        loopback.streams = False
        await try_model(engine, "p/tiny", "test")
        assert (await abilities(engine)).streaming is Ability.NO


async def test_the_abilities_of_hosted_models_are_those_of_the_table() -> None:
    async with Engine(EngineSettings(environment={"OPENAI_API_KEY": "none"})) as engine:
        known = await abilities(engine, "openai/gpt-4o-mini")
        assert (known.json_schema, known.tools) == (Ability.YES, Ability.YES)
        assert known.logprobs is Ability.UNKNOWN


@pytest.mark.parametrize("name", ["embedded", "host"])
async def test_the_abilities_of_our_own_models_are_all_known(name: str) -> None:
    async with Engine(EngineSettings(environment={})) as engine:
        assert await open_questions(engine, name) == []
        assert Ability.UNKNOWN not in (await abilities(engine, name)).by_feature().values()


async def test_a_model_that_cannot_be_asked_is_listed_with_the_reason() -> None:
    async with Engine(EngineSettings(environment={})) as engine:
        *_, unknown = await engine.models(["nonsense"])
    assert (unknown.ready, unknown.price) == (False, None)
    assert "There is no model 'nonsense'" in unknown.note
