"""Answer work orders by asking the client's model directly, where the client offers that."""

from dataclasses import replace
from typing import Final

import anyio

from kiln_mcp.llm import Lease, Message, OrderBatch
from kiln_mcp.llm.answer_schemas import choices_instruction, instruction_for
from kiln_mcp.llm.errors import UnknownOrder
from kiln_mcp.workbench.workspace import Sampler, Workspace

REQUESTS_AT_ONCE: Final = 4


class OrderSampler:
    """Answers the work orders of one job through a sampler, while a call waits for the job.

    Attributes:
        has_stopped: Whether the client declined; its orders are for the assistant's tools then.
    """

    def __init__(self, workspace: Workspace, sampler: Sampler, asker: str) -> None:
        """Set up.

        Args:
            workspace: Of the client.
            sampler: The client's model.
            asker: Whose orders; may hold `*` as in file names.
        """
        self.has_stopped = False
        self._workspace = workspace
        self._sampler = sampler
        self._asker = asker

    async def run(self) -> None:
        """Answer orders until the client declines one; the caller cancels it."""
        async with anyio.create_task_group() as group:
            for number in range(REQUESTS_AT_ONCE):
                group.start_soon(self._work, number)

    async def _work(self, number: int) -> None:
        orders = self._workspace.engine.orders
        # Each of the requests at once is a taker of its own, so that no two take one order.
        taker = f"{self._workspace.client} sampling {self._asker} {number}"
        try:
            while not self.has_stopped:
                batches = await orders.take(lease=Lease(taker), asker=self._asker, count=1)
                if not batches:
                    await anyio.sleep(self._workspace.settings.poll_s)
                for batch in batches:
                    await self._answer(batch)
        finally:
            with anyio.CancelScope(shield=True):
                await orders.give_back(taker)

    async def _answer(self, batch: OrderBatch) -> None:
        [(order_id, item)] = batch.items
        text = await self._sampler.sample(_with_form(batch, batch.messages_with(item)))
        if text is None:
            self.has_stopped = True
            return
        try:
            await self._workspace.engine.orders.answer(order_id, text, self._workspace.caller)
        except UnknownOrder:  # another client was quicker
            return


def _with_form(batch: OrderBatch, messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Return messages with the form of the answer in words, as a client's model needs it."""
    *earlier, last = messages
    forms = (
        instruction_for(batch.schema) if batch.schema is not None else "",
        choices_instruction(batch.choices) if batch.choices else "",
    )
    return (*earlier, replace(last, content="\n\n".join(filter(None, (last.content, *forms)))))
