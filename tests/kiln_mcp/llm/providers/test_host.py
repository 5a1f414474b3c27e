import sqlite3
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from kiln_mcp.llm import Engine, EngineSettings, Message, ModelRequest
from kiln_mcp.llm.errors import BadAnswer, UnknownOrder
from kiln_mcp.llm.model_probe import try_model
from kiln_mcp.llm.providers.host import HostModel
from kiln_mcp.llm.providers.order_batches import OrderBatch
from kiln_mcp.llm.providers.work_orders import LEASE_S, Lease, WorkOrders

AGE = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
REQUEST = ModelRequest("host", (Message("user", "How old?"),), schema=AGE)


async def first_order(orders: WorkOrders, taker: str = "") -> OrderBatch:
    for _ in range(1000):
        if taken := await orders.take(lease=Lease(taker)):
            return taken[0]
        await anyio.sleep(0.005)
    raise AssertionError("no order came")


def id_of(batch: OrderBatch) -> str:
    [(order_id, _)] = batch.items
    return order_id


async def test_the_assistant_answers_and_a_bad_answer_comes_back_with_the_reason() -> None:
    answers: list[object] = []
    async with Engine(EngineSettings(environment={})) as engine:

        async def ask() -> None:
            answers.append((await engine.complete(REQUEST, asker="test")).value)

        with anyio.fail_after(60):
            async with anyio.create_task_group() as group:
                group.start_soon(ask)
                await anyio.wait_all_tasks_blocked()
                order = await first_order(engine.orders)
                assert (order.frame, order.schema) == (REQUEST.messages, AGE)
                problem = await engine.orders.answer(id_of(order), '{"age": "old"}')
                assert problem is not None
                assert "not of type 'integer'" in problem
                assert await engine.orders.answer(id_of(order), '{"age": 5}') is None
                with pytest.raises(UnknownOrder, match="Take the work orders"):
                    await engine.orders.answer(id_of(order), '{"age": 6}')
    assert answers == [{"age": 5}]


async def test_an_item_fails_after_three_answers_that_cannot_be_used() -> None:
    orders = WorkOrders(None)
    failures: list[BadAnswer] = []

    async def ask() -> None:
        try:
            await HostModel(orders).complete(REQUEST)
        except BadAnswer as error:
            failures.append(error)

    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            for _ in range(3):
                order = await first_order(orders)
                problem = await orders.answer(id_of(order), "old")
                assert problem is not None
    assert [failure.state for failure in failures] == ["unreadable"]
    assert await orders.open_count() == 0
    await orders.close()


async def test_an_order_is_taken_by_one_until_its_lease_is_over() -> None:
    now = 1000.0
    orders = WorkOrders(None, clock=lambda: now)
    await orders.add(REQUEST)
    assert len(await orders.take(lease=Lease("first", 60))) == 1
    assert await orders.take(lease=Lease("second")) == ()
    now += 61
    await orders.add(REQUEST)  # somebody still waits for it
    assert len(await orders.take(lease=Lease("second"))) == 1
    await orders.close()


async def test_the_same_request_is_one_order_and_another_sample_is_another() -> None:
    orders = WorkOrders(None)
    first, second = await orders.add(REQUEST), await orders.add(REQUEST)
    assert first == second
    other = ModelRequest("host", REQUEST.messages, schema=AGE, sample=1)
    assert await orders.add(other) != first
    assert await orders.open_count() == 2
    await orders.close()


async def test_an_order_survives_the_process_that_waited_for_it(tmp_path: Path) -> None:
    path = tmp_path / "orders.sqlite"
    before, assistant, after = WorkOrders(path), WorkOrders(path), WorkOrders(path)
    order = None
    async with anyio.create_task_group() as group:
        group.start_soon(HostModel(before).complete, REQUEST)
        order = await first_order(assistant)
        group.cancel_scope.cancel()
    await before.close()
    assert order is not None
    assert await assistant.answer(id_of(order), '{"age": 5}') is None
    with anyio.fail_after(60):
        assert (await HostModel(after).complete(REQUEST)).text == '{"age": 5}'
    await assistant.close()
    await after.close()


async def test_an_order_without_a_waiting_process_is_not_handed_out() -> None:
    now = 1000.0
    orders = WorkOrders(None, clock=lambda: now)
    await orders.add(REQUEST)
    now += 3600
    assert await orders.take() == ()
    await orders.close()


async def test_an_order_is_not_handed_out_once_its_asker_has_gone(tmp_path: Path) -> None:
    path = tmp_path / "orders.sqlite"
    asking, assistant = WorkOrders(path), WorkOrders(path)
    async with anyio.create_task_group() as group:
        group.start_soon(HostModel(asking).complete, REQUEST)
        await first_order(assistant, "gone")
        await assistant.give_back("gone")
        assert await assistant.open_count() == 1
        group.cancel_scope.cancel()
    assert await assistant.open_count() == 0
    assert await assistant.take() == ()
    await asking.close()
    await assistant.close()


async def test_the_order_of_a_killed_asker_is_not_handed_out_for_long() -> None:
    now = 1000.0
    orders = WorkOrders(None, clock=lambda: now)
    await orders.add(REQUEST)
    now += 16
    assert await orders.take() == ()
    await orders.close()


async def test_the_orders_of_a_client_are_open_again_when_it_disconnects() -> None:
    orders = WorkOrders(None)
    await orders.add(REQUEST)
    [order] = await orders.take(lease=Lease("first"))
    await orders.give_back("second")
    assert await orders.take(lease=Lease("third")) == ()
    await orders.give_back("first")
    assert await orders.take(lease=Lease("third")) == (order,)
    await orders.close()


async def test_an_order_is_handed_out_again_to_its_taker_and_to_others_after_the_lease() -> None:
    now = 1000.0
    orders = WorkOrders(None, clock=lambda: now)
    order_id = await orders.add(REQUEST)
    first_batch = await orders.take(lease=Lease("slow"))
    now += LEASE_S / 2
    assert await orders.add(REQUEST) == order_id  # somebody still waits for it
    assert await orders.take(lease=Lease("other")) == ()
    assert await orders.takeable_count("other") == 0
    assert (
        await orders.take(lease=Lease("slow")) == first_batch
    )  # the first answer may have been lost
    now += LEASE_S + 1
    await orders.add(REQUEST)
    assert await orders.take(lease=Lease("other")) == first_batch
    assert await orders.answer(order_id, '{"age": 5}') is None  # the first answer counts
    await orders.close()


async def test_a_client_that_is_not_known_is_handed_its_orders_again() -> None:
    orders = WorkOrders(None)
    await orders.add(REQUEST)
    assert await orders.take() == await orders.take() != ()
    await orders.close()


async def test_orders_of_an_earlier_version_are_still_served(tmp_path: Path) -> None:
    path = tmp_path / "orders.sqlite"
    before = WorkOrders(path)
    await before.add(REQUEST)
    await before.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("ALTER TABLE work_orders DROP COLUMN taken_by")
    after = WorkOrders(path)
    assert len(await after.take(lease=Lease("one"))) == 1
    await after.close()


async def test_a_trial_asks_anew_though_an_answer_to_an_earlier_order_is_there(
    tmp_path: Path,
) -> None:
    settings = EngineSettings(orders=tmp_path / "orders.sqlite", environment={})
    answers: list[str] = []
    async with Engine(settings) as engine:

        async def ask() -> None:
            answers.append((await try_model(engine, "host", "test")).answer.text)

        stale = None
        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            stale = await first_order(engine.orders)
            group.cancel_scope.cancel()
        assert stale is not None
        assert await engine.orders.answer(id_of(stale), "old") is None
        with anyio.fail_after(60):
            async with anyio.create_task_group() as group:
                group.start_soon(ask)
                order = await first_order(engine.orders)
                assert await engine.orders.answer(id_of(order), "new") is None
    assert answers == ["new"]


async def test_what_a_client_took_is_there_for_all_once_the_leases_are_ended(
    tmp_path: Path,
) -> None:
    file = tmp_path / "orders.sqlite"
    orders, later = WorkOrders(file), WorkOrders(file)
    await orders.add(REQUEST)
    [order] = await orders.take(lease=Lease("gone", 60))
    assert await later.take(lease=Lease("next", 60)) == ()
    await later.end_leases()
    [again] = await later.take(lease=Lease("next", 60))
    assert id_of(again) == id_of(order)
    await orders.close()
    await later.close()


async def test_ending_leases_writes_no_file_where_nothing_was_asked(tmp_path: Path) -> None:
    orders = WorkOrders(tmp_path / "orders.sqlite")
    await orders.end_leases()
    assert [path async for path in anyio.Path(tmp_path).iterdir()] == []


async def test_who_looks_without_a_name_keeps_no_order_from_others() -> None:
    orders = WorkOrders(None)
    await orders.add(REQUEST)
    assert len(await orders.take()) == 1
    assert len(await orders.take(lease=Lease("an assistant", 60))) == 1
    await orders.close()
