"""Every dialect against both ways to a model: the lean one and litellm's."""

import gc
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from typing import Any

import pytest

from kiln_mcp.llm import (
    Engine,
    EngineSettings,
    Message,
    ModelAnswer,
    ModelRequest,
    ServerSettings,
    Tool,
)
from kiln_mcp.llm.errors import BadAnswer, ModelError
from misbehaving_models import MODELS, Misbehaviour
from model_zoo import BY_NAME, Zoo, open_zoo

TOOL = Tool("look", "Look around.", {"type": "object", "properties": {}})


@pytest.fixture(scope="module", autouse=True)
def leftovers_of_litellm() -> Iterator[None]:
    """Collect what litellm leaves behind while the warnings about it are still ignored."""
    yield
    gc.collect()


@pytest.fixture
async def zoo() -> AsyncGenerator[Zoo]:
    async with open_zoo() as server:
        yield server


def lean(zoo: Zoo) -> tuple[Engine, str]:
    servers = (ServerSettings("zoo", zoo.address),)
    return Engine(EngineSettings(servers=servers, environment={}, **QUICK)), "zoo"


def litellm(zoo: Zoo) -> tuple[Engine, str]:
    environment = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": zoo.address}
    return Engine(EngineSettings(environment=environment, **QUICK)), "openai"


QUICK: dict[str, Any] = {"attempts": 2, "first_wait_s": 0.001, "timeout_s": 5.0}
Opened = Callable[[Zoo], tuple[Engine, str]]
pytestmark = [
    # litellm leaves its own pooled clients to the interpreter's end.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    # Its own types make pydantic and its serializer complain.
    pytest.mark.filterwarnings("ignore:Item '.*' on TypedDict class:UserWarning"),
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def question(model: Misbehaviour, prefix: str) -> ModelRequest:
    asks = dict(model.asks)
    messages = [Message("system", "You know cities."), Message("user", "The capital of France?")]
    if asks.pop("repeats", False):
        messages.append(Message("user", "In one word."))
    if asks.pop("late_system", False):
        messages.append(Message("system", "Be brief."))
    tools = (TOOL,) if asks.pop("tools", False) else ()
    return ModelRequest(f"{prefix}/{model.name}", tuple(messages), tools=tools, **asks)


async def ask(engine: Engine, request: ModelRequest, *, streams: bool) -> ModelAnswer:
    if not streams:
        return await engine.complete(request, asker="test")
    async with aclosing(engine.stream(request, asker="test")) as parts:
        async for part in parts:
            if isinstance(part, ModelAnswer):
                return part
    raise AssertionError("no answer came")


def facts(answer: ModelAnswer) -> dict[str, Any]:
    usage = answer.usage
    return {
        "text": answer.text,
        "value": answer.value,
        "reasoning": answer.reasoning,
        "output_tokens": usage.output_tokens,
        "hidden_tokens": usage.hidden_tokens,
    }


def test_there_are_enough_of_them_and_each_has_a_name_of_its_own() -> None:
    assert len(BY_NAME) == len(MODELS) >= 60


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("open_engine", [lean, litellm])
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
async def test_a_misbehaving_model_is_answered_for(
    zoo: Zoo, open_engine: Opened, model: Misbehaviour, streams: bool
) -> None:
    engine, prefix = open_engine(zoo)
    request = question(model, prefix)
    async with engine:
        outcome = await outcome_of(engine, request, streams=streams)
        if open_engine is litellm and model.litellm_differs:
            return
        if isinstance(outcome, ModelError):
            assert_failure(outcome, model)
            assert model.sends in {0, len(zoo.bodies)}
        elif model.state:
            assert streams, outcome  # a stream shows what is there, with its state
            assert outcome.state == model.state
        else:
            assert_answer(outcome, model, streams=streams)
            # What was learned holds for the next request, which is sent once.
            before = len(zoo.bodies)
            await ask(engine, question_again(request), streams=streams)
            assert len(zoo.bodies) == before + 1


async def outcome_of(
    engine: Engine, request: ModelRequest, *, streams: bool
) -> ModelAnswer | ModelError:
    try:
        return await ask(engine, request, streams=streams)
    except ModelError as error:
        return error


def assert_failure(error: ModelError, model: Misbehaviour) -> None:
    if isinstance(error, BadAnswer):
        assert error.state == model.state, error
    else:
        assert model.error, error
        assert model.error in str(error)


def assert_answer(answer: ModelAnswer, model: Misbehaviour, *, streams: bool) -> None:
    # A whole answer has no early end.
    assert not model.error or (model.ending in {"early", "torn"} and not streams), answer
    seen = facts(answer)
    assert {name: seen[name] for name in model.expects} == dict(model.expects)
    assert answer.usage.calls == 1


def question_again(request: ModelRequest) -> ModelRequest:
    first, *rest = request.messages
    messages = (Message(first.role, f"{first.content} All of them."), *rest)
    return ModelRequest(
        request.model,
        messages,
        schema=request.schema,
        seed=request.seed,
        stop=request.stop,
        tools=request.tools,
    )
