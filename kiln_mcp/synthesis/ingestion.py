"""Add data to a task, from a file or from the call itself."""

import json
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import ExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Final

import anyio.to_thread

from kiln_mcp.datasets.items import data_set
from kiln_mcp.datasets.parts import tag_filter
from kiln_mcp.synthesis.answers import AddedData, ContradictedInput, ItemExample
from kiln_mcp.synthesis.bad_rows import BadRowList
from kiln_mcp.synthesis.existing_items import ExistingItems, existing_items
from kiln_mcp.synthesis.new_items import Author, DataItem, mapping_places, source_of
from kiln_mcp.synthesis.report import FILE, write_report
from kiln_mcp.synthesis.split_assignment import deal_step
from kiln_mcp.workbench.workspace import Workspace
from storage import ProjectStore, Task, TaskRun
from storage.errors import InvalidValue, NextStep, Refusal, system_reason
from storage.exchange import (
    BadRow,
    ColumnMapping,
    Contradictions,
    ItemOrigin,
    ItemTable,
    NewItem,
    RecordMaker,
    TableOptions,
    TableSource,
    example_table,
    fitting_items,
    open_source,
    save_items,
    survey_of,
)
from storage.exchange.item_process import LONG, rows_of
from storage.exchange.item_records import OutputKind
from storage.exchange.item_worker import ItemRequest
from storage.exchange.refusals import unusable_table
from storage.index.queries import RunQuery
from storage.records.run import IMPORT_ADAPTER
from storage.text.excerpts import excerpt, with_remainder

_CALL: Final = "the call"
_CALL_MAPPING: Final = ColumnMapping("input", "output", "tags", "topic")
_MOST_EXAMPLES: Final = 5
_LONGEST_SHOWN: Final = 300
_MOST_NAMED: Final = 20
_MOST_MEASURED: Final = 5000
"""Items up to which near-duplicates are counted at once; a split counts them for any number."""


@dataclass(frozen=True, slots=True)
class DataRequest:
    """What a call asks to be added.

    Attributes:
        file: A table; None if there are items.
        items: Items of the call.
        mapping: Which columns hold what.
        outputs: What the outputs are; None if the table says it.
        contradictions: What to do with inputs that have several references.
        author: Who wrote the items.
        tags: Tags for all of them.
        options: How the file is read.
    """

    file: str | None
    items: Sequence[DataItem]
    mapping: ColumnMapping | None
    outputs: OutputKind | None
    contradictions: Contradictions
    author: Author
    tags: Sequence[str]
    options: TableOptions


async def add_table(
    workspace: Workspace, store: ProjectStore, task: Task, request: DataRequest, *, preview: bool
) -> AddedData:
    """Add the table of a call to a task, or show what would come of it.

    Raises:
        Refusal: It cannot be read, or it is not clear how.
    """
    async with _open_source(workspace, request) as source:
        mapping = request.mapping
        is_file = request.file is not None
        is_assistants = not is_file and request.author == "assistant"
        origin = ItemOrigin(
            source_of(request.author, source.file_name if is_file else None),
            source.file_name,
            source.digest,
            (*(("synthetic",) if is_assistants else ()), *request.tags),
            request.outputs,
        )
        examples = await anyio.to_thread.run_sync(
            example_table, source, mapping if is_file else _CALL_MAPPING
        )
        if not preview:
            examples.check_certain()
        maker = RecordMaker(task, origin)
        survey = await anyio.to_thread.run_sync(survey_of, examples, maker, request.contradictions)
        existing = await existing_items(store, task, survey.keys)
        table = ItemTable(examples, maker, existing.keys, request.contradictions, survey)
        bad = BadRowList(workspace.settings.home / "imports", source.file_name, source.unit)
        addition = _Addition(workspace, store, task, request, table, existing, bad)
        return await (addition.preview() if preview else addition.save())


_BY_MODELS: Final = RunQuery(source="synthetic", is_from_eval=False)


def _judge_step(project: str) -> NextStep:
    return NextStep(
        tool="create_evaluator",
        reason="say what a bad answer is, to see how often these fail",
        arguments={"project": project},
    )


@dataclass(slots=True)
class _Addition:
    """One call that adds a table, or shows what would come of it."""

    workspace: Workspace
    store: ProjectStore
    task: Task
    request: DataRequest
    table: ItemTable
    existing: ExistingItems
    bad: BadRowList
    new_items: int = 0
    repeats: int = 0
    updates: int = 0

    async def save(self) -> AddedData:
        """Save the items."""
        project = str(self.store.folder)
        row_count, total = 0, self.table.survey.row_count or None
        async with (
            self._rows() as rows,
            aclosing(save_items(self.store, self.task, rows)) as batches,
        ):
            async for saved in batches:
                await anyio.to_thread.run_sync(self.bad.add, saved.bad_rows)
                self.new_items += saved.new_items
                self.repeats += saved.repeats
                self.updates += saved.updates
                row_count += saved.row_count
                await self.workspace.report(row_count, total, f"{self.new_items} items added")
        self._refuse_if_all_bad()
        count = await self.store.count_runs(self.task, RunQuery("all", is_from_eval=False))
        input_count = (await self.store.counts(self.task)).get("eval_input", 0)
        near = await self._near_duplicates() if count <= _MOST_MEASURED else None
        steps = [deal_step(project)] if count or input_count else []
        if await self.store.count_runs(self.task, _BY_MODELS):
            steps.insert(0, _judge_step(project))
        if self.table.without_output:
            steps.append(_inputs_step(project, self.table.maker.origin.tags))
        if self.table.contradiction_count:
            steps = [*self._decision_steps(project), *steps]
        return self._answer().model_copy(
            update={
                "near_duplicates": near,
                "items": count + input_count,
                "report": None if near is None else FILE,
                "next": steps,
            }
        )

    @asynccontextmanager
    async def _rows(self) -> AsyncGenerator[Iterable[tuple[int, NewItem | BadRow]]]:
        """Read the rows here, or those of a long file in a process of their own.

        Where the task has schemas, the rows wait for these most of the time.
        """
        table, request = self.table, self.request
        has_schema = self.task.input_json_schema or self.task.output_json_schema
        if request.file is None or has_schema or table.survey.row_count < LONG:
            yield table
            return
        place = self.workspace.place(request.file).absolute()
        item_request = ItemRequest(
            place,
            request.options,
            request.mapping,
            self.task,
            table.maker.origin,
            table.rule,
            table.survey,
            table.known_items,
        )
        with ExitStack() as stack:
            rows_elsewhere = rows_of(item_request, table)
            yield await anyio.to_thread.run_sync(stack.enter_context, rows_elsewhere)

    def _decision_steps(self, project: str) -> list[NextStep]:
        """Return how inputs with several right outputs are decided, in the table or the dataset."""
        table, references = self.table, self.existing.references
        steps: list[NextStep] = []
        if table.rule is Contradictions.LEAVE_OUT and table.contradictions.keys() - references:
            steps.append(_decision_step(project))
        if references:
            steps.append(_repair_step(project))
        return steps

    def _refuse_if_all_bad(self) -> None:
        """Refuse a table of which no row can be an item.

        Raises:
            Refusal: It is one.
        """
        table = self.table
        is_any = (
            self.new_items
            or self.repeats
            or self.updates
            or table.repeats
            or table.contradiction_count
        )
        if self.bad.count and not is_any:
            rest_count = self.bad.count - _MOST_EXAMPLES
            raise Refusal(
                "Nothing was added, since no row can be an item. {rows}{rest}. Correct them, and "
                "add them again.",
                rows="; ".join(self.bad.first[:_MOST_EXAMPLES]).rstrip("."),
                rest=f"; … and {rest_count} more" if rest_count > 0 else "",
            )

    async def preview(self) -> AddedData:
        """Return what would come of the table."""
        first_items = await anyio.to_thread.run_sync(self._try_all)
        examples = self.table.examples
        return self._answer().model_copy(
            update={
                "is_preview": True,
                "is_guess": examples.is_guess,
                "columns": _first(list(examples.columns)),
                "mapping": mapping_places(examples.mapping),
                "first_items": [_item_example(item) for item in first_items],
            }
        )

    def _try_all(self) -> list[NewItem]:
        """Make each item and save none; return the first ones."""
        first_items: list[NewItem] = []
        rows = fitting_items(self.table, self.task)
        while batch := list(islice(rows, 1000)):
            good = [row for row in batch if isinstance(row, NewItem)]
            self.bad.add(row for row in batch if isinstance(row, BadRow))
            self.new_items += len(good)
            first_items += good[: _MOST_EXAMPLES - len(first_items)]
        return first_items

    async def _near_duplicates(self) -> int:
        runs = data_set(await self.store.children(self.task, TaskRun))
        async with self.store.transaction() as change:
            report = await write_report(change, self.task, runs)
        return report.near_duplicates

    def _answer(self) -> AddedData:
        table = self.table
        return AddedData(
            new_items=self.new_items,
            already_there=self.repeats + table.repeats,
            updated=self.updates,
            without_output=table.without_output,
            bad_rows=self.bad.sentences(),
            bad_row_count=self.bad.count,
            all_bad_rows=None if self.bad.file is None else str(self.bad.file),
            merged_rows=table.merge_count or None,
            contradicted_rows=table.contradiction_count,
            contradictions=self._contradictions(),
            shape=table.examples.shape if table.examples.source.file_name != _CALL else None,
            encoding=table.examples.source.encoding,
            columns_not_used=_first(table.examples.unused_columns),
        )

    def _contradictions(self) -> list[ContradictedInput]:
        references = self.existing.references
        return [
            ContradictedInput(
                input=contradiction.input,
                outputs=contradiction.references
                | ({"dataset": references[key]} if key in references else {}),
            )
            for key, contradiction in islice(self.table.contradictions.items(), _MOST_NAMED)
        ]


def _decision_step(project: str) -> NextStep:
    return NextStep(
        tool="add_data",
        reason="decide: give the right ones as items, or the file again with contradictions=first",
        arguments={"project": project},
    )


def _repair_step(project: str) -> NextStep:
    return NextStep(
        tool="mark_runs",
        reason="where the dataset has the wrong output, not the table: correct its run",
        arguments={"project": project},
    )


def _inputs_step(project: str, tags: Sequence[str]) -> NextStep:
    filter_id = tag_filter(tags[0]) if tags else "all"
    return NextStep(
        tool="create_evaluator",
        reason="run an eval on the inputs alone, with a judge",
        arguments={"project": project, "test_filter": filter_id},
    )


def _item_example(item: NewItem) -> ItemExample:
    record = item.record.record
    if not isinstance(record, TaskRun):
        text = excerpt(record.opening_text, _LONGEST_SHOWN)
        return ItemExample(input=text, tags=list(record.tags))
    source = record.output.source
    return ItemExample(
        input=excerpt(record.input, _LONGEST_SHOWN),
        output=excerpt(record.best_output, _LONGEST_SHOWN),
        is_answer=source is not None and source.properties.get("adapter_name") == IMPORT_ADAPTER,
        tags=list(record.tags),
    )


@asynccontextmanager
async def _open_source(workspace: Workspace, request: DataRequest) -> AsyncGenerator[TableSource]:
    """Open the table of a call.

    Raises:
        Refusal: It cannot be read.
    """
    if (request.file is None) == (not request.items):
        raise InvalidValue(
            "Nothing was added: give either `file`, the path of a table, or `items`, a list of "
            "objects with input and output."
        )
    if request.file is None:
        yield _call_source(request.items)
        return
    with ExitStack() as stack:
        place: Path = workspace.place(request.file)
        try:
            source = await anyio.to_thread.run_sync(
                stack.enter_context, open_source(place, request.options)
            )
        except OSError as error:
            raise unusable_table(f"{place}: {system_reason(error)}") from error
        yield source


def _call_source(items: Sequence[DataItem]) -> TableSource:
    rows = [item.model_dump(mode="json") for item in items]
    digest = blake2b(json.dumps(rows).encode(), digest_size=32).digest()
    return TableSource(_CALL, digest, lambda: iter(enumerate(rows, start=1)), "item")


def _first(texts: Sequence[str]) -> list[str]:
    return with_remainder(texts[:_MOST_NAMED], len(texts))
