"""Items of an eval with their outputs and scores, the worst first: what to look at."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from kiln_mcp.evals.answers import ShownItem
from kiln_mcp.evals.eval_items import Item, ItemReference, read_items
from kiln_mcp.evals.measurement import Measurement
from kiln_mcp.evaluators.references import REFERENCE_KEY, other_right_outputs
from kiln_mcp.evaluators.scales import to_unit_scale
from kiln_mcp.evaluators.text_comparison import json_text
from storage import EvalRun, ProjectStore, TaskRun
from storage.errors import InvalidQuery, RecordNotFound, UnreadableRecord
from storage.index.results import ResultRow, results
from storage.text.excerpts import excerpt

LONGEST_TEXT: Final = 600
_LONGEST_CURSOR: Final = 9
MOST_OTHERS: Final = 5
NO_SCORE: Final = 2.0
"""The worth of an output without a score, which comes last."""


@dataclass(frozen=True, slots=True)
class ItemsPage:
    """The items that are shown, how many there are in all, and where the next ones begin."""

    items: list[ShownItem]
    total: int
    next_cursor: str | None = None


async def look_at(
    measurement: Measurement,
    names: Mapping[str, str],
    items: Sequence[ItemReference],
    *,
    failures: bool,
    limit: int,
    cursor: str | None = None,
) -> ItemsPage:
    """Return items with what run configs answered and how that was scored, the worst first.

    Only the records of the items that are shown are read.

    Args:
        measurement: The eval with its results.
        names: The names of the run configs whose outputs are shown, by their ids.
        items: The items of the part.
        failures: Whether to show only what has not the best score throughout.
        limit: The most to show.
        cursor: `next_cursor` of the page before; None for the worst.

    Raises:
        InvalidQuery: The cursor is none.
    """
    begin = _begin_of(cursor)
    by_id = {item.id: item for item in items}
    rows = [
        row
        for row in await _rows(measurement)
        if row.item_id in by_id
        and row.worst.run_config_id in names
        and not (failures and row.worth >= 1)
    ]
    rows.sort(key=lambda row: (row.worth, row.item_id))
    views = [
        await _view_of(measurement.store, by_id[row.item_id], names[row.worst.run_config_id], row)
        for row in rows[begin : begin + limit]
    ]
    end = begin + limit
    next_cursor = str(end) if end < len(rows) else None
    return ItemsPage([view for view in views if view], len(rows), next_cursor)


def _begin_of(cursor: str | None) -> int:
    """Return the number of the row where a page begins."""
    text = (cursor or "0").strip()
    if not text.isdecimal() or len(text) > _LONGEST_CURSOR:
        raise InvalidQuery(f"{excerpt(text)!r} is no items_cursor of an answer")
    return int(text)


@dataclass(frozen=True, slots=True)
class _Row:
    """An item's outputs of a run config.

    Attributes:
        worst: The result of the worst output.
        worth: Its mean score from 0 to 1; NO_SCORE if there is none.
        outputs: How many there are.
        right: How many have the best score throughout.
    """

    worst: ResultRow
    worth: float
    outputs: int
    right: int

    @property
    def item_id(self) -> str:
        """The item."""
        return self.worst.item_id


async def _rows(measurement: Measurement) -> list[_Row]:
    """Return a row for each item of each run config; the first verdict of an output counts."""
    path = measurement.evaluator_record.saved.path
    firsts: dict[tuple[str, str], dict[int, tuple[float, ResultRow]]] = {}
    for result in await measurement.store.ask(lambda index: results(index, path)):
        outputs = firsts.setdefault((result.item_id, result.run_config_id), {})
        if result.sample not in outputs:
            worth = _worth(measurement, result.scores)
            outputs[result.sample] = NO_SCORE if worth is None else worth, result
    rows: list[_Row] = []
    for outputs in firsts.values():
        worth, worst = min(outputs.values(), key=lambda output: output[0])
        right = sum(1 <= output[0] < NO_SCORE for output in outputs.values())
        rows.append(_Row(worst, worth, len(outputs), right))
    return rows


async def _view_of(
    store: ProjectStore, reference: ItemReference, run_config: str, row: _Row
) -> ShownItem | None:
    """Return an item as it is shown; None if its records are gone since the index was asked."""
    result = row.worst
    verdicts = await store.read_all(EvalRun, [result.path])
    items = await read_items(store, [reference])
    if not verdicts or not items:
        return None
    verdict = verdicts[result.path]
    output = verdict.output or ""
    if result.output_id:
        with suppress(RecordNotFound, UnreadableRecord):
            output = (await store.get(TaskRun, result.output_id, look=False)).output.output
    view = _view(items[0], run_config, output, verdict)
    if row.outputs == 1:
        return view
    return view.model_copy(update={"outputs": row.outputs, "outputs_right": row.right})


def _worth(measurement: Measurement, scores: Mapping[str, float]) -> float | None:
    """Return the mean score from 0 to 1; None if there is none."""
    kinds = {score.json_key: score.type for score in measurement.eval_record.output_scores}
    values = [to_unit_scale(v, kinds[k]) for k, v in scores.items() if k in kinds]
    return sum(values) / len(values) if values else None


def _view(item: Item, run_config: str, output: str, verdict: EvalRun) -> ShownItem:
    expected = (item.reference or {}).get(REFERENCE_KEY)
    other_outputs = other_right_outputs(item.reference)
    texts = verdict.intermediate_outputs or {}
    feedback = [
        f"{key}: {texts[name]}" for key in verdict.scores if (name := f"{key}_feedback") in texts
    ]
    reasons = [texts.get("chain_of_thought", ""), *feedback]
    why = verdict.skipped_detail or "\n".join(filter(None, reasons))
    return ShownItem(
        item=item.id,
        run_config=run_config,
        input=_brief(item.task_input),
        expected=None if expected is None else _brief(str(expected)),
        also_right=[_brief(json_text(value)) for value in other_outputs[:MOST_OTHERS]],
        output=_brief(output),
        scores=dict(verdict.scores),
        why=_brief(str(why)) if why else None,
    )


def _brief(text: str) -> str:
    return excerpt(text, LONGEST_TEXT)
