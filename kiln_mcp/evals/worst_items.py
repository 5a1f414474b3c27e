"""Items of an eval with their outputs and scores, the worst first: what to look at."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from kiln_mcp.evals.answers import ShownItem
from kiln_mcp.evals.items import Item
from kiln_mcp.evals.measurement import Measurement
from kiln_mcp.evaluators.llm_judge import REFERENCE_KEY
from kiln_mcp.evaluators.scales import to_unit_scale
from storage import EvalRun, TaskRunConfig
from storage.text.excerpts import excerpt

LONGEST_TEXT: Final = 600


@dataclass(frozen=True, slots=True)
class ItemsPage:
    """The items that are shown, and how many there are of them in all."""

    items: list[ShownItem]
    total: int


def look_at(
    measurement: Measurement,
    configs: Sequence[TaskRunConfig],
    items: Sequence[Item],
    *,
    failures: bool,
    limit: int,
) -> ItemsPage:
    """Return items with what run configs answered and how that was scored, the worst first.

    Args:
        measurement: The eval with its results.
        configs: The run configs whose outputs are shown.
        items: The items of the split.
        failures: Whether to show only what has not the best score throughout.
        limit: The most to show.
    """
    by_id = {item.id: item for item in items}
    names = {config.id: config.name for config in configs}
    outputs = {run.id: run.output.output for run in measurement.runs}
    rows: list[tuple[float, str, ShownItem]] = []
    pairs: set[tuple[str, str]] = set()
    for verdict in sorted(measurement.verdicts, key=lambda v: (v.created_at, v.id)):
        item = by_id.get(verdict.dataset_id or verdict.eval_input_id or "")
        config = verdict.task_run_config_id or ""
        if item is None or config not in names or (item.id, config) in pairs:
            continue
        pairs.add((item.id, config))
        worth = _worth(measurement, verdict)
        if failures and (worth is None or worth >= 1):
            continue
        output = outputs.get(verdict.scored_run_id or "", verdict.output or "")
        view = _view(item, names[config], output, verdict)
        rows.append((2.0 if worth is None else worth, item.id, view))
    rows.sort(key=lambda row: row[:2])
    return ItemsPage([item for _, _, item in rows[:limit]], len(rows))


def _worth(measurement: Measurement, verdict: EvalRun) -> float | None:
    """Return the mean score from 0 to 1; None if there is none."""
    kinds = {score.json_key: score.type for score in measurement.eval_record.output_scores}
    values = [to_unit_scale(v, kinds[k]) for k, v in verdict.scores.items() if k in kinds]
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
