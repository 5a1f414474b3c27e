"""Items of an eval with their outputs and scores, the worst first: what to look at."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from kiln_mcp.evals.answers import ShownItem
from kiln_mcp.evals.eval_items import Item, ItemReference, read_items
from kiln_mcp.evals.measurement import Measurement
from kiln_mcp.evaluators.kinds.llm_judge import REFERENCE_KEY
from kiln_mcp.evaluators.scales import to_unit_scale
from storage import EvalRun, ProjectStore, TaskRun, TaskRunConfig
from storage.errors import RecordNotFound, UnreadableRecord
from storage.index.results import ResultRow, results
from storage.text.excerpts import excerpt

LONGEST_TEXT: Final = 600


@dataclass(frozen=True, slots=True)
class ItemsPage:
    """The items that are shown, and how many there are of them in all."""

    items: list[ShownItem]
    total: int


async def look_at(
    measurement: Measurement,
    configs: Sequence[TaskRunConfig],
    items: Sequence[ItemReference],
    *,
    failures: bool,
    limit: int,
) -> ItemsPage:
    """Return items with what run configs answered and how that was scored, the worst first.

    Only the records of the items that are shown are read.

    Args:
        measurement: The eval with its results.
        configs: The run configs whose outputs are shown.
        items: The items of the part.
        failures: Whether to show only what has not the best score throughout.
        limit: The most to show.
    """
    by_id = {item.id: item for item in items}
    names = {config.id: config.name for config in configs}
    path = measurement.evaluator_record.saved.path
    rows: list[tuple[float, str, ResultRow]] = []
    pairs: set[tuple[str, str]] = set()
    for result in await measurement.store.ask(lambda index: results(index, path)):
        pair = result.item_id, result.run_config_id
        if result.item_id not in by_id or result.run_config_id not in names or pair in pairs:
            continue
        pairs.add(pair)
        worth = _worth(measurement, result.scores)
        if failures and (worth is None or worth >= 1):
            continue
        rows.append((2.0 if worth is None else worth, result.item_id, result))
    rows.sort(key=lambda row: row[:2])
    views = [
        await _view_of(measurement.store, by_id[item], names[result.run_config_id], result)
        for _, item, result in rows[:limit]
    ]
    return ItemsPage([view for view in views if view], len(rows))


async def _view_of(
    store: ProjectStore, reference: ItemReference, run_config: str, result: ResultRow
) -> ShownItem | None:
    """Return an item as it is shown; None if its records are gone since the index was asked."""
    verdicts = await store.read_all(EvalRun, [result.path])
    items = await read_items(store, [reference])
    if not verdicts or not items:
        return None
    verdict = verdicts[result.path]
    output = verdict.output or ""
    if result.output_id:
        with suppress(RecordNotFound, UnreadableRecord):
            output = (await store.get(TaskRun, result.output_id, look=False)).output.output
    return _view(items[0], run_config, output, verdict)


def _worth(measurement: Measurement, scores: Mapping[str, float]) -> float | None:
    """Return the mean score from 0 to 1; None if there is none."""
    kinds = {score.json_key: score.type for score in measurement.eval_record.output_scores}
    values = [to_unit_scale(v, kinds[k]) for k, v in scores.items() if k in kinds]
    return sum(values) / len(values) if values else None


def _view(item: Item, run_config: str, output: str, verdict: EvalRun) -> ShownItem:
    expected = (item.reference or {}).get(REFERENCE_KEY)
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
        output=_brief(output),
        scores=dict(verdict.scores),
        why=_brief(str(why)) if why else None,
    )


def _brief(text: str) -> str:
    return excerpt(text, LONGEST_TEXT)
