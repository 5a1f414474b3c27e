"""The records of the items and outputs that are at work, read shortly before they are used."""

from collections.abc import Sequence
from typing import Final

import anyio

from kiln_mcp.evals.eval_items import Item, read_items
from kiln_mcp.evals.measurement import VerdictRequest
from kiln_mcp.run_configs.errors import EvalError
from storage import ProjectStore, TaskRun

READ_AT_ONCE: Final = 64


class RequestRecords:
    """Reads the records of requests, some at once; each is kept until it is taken.

    Args:
        store: The project.
        requests: The requests.
    """

    def __init__(self, store: ProjectStore, requests: Sequence[VerdictRequest]) -> None:
        self._store = store
        self._requests = requests
        self._turn = anyio.Lock()
        self._items: dict[int, Item] = {}
        self._outputs: dict[int, TaskRun] = {}
        self._end = 0

    async def take(self, number: int) -> tuple[Item, TaskRun | None]:
        """Return the item of the request of a number, and its output if it was made before.

        Raises:
            EvalError: A record was deleted since the work was planned, or cannot be read.
        """
        if number >= self._end:
            async with self._turn:
                while number >= self._end:
                    await self._read_more()
        request = self._requests[number]
        item, output = self._items.pop(number, None), self._outputs.pop(number, None)
        if item is None:
            raise _deleted_record("item", request.item.id)
        if output is None and request.output is not None:
            raise _deleted_record("output", request.output.id)
        return item, output

    async def _read_more(self) -> None:
        numbers = range(self._end, min(self._end + READ_AT_ONCE, len(self._requests)))
        references = [self._requests[number].item for number in numbers]
        items = {item.id: item for item in await read_items(self._store, references)}
        paths = {
            n: output.path for n in numbers if (output := self._requests[n].output) is not None
        }
        outputs = await self._store.read_all(TaskRun, paths.values()) if paths else {}
        for number in numbers:
            if (item := items.get(self._requests[number].item.id)) is not None:
                self._items[number] = item
            if (output := outputs.get(paths.get(number, ""))) is not None:
                self._outputs[number] = output
        self._end = numbers.stop


def _deleted_record(noun: str, record_id: str) -> EvalError:
    return EvalError(
        f"The {noun} {record_id} was deleted meanwhile, or its file cannot be read. Run again to "
        "leave it out or to create it again."
    )
