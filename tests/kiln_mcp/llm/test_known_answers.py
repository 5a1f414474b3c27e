"""Known answers come from the response cache together, and are those of `complete`."""

from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from kiln_mcp.llm import (
    BudgetLimit,
    CallCounter,
    Engine,
    EngineSettings,
    Message,
    ModelAnswer,
    ModelRequest,
)
from kiln_mcp.llm.errors import ModelError
from kiln_mcp.llm.messages import Model
from scripted_model import ScriptedModel

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def requests(numbers: range) -> list[ModelRequest]:
    return [ModelRequest("m", (Message("user", f"Say {n}."),), schema=SCHEMA) for n in numbers]


class SlowModel:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.has_begun, self.goes_on = anyio.Event(), anyio.Event()

    async def complete(self, request: ModelRequest) -> ModelAnswer:
        del request
        self.has_begun.set()
        await self.goes_on.wait()
        return ModelAnswer('{"n": 2}')


def engine_in(folder: Path, model: Model) -> Engine:
    settings = EngineSettings(response_cache=folder / "responses.sqlite", environment={})
    return Engine(settings, models={"m": model})


def says_number(request: ModelRequest) -> str:
    number = request.messages[0].content.removeprefix("Say ").removesuffix(".")
    return f'{{"n": {number}}}'


async def test_known_answers_are_those_of_complete_and_nobody_is_asked(tmp_path: Path) -> None:
    model = ScriptedModel(says_number)
    async with engine_in(tmp_path, model) as engine:
        for request in requests(range(0, 40, 2)):
            await engine.complete(request, asker="first")
        known = await engine.known_answers(requests(range(40)), asker="second")
        assert len(model.requests) == 20
        again = [await engine.complete(request, asker="x") for request in requests(range(0, 40, 2))]
        assert known[::2] == again
        assert known[1::2] == [None] * 20
        assert await engine.known_answers([], asker="second") == []


async def test_of_several_answers_the_newest_is_known_and_each_sample_has_its_own(
    tmp_path: Path,
) -> None:
    answers: Iterator[str] = iter(['{"n": 1}', '{"n": 2}', '{"n": 3}'])
    [first] = requests(range(1))
    second = ModelRequest("m", first.messages, schema=SCHEMA, sample=1)
    async with engine_in(tmp_path, ScriptedModel(lambda _: next(answers))) as engine:
        await engine.complete(first, asker="a")
        await engine.complete(first, asker="a", fresh=True)
        await engine.complete(second, asker="a")
        known = await engine.known_answers([second, first], asker="a")
        assert [answer and answer.value for answer in known] == [{"n": 3}, {"n": 2}]


@pytest.mark.parametrize("text", ["no JSON", '{"n": "x"}', "", "I'm sorry, but I can't help."])
async def test_an_answer_that_cannot_be_used_is_not_known(tmp_path: Path, text: str) -> None:
    [request] = requests(range(1))
    async with engine_in(tmp_path, ScriptedModel(lambda _: text)) as engine:
        with pytest.raises(ModelError):
            await engine.complete(request, asker="a")
        assert await engine.known_answers([request], asker="a") == [None]


async def test_a_request_that_is_in_flight_is_not_known(tmp_path: Path) -> None:
    [request] = requests(range(1))
    model = SlowModel()
    async with engine_in(tmp_path, model) as engine:
        model.goes_on.set()
        await engine.complete(request, asker="a")
        model.has_begun, model.goes_on = anyio.Event(), anyio.Event()

        async def ask_again() -> None:
            await engine.complete(request, asker="a", fresh=True)

        with anyio.fail_after(60):
            async with anyio.create_task_group() as group:
                group.start_soon(ask_again)
                await model.has_begun.wait()
                assert await engine.known_answers([request], asker="a") == [None]
                model.goes_on.set()
        assert await engine.known_answers([request], asker="a") != [None]


async def test_only_answers_that_the_asker_paid_for_in_its_job_count_as_calls(
    tmp_path: Path,
) -> None:
    async with engine_in(tmp_path, ScriptedModel(says_number)) as engine:
        job = engine.within(await engine.budget("jobs/1", BudgetLimit()))
        for request in requests(range(3)):
            await job.complete(request, asker="trial 1")
        counted: list[int] = []
        for asker in ("trial 1", "trial 2"):
            counter = CallCounter()
            await job.with_counter(counter).known_answers(requests(range(5)), asker=asker)
            counted.append(counter.calls)
        assert counted == [3, 0]
