"""Read the records of items and outputs shortly before they are used."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import anyio

from kiln_mcp.evals.eval_items import Item, case_of, read_items, stored_case
from kiln_mcp.evals.output_work import OutputWork
from kiln_mcp.evaluators.evaluator import Evaluator, LooksAhead
from kiln_mcp.run_configs.errors import EvalError
from kiln_mcp.run_configs.item_templates import Case
from storage import ProjectStore, TaskRun

READ_AT_ONCE: Final = 64


@dataclass(frozen=True, slots=True)
class EarlierOutput:
    """An output that was made before.

    Attributes:
        run: The run that holds it.
        case: The item with it, as the evaluator gets it.
    """

    run: TaskRun
    case: Case


Settle = Callable[[Mapping[int, tuple[Item, EarlierOutput]]], Awaitable[Collection[int]]]
"""Gets outputs that were read, by the number of their work; returns which of them are done."""


class RequestRecords:
    """Reads the records of outputs to judge, some at once; each is kept until it is taken.

    An evaluator that looks ahead gets the cases that were read.

    Args:
        store: The project.
        work: The outputs with their requests.
        evaluators: Score the outputs; requests name them by their number.
        settle: Gets the outputs that were read before the others do.
    """

    def __init__(
        self,
        store: ProjectStore,
        work: Sequence[OutputWork],
        evaluators: Sequence[Evaluator],
        settle: Settle,
    ) -> None:
        self._store = store
        self._work = work
        self._requests = [output.first for output in work]
        self._evaluators = evaluators
        self._turn = anyio.Lock()
        self._items: dict[int, Item] = {}
        self._outputs: dict[int, EarlierOutput] = {}
        self._settle = settle
        self._finished_work: set[int] = set()
        self._end = 0

    async def take(self, number: int) -> tuple[Item, EarlierOutput | None] | None:
        """Return the item of the work of a number, and its output if it was made before.

        Returns:
            None if the work is done already.

        Raises:
            EvalError: A record was deleted since the work was planned, or cannot be read.
        """
        if number >= self._end:
            async with self._turn:
                while number >= self._end:
                    await self._read_more()
        if number in self._finished_work:
            return None
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
            if item is not None and (run := outputs.get(paths.get(number, ""))) is not None:
                has_config = self._requests[number].run_config is not None
                case = case_of(item, run) if has_config else stored_case(run)
                self._outputs[number] = EarlierOutput(run, case)
        for key, evaluator in enumerate(self._evaluators):
            cases = [
                self._outputs[number].case
                for number in numbers
                if number in self._outputs and key in self._work[number].requests
            ]
            if cases and isinstance(evaluator, LooksAhead):
                await evaluator.look_ahead(cases)
        await self._settle_known(numbers)
        self._end = numbers.stop

    async def _settle_known(self, numbers: range) -> None:
        """Offer outputs that nobody can have taken yet to `settle`."""
        outputs = {n: (self._items[n], self._outputs[n]) for n in numbers if n in self._outputs}
        finished_work = await self._settle(outputs) if outputs else ()
        for number in finished_work:
            del self._items[number], self._outputs[number]
        self._finished_work.update(finished_work)


def _deleted_record(noun: str, record_id: str) -> EvalError:
    return EvalError(
        f"The {noun} {record_id} was deleted meanwhile, or its file cannot be read. Run again to "
        "leave it out or to create it again."
    )
