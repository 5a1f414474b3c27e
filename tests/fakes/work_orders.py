"""The assistant in the role of the model `host`: its orders, as it reads them from answers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mcp import Client

from kiln_mcp.llm import MARKER


@dataclass(frozen=True, slots=True)
class Order:
    """One work order: its id, its last message, all its messages, its schema."""

    id: str
    text: str
    messages: tuple[str, ...]
    schema: Mapping[str, Any] | None


def orders_in(answer: Mapping[str, Any] | None) -> list[Order]:
    """Return the work orders of a tool's structured answer."""
    orders: list[Order] = []
    batches: list[Mapping[str, Any]] = (answer or {}).get("orders", [])
    for batch in batches:
        *earlier, last = [message["content"] for message in batch["messages"]]
        for item in batch["items"]:
            text = last.replace(MARKER, item["content"]) if "content" in item else last
            messages = (*earlier, text)
            orders.append(Order(item["id"], text, messages, batch.get("answer_schema")))
    return orders


async def take_orders(client: Client, wait_s: float = 0) -> list[Order]:
    """Take the orders that wait."""
    answer = await client.call_tool("answer_work_orders", {"answers": [], "wait_s": wait_s})
    return orders_in(answer.structured_content)


async def answer_until_done(
    client: Client, first: Mapping[str, Any] | None, reply: Callable[[Order], object]
) -> tuple[Mapping[str, Any], int]:
    """Answer orders until none come; return the last answer, and the number of calls.

    Args:
        client: The assistant's client.
        first: The answer of the call that began the job.
        reply: The model.
    """
    answer: Mapping[str, Any] = first or {}
    calls = 0
    while orders := orders_in(answer):
        answers = [{"id": order.id, "answer": reply(order)} for order in orders]
        result = await client.call_tool("answer_work_orders", {"answers": answers})
        content: Mapping[str, Any] | None = result.structured_content
        answer, calls = content or {}, calls + 1
    return answer, calls
