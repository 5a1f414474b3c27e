"""Judges and labels measured against what was executed: a command or code that ran the outputs."""

from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import Field

from kiln_mcp.evals.measurement import Measurement
from kiln_mcp.evaluators.registry import kind_name
from kiln_mcp.evaluators.verdict_matrix import read_verdict_matrix
from kiln_mcp.labels.golden_set import GoldenSet
from kiln_mcp.labels.label_audit import audited_labels, differs
from kiln_mcp.statistics.agreement import cohens_kappa
from kiln_mcp.statistics.interval import CannotTell
from kiln_mcp.statistics.proportions import wilson_interval
from kiln_mcp.workbench.capability import Result
from storage import EvalConfig, EvalOutputScore
from storage.index.results import RatedItem

EXECUTED_KINDS: Final = frozenset({"command_check", "code_eval"})
FEWEST_ITEMS: Final = 5
"""Items with both verdicts, from which on they are compared."""
_MIDDLE: Final = 0.5
LABELS: Final = "people's labels"

_Values = Mapping[str, float]


class ExecutionRow(Result):
    """How often a judge, or people, say the same as a check that executes the outputs."""

    check: str
    score: str
    subject: str = Field(description="The judge, or the labels.")
    agreements: int
    items: int
    agreement: float
    low: float
    high: float
    kappa: float | None = Field(description="Agreement beyond chance; null if it is undefined.")


async def execution_rows(
    golden_set: GoldenSet,
    runs_by_score: Mapping[str, Sequence[RatedItem]],
    judges: Sequence[Measurement],
) -> list[ExecutionRow]:
    """Compare labels and judges with the stored verdicts of executed checks; no model is asked.

    Args:
        golden_set: The golden set.
        runs_by_score: The items whose labels are compared, by the keys of scores.
        judges: The judges.
    """
    if not judges:
        return []
    store, record = judges[0].store, golden_set.task_eval.eval_record
    evaluators = await store.children(record, EvalConfig)
    checks = [evaluator for evaluator in evaluators if kind_name(evaluator) in EXECUTED_KINDS]
    if not checks:
        return []
    matrix = await read_verdict_matrix(store, record, evaluators)
    judge_ids = [j.evaluator_record.id for j in judges if j.evaluator.model is not None]
    members = [member for name in judge_ids if (member := matrix.member(name)) is not None]
    rows: list[ExecutionRow] = []
    for score in golden_set.scores:
        runs = runs_by_score.get(score.json_key, ())
        labels_by_item = audited_labels(golden_set, score, runs)
        labels = {item: label.value for item, label in labels_by_item.items()}
        columns: dict[str, _Values] = {LABELS: labels}
        columns |= {member.name: matrix.column(member, score.json_key) for member in members}
        for check in checks:
            member = matrix.member(check.id)
            if member is not None:
                check_values = matrix.column(member, score.json_key)
                rows += _rows(check.name, score, check_values, columns)
    return rows


def _rows(
    check: str, score: EvalOutputScore, check_values: _Values, columns: Mapping[str, _Values]
) -> list[ExecutionRow]:
    rows: list[ExecutionRow] = []
    for name, values in columns.items():
        items = check_values.keys() & values.keys()
        if len(items) < FEWEST_ITEMS:
            continue
        agreements = sum(not differs(values[i], check_values[i], score.type) for i in items)
        interval = wilson_interval(agreements, len(items))
        rows.append(
            ExecutionRow(
                check=check,
                score=score.json_key,
                subject=name,
                agreements=agreements,
                items=len(items),
                agreement=round(agreements / len(items), 4),
                low=round(interval.low, 4),
                high=round(interval.high, 4),
                kappa=_kappa([(values[i], check_values[i]) for i in items], score),
            )
        )
    return rows


def _kappa(pairs: Sequence[tuple[float, float]], score: EvalOutputScore) -> float | None:
    is_graded = score.type == "five_star"
    first, second = (
        [round(value) if is_graded else value >= _MIDDLE for value in column]
        for column in zip(*pairs, strict=True)
    )
    kappa = cohens_kappa(first, second)
    return None if isinstance(kappa, CannotTell) else round(kappa, 4)


def execution_sentences(rows: Sequence[ExecutionRow]) -> list[str]:
    """Return what execution shows, a sentence for each check and score."""
    sentences: list[str] = []
    for check, score in dict.fromkeys((row.check, row.score) for row in rows):
        own = [row for row in rows if (row.check, row.score) == (check, score)]
        labels = [row for row in own if row.subject == LABELS]
        judges = [row for row in own if row.subject != LABELS]
        parts = [f"the labels agree with it on {row.agreements} of {row.items}" for row in labels]
        if judges:
            low, high = min(r.agreement for r in judges), max(r.agreement for r in judges)
            shares = f"{low:.0%}" if low == high else f"{low:.0%} to {high:.0%}"
            noun = "the judge" if len(judges) == 1 else f"the {len(judges)} judges"
            parts.append(f"{noun} on {shares}")
        sentences.append(f"{check!r} executes the outputs: {', '.join(parts)}.")
    return sentences
