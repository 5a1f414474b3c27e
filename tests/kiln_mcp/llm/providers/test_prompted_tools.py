"""Tools for models that have no tool calls: the embedded one and the connected assistant."""

import json
from collections.abc import Sequence

import anyio
import pytest

from kiln_mcp.llm import (
    Engine,
    EngineSettings,
    Message,
    ModelAnswer,
    ModelRequest,
    Tool,
    ToolCall,
    find_embedded_model,
)
from kiln_mcp.llm.providers.order_batches import OrderBatch
from kiln_mcp.llm.providers.prompted_tools import PromptedTools

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = Tool("weather", "Tells the weather of a city.", CITY)
ASKED = (Message("user", "Is it wet in Bergen?"),)
CALL = ToolCall("call_0", "weather", '{"city": "Bergen"}')


class _Said:
    """Answers with given texts, one after the other, and keeps what it was asked."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = iter(texts)
        self.asked: list[ModelRequest] = []

    async def complete(self, request: ModelRequest) -> ModelAnswer:
        self.asked.append(request)
        return ModelAnswer(next(self._texts))


async def test_a_tool_call_in_words_is_read_and_its_result_returned_in_words() -> None:
    model = _Said(['{"tool": "weather", "arguments": {"city": "Bergen"}}', '{"answer": "Yes."}'])
    request = ModelRequest("x", ASKED, tools=(WEATHER,))
    called = await PromptedTools(model).complete(request)
    assert (called.text, called.tool_calls, called.finish) == ("", (CALL,), "tool_calls")
    followed = request.with_messages(
        Message("assistant", "", tool_calls=called.tool_calls),
        Message("tool", "rain", tool_call_id="call_0"),
    )
    assert (await PromptedTools(model).complete(followed)).text == "Yes."
    first, second = model.asked
    assert first.tools == ()
    assert "weather: Tells the weather" in first.messages[0].content
    assert [message.content for message in second.messages[2:]] == [
        '{"tool": "weather", "arguments": {"city": "Bergen"}}',
        "Result of weather: rain",
    ]


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ('{"answer": {"wet": true}}', '{"wet": true}'),
        ('{"answer": "cut', '{"answer": "cut'),
        ('["neither"]', '["neither"]'),
    ],
)
async def test_an_answer_to_a_schema_comes_as_json_and_what_is_neither_as_it_is(
    said: str, text: str
) -> None:
    schema = {"type": "object", "properties": {"wet": {"type": "boolean"}}}
    model = _Said([said])
    answer = await PromptedTools(model).complete(
        ModelRequest("x", ASKED, schema=schema, tools=(WEATHER,))
    )
    assert (answer.text, answer.tool_calls) == (text, ())


async def test_the_connected_assistant_calls_a_tool_by_its_work_order() -> None:
    answers: list[ModelAnswer] = []
    request = ModelRequest("host", ASKED, tools=(WEATHER,))
    async with Engine(EngineSettings(environment={})) as engine:

        async def ask() -> None:
            answers.append(await engine.complete(request, asker="test"))

        taken: tuple[OrderBatch, ...] = ()
        with anyio.fail_after(60):
            async with anyio.create_task_group() as group:
                group.start_soon(ask)
                while not taken:
                    await anyio.sleep(0.005)
                    taken = await engine.orders.take()
                [(order_id, _)] = taken[0].items
                assert await engine.orders.answer(order_id, '{"tool": "nothing"}') is not None
                said = '{"tool": "weather", "arguments": {"city": "Bergen"}}'
                assert await engine.orders.answer(order_id, said) is None
        again = await engine.complete(request, asker="test")
    assert [answer.tool_calls for answer in (*answers, again)] == [(CALL,), (CALL,)]
    assert again.is_cached


@pytest.mark.embedded
@pytest.mark.skipif(find_embedded_model() is None, reason="the embedded model is not there")
async def test_the_embedded_model_calls_only_tools_that_are_there_with_arguments_that_fit() -> None:
    async with Engine(EngineSettings(environment={})) as engine:
        request = ModelRequest("embedded", ASKED, tools=(WEATHER,), max_tokens=200)
        answer = await engine.complete(request, asker="test")
    assert answer.text or answer.tool_calls
    for call in answer.tool_calls:
        assert call.name == "weather"
        assert isinstance(json.loads(call.arguments)["city"], str)
