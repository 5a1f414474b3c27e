"""Marks for the caches of providers: where they stand, and what cached tokens cost."""

import json
from dataclasses import replace
from typing import Any

import anyio
import pytest
from aiohttp import web

from kiln_mcp.llm import (
    Engine,
    EngineSettings,
    Message,
    ModelAnswer,
    ModelRequest,
    Tool,
    ToolCall,
)
from kiln_mcp.llm.budget.reservation import maximum_expense
from kiln_mcp.llm.prices import Price, litellm_price
from kiln_mcp.llm.providers.prompt_cache import takes_marks, with_cache_marks

CLAUDE = "anthropic/claude-sonnet-4-5"
MARK = {"type": "ephemeral"}
LOOK = Tool("look", "Look.", {"type": "object", "properties": {}})
TALK = (
    Message("system", "Be brief."),
    Message("user", "What is there?"),
    Message("assistant", "", (ToolCall("c1", "look", "{}"),)),
    Message("tool", "a house", tool_call_id="c1"),
)
REQUEST = ModelRequest(CLAUDE, TALK, max_tokens=50, tools=(LOOK,), comes_again=True)
USAGE = {
    "input_tokens": 100,
    "cache_creation_input_tokens": 200,
    "cache_read_input_tokens": 3000,
    "output_tokens": 10,
}


async def ask(request: ModelRequest) -> tuple[ModelAnswer, dict[str, Any]]:
    """Ask a server that speaks Anthropic's format; return the answer and what was sent."""
    bodies: list[dict[str, Any]] = []

    async def messages(http_request: web.Request) -> web.Response:
        bodies.append(await http_request.json())
        message = {
            "id": "m",
            "type": "message",
            "role": "assistant",
            "model": "claude",
            "content": [{"type": "text", "text": "A house."}],
            "stop_reason": "end_turn",
            "usage": USAGE,
        }
        return web.json_response(message)

    app = web.Application()
    app.router.add_post("/v1/messages", messages)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    environment = {"ANTHROPIC_API_KEY": "k", "ANTHROPIC_BASE_URL": address}
    try:
        with anyio.fail_after(60):
            async with Engine(EngineSettings(environment=environment)) as engine:
                answer = await engine.complete(request, asker="test")
    finally:
        await runner.cleanup()
    return answer, bodies[0]


async def test_what_comes_again_is_marked_and_its_tokens_have_their_own_price() -> None:
    answer, body = await ask(REQUEST)
    assert body["system"][-1]["cache_control"] == MARK
    assert body["tools"][-1]["cache_control"] == MARK
    marked = [m for m in body["messages"] if "cache_control" in json.dumps(m)]
    assert marked == [body["messages"][0], body["messages"][-1]]
    usage, price = answer.usage, litellm_price(CLAUDE)
    assert price is not None
    assert (usage.input_tokens, usage.cached_tokens, usage.written_tokens) == (3300, 3000, 200)
    assert usage.cost_usd == pytest.approx(
        100 * price.per_input_token
        + 3000 * price.per_cached_token
        + 200 * 1.25 * price.per_input_token
        + 10 * price.per_output_token
    )
    assert price.per_cached_token < price.per_input_token / 5


async def test_a_request_that_does_not_come_again_has_no_marks() -> None:
    _, body = await ask(replace(REQUEST, comes_again=False))
    assert "cache_control" not in json.dumps(body)


def test_no_more_than_four_places_are_marked_and_none_that_is_empty() -> None:
    texts = [("system", "s"), *[("user", "u"), ("assistant", "a")] * 5, ("user", "")]
    body = {
        "messages": [{"role": role, "content": text} for role, text in texts],
        "tools": [{"type": "function"}, {"type": "function"}],
    }
    marked = with_cache_marks(body)
    places = [n for n, message in enumerate(marked["messages"]) if "cache_control" in message]
    assert len(places) <= 3
    assert all(marked["messages"][place]["content"] for place in places)
    assert [tool.get("cache_control") for tool in marked["tools"]] == [None, MARK]
    assert "cache_control" not in json.dumps(body)


@pytest.mark.parametrize(
    ("model", "takes"),
    [
        (CLAUDE, True),
        ("claude-sonnet-4-5", True),
        ("bedrock/anthropic.claude-3-5-sonnet-20240620-v1:0", True),
        ("openrouter/anthropic/claude-sonnet-4.5", True),
        ("openai/gpt-4.1", False),
        ("openrouter/openai/gpt-4.1", False),
        ("my-server/claude-like", False),
    ],
)
def test_marks_are_for_models_whose_providers_take_them(model: str, takes: bool) -> None:
    assert takes_marks(model) is takes


def test_what_is_written_to_a_cache_is_reserved_at_its_higher_price() -> None:
    price = Price(1e-6, 0.0, 1e-7, per_written_token=2e-6)
    once = maximum_expense(replace(REQUEST, comes_again=False), price).cost_usd
    assert maximum_expense(REQUEST, price).cost_usd == pytest.approx(2 * once)
