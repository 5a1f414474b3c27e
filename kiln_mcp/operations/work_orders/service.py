"""Capabilities: take and answer work orders."""

import json
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from kiln_mcp.llm.errors import UnknownOrder
from kiln_mcp.operations.work_orders.answers import (
    Order,
    OrderList,
    OrderMessage,
    OrderVerdict,
    OrderVerdicts,
)
from kiln_mcp.workbench.capability import Effect, capability
from kiln_mcp.workbench.workspace import Workspace
from storage.errors import NextStep


@capability(effect=Effect.WRITES, title="Take work orders")
async def take_work_orders(
    workspace: Workspace,
    count: Annotated[int, Field(ge=1, le=20, description="How many to take.")] = 5,
) -> OrderList:
    """Take questions that wait for the model `host`, which is you; answer each on its own.

    An order's messages are a task for you as a model. Answer them without any other context, with
    JSON that fits answer_schema if there is one. Orders go back on the queue when you are
    disconnected, or have called no tool for 90 seconds.
    """
    orders = await workspace.engine.orders.take(count, workspace.client)
    waiting = await workspace.engine.orders.open_count()
    return OrderList(
        orders=[
            Order(
                id=order.id,
                messages=[OrderMessage(role=m.role, content=m.content) for m in order.messages],
                answer_schema=None if order.schema is None else dict(order.schema),
                choices=list(order.choices) or None,
            )
            for order in orders
        ],
        still_waiting=waiting,
        next=[
            NextStep(tool="answer_work_orders", reason="hand your answers in")
            if orders
            else NextStep(
                tool="take_work_orders", reason="look again while a job with the model host runs"
            )
        ],
    )


def _as_text(answer: object) -> object:
    """Return an answer that arrived as JSON as its text."""
    return answer if answer is None or isinstance(answer, str) else json.dumps(answer)


class OrderAnswer(BaseModel):
    """Your answer to one order."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    id: Annotated[str, Field(description="The order's id.")]
    answer: Annotated[
        str,
        BeforeValidator(_as_text),
        Field(description="The answer as text; JSON if the order has a schema."),
    ]


@capability(effect=Effect.WRITES, title="Answer work orders")
async def answer_work_orders(
    workspace: Workspace,
    answers: Annotated[list[OrderAnswer], Field(description="Your answers.", min_length=1)],
) -> OrderVerdicts:
    """Hand in answers to work orders; one that does not fit its schema comes back with why."""
    orders = workspace.engine.orders
    verdicts: list[OrderVerdict] = []
    for item in answers:
        try:
            problem = await orders.answer(item.id, item.answer)
        except UnknownOrder as error:  # the other answers still count
            problem = str(error)
        verdicts.append(OrderVerdict(id=item.id, accepted=problem is None, problem=problem))
    return OrderVerdicts(answers=verdicts, still_waiting=await orders.open_count())
