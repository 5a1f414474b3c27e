"""Report how far an eval's judges, and its raters, agree."""

from collections.abc import Mapping, Sequence

from kiln_mcp.datasets.task_eval import TaskEval
from kiln_mcp.evals.measurement import Measurement
from kiln_mcp.evals.run_outcomes import RunOutcome
from kiln_mcp.judging.answers import AgreementRow, Ceiling, round_if_known
from kiln_mcp.judging.certificates.certificate import HumanCeiling, Number
from kiln_mcp.judging.judge_agreement import describe, measure
from kiln_mcp.judging.label_bases import label_bases
from kiln_mcp.labels.golden_set import GoldenSet
from kiln_mcp.labels.ledger import latest
from kiln_mcp.statistics import (
    Interval,
    cohens_kappa,
    kappa_interval,
    percent_agreement,
    wilson_interval,
)
from storage import EvalOutputScore
from storage.errors import NextStep, Refusal
from storage.index.results import RatedItem


async def agreement_rows(
    golden_set: GoldenSet,
    runs_by_score: Mapping[str, Sequence[RatedItem]],
    judges: Sequence[Measurement],
    seed: int,
) -> list[tuple[AgreementRow, str]]:
    """Return each judge's row with what it means in words, the best κ first.

    Labels of drawn items come first; labels of picked items have rows of their own.
    """
    rows: list[tuple[AgreementRow, str]] = []
    for judge in judges:
        for score in golden_set.scores:
            key = score.json_key
            for basis in await label_bases(golden_set, judge, score, runs_by_score[key]):
                agreement = measure(basis, score.type, seed)
                row = AgreementRow.of(judge.evaluator_record.name, key, score.type, agreement)
                rows.append((row, describe(agreement, score.type)))
    return sorted(rows, key=_rank)


def _rank(row: tuple[AgreementRow, str]) -> tuple[str, bool, float, str]:
    is_picked = row[0].basis == "by hand"
    return row[0].score, is_picked, -(row[0].kappa or 0.0), row[0].evaluator


def conclusions(rows: Sequence[tuple[AgreementRow, str]]) -> list[str]:
    """Return a sentence for each row, with the score if there are several."""
    several = len({row.score for row, _ in rows}) > 1
    return [
        f"{row.evaluator}{f' on {row.score}' if several else ''}: {words}" for row, words in rows
    ]


def next_steps(rows: Sequence[tuple[AgreementRow, str]], task_eval: TaskEval) -> list[NextStep]:
    """Return the call for judges that beat the constant answer, or those that make better ones."""
    if any(row.beats_constant for row, _ in rows):
        return [
            NextStep(
                tool="run_eval",
                reason="measure run configs with a judge that beats the constant answer",
                arguments={"eval": task_eval.name},
            )
        ]
    return [
        NextStep(
            tool="draw_items_to_label",
            reason="label more items",
            arguments={"eval": task_eval.name},
        ),
        NextStep(
            tool="check_judge",
            reason="read where judge and person differ",
            arguments={"eval": task_eval.name, "show": "disagreements"},
        ),
        NextStep(
            tool="improve_judge",
            reason="rewrite the judge from development labels",
            arguments={"eval": task_eval.name},
        ),
    ]


def nothing_measured(
    task_eval: TaskEval, judges: Sequence[Measurement], outcomes: Sequence[RunOutcome]
) -> Refusal:
    """Return the refusal of a measurement in which no item has both a label and a verdict."""
    failures = [failure for outcome in outcomes for failure in outcome.failures]
    if failures:
        return Refusal(
            "No labelled item of '{name}' could be judged: {reason} Mend this, then measure again.",
            name=task_eval.name,
            reason=failures[0].reason,
        )
    if any(judge.evaluator.model for judge in judges):
        return Refusal(
            "No labelled item of '{name}' has what its judges need, such as a reference.",
            name=task_eval.name,
            next=[
                NextStep(tool="create_evaluator", reason="create a judge that needs no reference")
            ],
        )
    return Refusal(
        "The evaluators of '{name}' ask no model and compare outputs with references. Golden items "
        "have no references, so labels add nothing. Rely on the evaluators' definition.",
        name=task_eval.name,
        next=[
            NextStep(tool="run_eval", reason="measure run configs"),
            NextStep(tool="improve_prompt", reason="search for a better prompt"),
        ],
    )


def human_ceilings(golden_set: GoldenSet, seed: int) -> list[Ceiling]:
    """Return the agreement of two raters for each score that two have labelled."""
    ceilings = (_human_ceiling(golden_set, score, seed) for score in golden_set.scores)
    return [ceiling for ceiling in ceilings if ceiling is not None]


def ceilings_to_print(golden_set: GoldenSet, seed: int) -> dict[str, HumanCeiling]:
    """Return the agreement of two raters as certificates hold it, by score."""
    return {
        ceiling.score: HumanCeiling(
            raters=tuple(ceiling.raters),
            n=ceiling.n,
            agreement=Number(value=ceiling.agreement, low=ceiling.low, high=ceiling.high),
        )
        for ceiling in human_ceilings(golden_set, seed)
    }


def _human_ceiling(golden_set: GoldenSet, score: EvalOutputScore, seed: int) -> Ceiling | None:
    """Return the agreement of the two raters with the most shared items; None for one rater."""
    shared: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for raters in latest(golden_set.labels, score.json_key).values():
        names = sorted(raters)
        for place, name in enumerate(names):
            for other in names[place + 1 :]:
                first_value, second_value = raters[name].value, raters[other].value
                if first_value is not None and second_value is not None:
                    pair = first_value, second_value
                    shared.setdefault((name, other), []).append(pair)
    if not shared:
        return None
    names, pairs = max(shared.items(), key=lambda entry: len(entry[1]))
    first, second = [a for a, _ in pairs], [b for _, b in pairs]
    interval = wilson_interval(sum(a == b for a, b in pairs), len(pairs))
    around = kappa_interval(first, second, seed=seed)
    ends = around if isinstance(around, Interval) else None
    return Ceiling(
        score=score.json_key,
        raters=list(names),
        n=len(pairs),
        agreement=round(percent_agreement(first, second), 4),
        low=round(interval.low, 4),
        high=round(interval.high, 4),
        kappa=round_if_known(cohens_kappa(first, second)),
        kappa_low=round(ends.low, 4) if ends else None,
        kappa_high=round(ends.high, 4) if ends else None,
    )
