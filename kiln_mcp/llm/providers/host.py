"""The model `host`: the connected assistant, reached by work orders."""

import time
from dataclasses import replace
from typing import Final

import anyio

from kiln_mcp.llm.errors import ModelError
from kiln_mcp.llm.messages import ModelAnswer, ModelRequest, Usage
from kiln_mcp.llm.providers.work_orders import WorkOrders

WAIT_S: Final = 3600.0
BYTES_PER_TOKEN: Final = 4


class HostModel:
    """The assistant that is connected over MCP, reached by work orders."""

    def __init__(self, orders: WorkOrders, wait_s: float = WAIT_S, asker: str = "") -> None:
        """Set up.

        Args:
            orders: The queue.
            wait_s: The longest wait for an answer.
            asker: Who asks, as a path.
        """
        self._orders = orders
        self._asker = asker
        self._wait_s = wait_s

    async def complete(self, request: ModelRequest) -> ModelAnswer:
        """Add the request to the queue and wait for the assistant.

        Raises:
            ModelError: No assistant answered in time, or no answer could be used.
        """
        started = time.perf_counter()
        order_id = await self._orders.add(replace(request, seed=None), self._asker)
        try:
            with anyio.fail_after(self._wait_s):
                reply = await self._orders.wait_for(order_id)
        except TimeoutError as error:
            raise ModelError(
                "No assistant answered the work order within {seconds} s. Connect one that takes "
                "and answers work orders, or name another model.",
                seconds=round(self._wait_s),
            ) from error
        read = sum(len(message.content) for message in request.messages)
        usage = Usage(read // BYTES_PER_TOKEN, len(reply.text) // BYTES_PER_TOKEN)
        return ModelAnswer(
            reply.text,
            usage=usage,
            latency_s=time.perf_counter() - started,
            client=reply.client,
        )
