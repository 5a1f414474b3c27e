import time
from pathlib import Path

import anyio
import pytest

from kiln_mcp.llm import (
    EmbeddedSettings,
    Engine,
    EngineSettings,
    Message,
    ModelAnswer,
    ModelRequest,
    find_embedded_model,
)
from kiln_mcp.llm.engine import ANY_STATE
from kiln_mcp.llm.errors import ContextOverflow, ModelError

pytestmark = pytest.mark.embedded
needs_model = pytest.mark.skipif(
    find_embedded_model() is None, reason="the embedded model is not fetched: kiln-mcp models pull"
)
ORDER = {
    "type": "object",
    "properties": {"item": {"type": "string"}, "count": {"type": "integer"}},
    "required": ["item", "count"],
}


def user(text: str, **changes: object) -> ModelRequest:
    return ModelRequest("embedded", (Message("user", text),), **changes)  # pyright: ignore[reportArgumentType]


async def test_a_missing_file_names_the_command_that_fetches_it(tmp_path: Path) -> None:
    settings = EmbeddedSettings(path=tmp_path / "none.gguf")
    async with Engine(EngineSettings(embedded=settings, environment={})) as engine:
        with pytest.raises(ModelError, match="kiln-mcp models pull"):
            await engine.complete(user("Hello"), asker="test")


@needs_model
async def test_the_embedded_model_answers_json_choices_logprobs_and_raw_text() -> None:
    async with Engine(EngineSettings(environment={})) as engine:
        order = await engine.complete(
            user("Text: I want 3 lamps.\nGive item and count as JSON.", schema=ORDER), asker="test"
        )
        choice = await engine.complete(
            user("Is the sky blue?", choices=("yes", "no"), top_logprobs=5), asker="test"
        )
        raw = ModelRequest(
            "embedded", (Message("raw", "1. Red\n2. Blue\n3."),), stop=("\n",), max_tokens=12
        )
        line = await engine.complete(raw, asker="test")
    assert isinstance(order.value, dict)
    assert set(order.value) == {"item", "count"}
    assert order.usage.cost_usd == 0.0
    assert choice.text in {"yes", "no"}
    assert len(choice.logprobs[0].alternatives) == 5
    assert line.text.strip()
    assert "\n" not in line.text


@needs_model
async def test_the_same_seed_repeats_and_samples_differ() -> None:
    async with Engine(EngineSettings(environment={})) as engine:

        async def story(sample: int) -> str:
            request = user("Tell a story.", temperature=1.0, max_tokens=24, seed=7, sample=sample)
            answer = await engine.complete(request, asker="test", fresh=True, accept=ANY_STATE)
            return answer.text

        assert await story(0) == await story(0)
        assert await story(0) != await story(1)


@needs_model
async def test_a_request_longer_than_the_context_is_refused() -> None:
    settings = EmbeddedSettings(context_tokens=256, instances=1)
    async with Engine(EngineSettings(embedded=settings, environment={})) as engine:
        with pytest.raises(ContextOverflow, match="longer than the model can read"):
            await engine.complete(user("word " * 600), asker="test")


@needs_model
async def test_a_calls_time_is_the_models_own_without_the_wait_for_a_free_instance() -> None:
    settings = EngineSettings(embedded=EmbeddedSettings(instances=1), environment={})
    answers: list[ModelAnswer] = []

    async def ask(engine: Engine, number: int) -> None:
        answers.append(
            await engine.complete(
                user(f"Count from {number}.", max_tokens=24), asker="test", accept=ANY_STATE
            )
        )

    async with Engine(settings) as engine:
        started = time.perf_counter()
        async with anyio.create_task_group() as group:
            for number in range(6):
                group.start_soon(ask, engine, number)
        wall = time.perf_counter() - started
    assert sum(answer.latency_s for answer in answers) <= wall
