from pathlib import Path

import anyio
import pytest

from kiln_mcp.llm import Engine, EngineSettings, Message, ModelRequest
from kiln_mcp.llm.errors import UnknownOrder
from kiln_mcp.llm.orders import HostModel, WorkOrder, WorkOrders

AGE = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
REQUEST = ModelRequest("host", (Message("user", "How old?"),), schema=AGE)


async def first_order(orders: WorkOrders) -> WorkOrder:
    for _ in range(1000):
        if taken := await orders.take(1):
            return taken[0]
        await anyio.sleep(0.005)
    raise AssertionError("no order came")


async def test_the_assistant_answers_and_a_bad_answer_comes_back_with_the_reason() -> None:
    answers: list[object] = []
    async with Engine(EngineSettings(environment={})) as engine:

        async def ask() -> None:
            answers.append((await engine.complete(REQUEST, asker="test")).parsed)

        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                group.start_soon(ask)
                await anyio.wait_all_tasks_blocked()
                order = await first_order(engine.orders)
                assert (order.messages, order.schema) == (REQUEST.messages, AGE)
                problem = await engine.orders.answer(order.id, '{"age": "five"}')
                assert problem is not None
                assert "not of type 'integer'" in problem
                assert await engine.orders.answer(order.id, '{"age": 5}') is None
                with pytest.raises(UnknownOrder, match="take_work_orders"):
                    await engine.orders.answer(order.id, '{"age": 6}')
    assert answers == [{"age": 5}]


async def test_an_order_is_taken_by_one_until_its_lease_is_over() -> None:
    now = 1000.0
    orders = WorkOrders(None, clock=lambda: now)
    await orders.put(REQUEST)
    assert len(await orders.take(5, lease_s=60)) == 1
    assert await orders.take(5) == ()
    now += 61
    assert len(await orders.take(5)) == 1
    await orders.close()


async def test_the_same_request_is_one_order_and_another_sample_is_another() -> None:
    orders = WorkOrders(None)
    first, second = await orders.put(REQUEST), await orders.put(REQUEST)
    assert first == second
    other = ModelRequest("host", REQUEST.messages, schema=AGE, sample=1)
    assert await orders.put(other) != first
    assert await orders.open_count() == 2
    await orders.close()


async def test_an_order_outlives_the_process_that_waited_for_it(tmp_path: Path) -> None:
    path = tmp_path / "orders.sqlite"
    before, assistant, after = WorkOrders(path), WorkOrders(path), WorkOrders(path)
    with anyio.move_on_after(0.2):
        await HostModel(before).complete(REQUEST)
    await before.close()
    [order] = await assistant.take(1)
    assert await assistant.answer(order.id, '{"age": 5}') is None
    with anyio.fail_after(5):
        assert (await HostModel(after).complete(REQUEST)).text == '{"age": 5}'
    await assistant.close()
    await after.close()


async def test_an_order_that_nobody_waits_for_any_more_is_not_handed_out() -> None:
    now = 1000.0
    orders = WorkOrders(None, clock=lambda: now)
    await orders.put(REQUEST)
    now += 3600
    assert await orders.take(5) == ()
    await orders.close()
