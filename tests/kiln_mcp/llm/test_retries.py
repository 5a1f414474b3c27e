import anyio
import pytest

from kiln_mcp.llm import Message, ModelAnswer, ModelRequest
from kiln_mcp.llm.budget.reservation import Reservation
from kiln_mcp.llm.errors import DatabaseFailure
from kiln_mcp.llm.limits.rate_limiter import RateLimiters
from kiln_mcp.llm.limits.shared_limits import ServerLimits
from kiln_mcp.llm.limits.wait_policy import WaitPolicy
from kiln_mcp.llm.response_cache.cache import CacheEntry
from kiln_mcp.llm.retries import RetryPolicy, Route
from scripted_model import ScriptedModel

REQUEST = ModelRequest("m", (Message("user", "?"),))


def route_to(model: ScriptedModel, at_once: int) -> Route:
    return Route(model, "m", "m", RateLimiters().make("m", ServerLimits(at_once)))


async def test_a_call_holds_its_turn_until_its_answer_is_kept() -> None:
    model = ScriptedModel(["one", "two", "three"])
    route = route_to(model, at_once=2)
    disk, kept = anyio.Event(), list[str]()

    async def keep(answer: ModelAnswer) -> CacheEntry:
        await disk.wait()
        kept.append(answer.text)
        return CacheEntry(answer, None)

    async def ask() -> None:
        await RetryPolicy(1, 0).send(route, REQUEST, Reservation(), WaitPolicy("m"), keep)

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        assert (len(model.requests), kept) == (2, [])
        disk.set()
    assert (len(model.requests), sorted(kept)) == (3, ["one", "three", "two"])


async def test_an_answer_that_cannot_be_kept_is_not_asked_for_again() -> None:
    model = ScriptedModel(["one", "two"])
    route = route_to(model, at_once=1)

    async def keep(_: ModelAnswer) -> CacheEntry:
        raise DatabaseFailure("the disk is full")

    with pytest.raises(DatabaseFailure):
        await RetryPolicy(3, 0).send(route, REQUEST, Reservation(), WaitPolicy("m"), keep)
    assert (len(model.requests), route.rate_limiter.in_flight) == (1, 0)
