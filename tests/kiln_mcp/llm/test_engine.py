from pathlib import Path

import anyio
import pytest

from kiln_mcp.llm import (
    BudgetLimit,
    Engine,
    EngineSettings,
    Message,
    ModelAnswer,
    ModelRequest,
    Usage,
)
from kiln_mcp.llm.errors import BadAnswer, RejectedRequest, ServerDown, UnknownModel
from scripted_model import ScriptedModel

AGE = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}


def question(text: str = "How old?", **changes: object) -> ModelRequest:
    return ModelRequest("scripted", (Message("user", text),), **changes)  # pyright: ignore[reportArgumentType]


def engine_with(model: ScriptedModel, cache: Path | None = None) -> Engine:
    return Engine(EngineSettings(response_cache=cache, environment={}), {"scripted": model})


async def test_a_repeated_request_is_answered_from_the_response_cache() -> None:
    model = ScriptedModel([ModelAnswer("five", usage=Usage(10, 2, 0, 0.5))])
    async with engine_with(model) as engine:
        first = await engine.complete(question(), asker="test")
        second = await engine.complete(question(), asker="another")
    assert (first.text, first.is_cached) == ("five", False)
    assert (second.text, second.is_cached, second.usage) == ("five", True, first.usage)
    assert len(model.requests) == 1


async def test_the_response_cache_survives_its_engine(tmp_path: Path) -> None:
    model = ScriptedModel(["five"])
    for _ in range(2):
        async with engine_with(model, tmp_path / "home" / "responses.sqlite") as engine:
            await engine.complete(question(), asker="test")
    assert len(model.requests) == 1


async def test_another_sample_or_fresh_asks_the_model_again() -> None:
    model = ScriptedModel(["one", "two", "three"])
    async with engine_with(model) as engine:
        first = await engine.complete(question(), asker="test")
        sample = await engine.complete(question(sample=1), asker="test")
        fresh = await engine.complete(question(), asker="test", fresh=True)
        newest = await engine.complete(question(), asker="test")
    assert [first.text, sample.text, fresh.text, newest.text] == ["one", "two", "three", "three"]


async def test_of_equal_requests_at_the_same_time_one_is_sent() -> None:
    model = ScriptedModel(["five"])
    texts: list[str] = []
    async with engine_with(model) as engine, anyio.create_task_group() as group:

        async def ask() -> None:
            texts.append((await engine.complete(question(), asker="test")).text)

        for _ in range(10):
            group.start_soon(ask)
    assert texts == ["five"] * 10
    assert len(model.requests) == 1


async def test_an_answer_that_does_not_fit_is_sent_back_with_the_reason() -> None:
    model = ScriptedModel(["I am five", '{"age": "old"}', '```json\n{"age": 5}\n```'])
    async with engine_with(model) as engine:
        answer = await engine.complete(question(schema=AGE), asker="test")
        again = await engine.complete(question(schema=AGE), asker="test")
    assert answer.value == again.value == {"age": 5}
    assert answer.usage.calls == 3
    assert "no JSON" in model.requests[1].messages[-1].content
    assert "'old' is not of type 'integer' (at ['age'])" in model.requests[2].messages[-1].content


async def test_after_two_corrections_the_last_problem_is_reported() -> None:
    model = ScriptedModel(["no"], repeat=True)
    async with engine_with(model) as engine:
        with pytest.raises(BadAnswer, match="3 attempts"):
            await engine.complete(question(choices=("a", "b")), asker="test")
    assert len(model.requests) == 3


async def test_a_passing_failure_is_retried_and_a_lasting_one_is_not() -> None:
    passing = ScriptedModel([ServerDown("m", "refused"), "there"])
    lasting = ScriptedModel([RejectedRequest("m", "no"), "there"])
    async with engine_with(passing) as engine:
        assert (await engine.complete(question(), asker="test")).text == "there"
    async with engine_with(lasting) as engine:
        with pytest.raises(RejectedRequest):
            await engine.complete(question(), asker="test")


async def test_an_unknown_name_is_refused_with_the_valid_ones() -> None:
    async with engine_with(ScriptedModel([])) as engine:
        with pytest.raises(UnknownModel, match=r"scripted.*openai/gpt"):
            await engine.complete(ModelRequest("scriptd", ()), asker="test")


async def test_a_file_is_no_model_and_nothing_of_it_is_shown(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("root:x:0:0", encoding="utf-8")
    async with Engine(EngineSettings(environment={})) as engine:
        for name in (f"scripted:{file}", f"scripted/{file}", "scripted:/etc/passwd"):
            with pytest.raises(UnknownModel) as refused:
                await engine.check_ready({name: 1})
            assert "root:" not in str(refused.value)
            assert not engine.is_free(name)


async def test_spending_is_kept_by_asker_and_model() -> None:
    priced = ScriptedModel([ModelAnswer("a", usage=Usage(10, 2, 4, 0.25))], repeat=True)
    unpriced = ScriptedModel([ModelAnswer("a", usage=Usage(1, 1, 0, None))], repeat=True)
    async with Engine(EngineSettings(environment={}), {"p": priced, "u": unpriced}) as engine:
        for sample in range(2):
            request = ModelRequest("p", (Message("user", "?"),), sample=sample)
            await engine.complete(request, asker="evals/1")
        await engine.complete(ModelRequest("u", (Message("user", "?"),)), asker="evals/1")
        await engine.complete(ModelRequest("u", (Message("user", "!"),)), asker="other")
        [first, second] = await engine.spending("evals/*")
    assert (first.model, first.usage, first.unpriced_calls) == ("p", Usage(20, 4, 8, 0.5, 2), 0)
    assert (second.model, second.usage.calls, second.unpriced_calls) == ("u", 1, 1)


async def test_a_request_without_a_fitting_answer_is_asked_anew_only_by_another_job() -> None:
    bad = ["no JSON", "none", "nothing"]
    model = ScriptedModel([*bad, *bad, '{"age": 5}'])
    request = ModelRequest("m", (Message("user", "How old?"),), schema=AGE)
    async with Engine(EngineSettings(environment={}), {"m": model}) as engine:
        with pytest.raises(BadAnswer):
            await engine.complete(request, asker="first")
        job = await engine.budget("jobs/1", BudgetLimit())
        for _ in range(2):  # the second time, as after a kill
            with pytest.raises(BadAnswer):
                await engine.complete(request, asker="a", budget=job)
        again = await engine.complete(request, asker="later")
        assert again.value == {"age": 5}
        assert (await engine.complete(request, asker="last")).is_cached
