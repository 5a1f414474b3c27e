"""Warnings, refusals and next steps of the capabilities of this room."""

from collections.abc import Mapping, Sequence
from typing import Final

from kiln_mcp.datasets.sample_sizes import WIDE_INTERVAL_ITEMS
from kiln_mcp.evals.answers import ComparisonRow
from kiln_mcp.evals.errors import NothingToEvaluate
from kiln_mcp.evals.measurement import Measurement
from kiln_mcp.evals.run_outcomes import RunOutcome
from kiln_mcp.evals.summaries import ScoreLine
from kiln_mcp.llm import HOST, AnswerState
from storage import Eval
from storage.errors import NextStep

_STATE_SENTENCES: Final[Mapping[AnswerState, str]] = {
    "truncated": "answers were cut off at max_tokens: they have no score.",
    "refused": "answers were refusals, or were filtered: they have no score.",
    "empty": "answers were empty: they have no score.",
    "unreadable": "answers did not fit their schema: they have no score.",
}


def filter_of_test(eval_record: Eval) -> str:
    """Return the filter of an eval's test items; "" if it has none."""
    part = eval_record.part("test")
    return part.filter_id if part else ""


def after_evaluator(eval_record: Eval, *, items: int, is_judge: bool) -> list[NextStep]:
    """Return the next steps after an evaluator was created."""
    if not items:
        reason = f"no item fits {filter_of_test(eval_record)!r} yet: add items with that tag"
        return [
            NextStep(tool="add_items", reason=reason),
            NextStep(tool="split_data", reason="or deal the items that are there into parts"),
        ]
    if is_judge:
        return [
            NextStep(tool="next_items_to_label", reason="label items to check the judge"),
            NextStep(tool="measure_agreement", reason="compare the judge with people's labels"),
        ]
    return [
        NextStep(
            tool="run_eval", reason="measure a run config", arguments={"eval": eval_record.name}
        )
    ]


def after_run(
    measurement: Measurement, lines: Sequence[ScoreLine], *, is_calibrated: bool
) -> list[NextStep]:
    """Return the next steps after a run of an eval."""
    eval_name = measurement.eval_record.name
    look = NextStep(
        tool="describe_eval", reason="read what failed", arguments={"eval": eval_name, "show": {}}
    )
    if len({line.run_config for line in lines}) > 1:
        step = NextStep(tool="compare_run_configs", reason="test whether one is better")
    else:
        step = NextStep(tool="evolve_prompt", reason="search for a better prompt")
    if measurement.evaluator.model and not is_calibrated:
        return [look, step, *_judge_check(eval_name)]
    return [look, step]


def after_comparison(measurement: Measurement) -> list[NextStep]:
    """Return the next steps after a comparison."""
    return _judge_check(measurement.eval_record.name) if measurement.evaluator.model else []


def _judge_check(eval_name: str) -> list[NextStep]:
    reason = "measure how far the judge agrees with people"
    return [NextStep(tool="measure_agreement", reason=reason, arguments={"eval": eval_name})]


def no_items(eval_record: Eval, name: str) -> NothingToEvaluate:
    """Return the error for a part without items."""
    part = eval_record.part(name)
    if part is None:
        names = ", ".join(eval_record.splits)
        return NothingToEvaluate(
            f"The eval {eval_record.name!r} has no part {name!r}. Choose one of: {names}."
        )
    return NothingToEvaluate(
        f"The part {name!r} of {eval_record.name!r} is empty: no item fits {part.filter_id!r}.",
        next=[
            NextStep(tool="add_items", reason="add items with that tag in `tags`"),
            NextStep(tool="split_data", reason="or deal the items that are there into parts"),
            NextStep(tool="create_evaluator", reason="then create an eval with another name"),
        ],
    )


HOST_IS_NOT_BLIND: Final = (
    "The judge is the connected assistant, which is not blind: its context may hold the spec, the "
    "labels and earlier results. Judge in a fresh conversation, or with another model."
)


def run_warnings(
    measurement: Measurement, outcome: RunOutcome, items: int, *, is_calibrated: bool
) -> list[str]:
    """Return what to know about the results of a run."""
    warnings: list[str] = []
    if outcome.failures:
        warnings.append(
            f"{len(outcome.failures)} items could not be scored and are left out of the table: the "
            "means may be off. Run again to retry them."
        )
    warnings += [
        f"{count} {_STATE_SENTENCES[state]}" for state, count in outcome.failures_by_state.items()
    ]
    if outcome.abstentions:
        warnings.append(
            f"{outcome.abstentions} items have no score, because the judge said that they cannot "
            "be judged from what it is shown."
        )
    if outcome.hidden_tokens:
        warnings.append(
            f"{outcome.hidden_tokens} hidden tokens of reasoning are counted and priced as output: "
            "the server counts them only in its total or beside its output."
        )
    if outcome.skipped:
        warnings.append(f"{outcome.skipped} items lack what the evaluator needs and were skipped.")
    if items < WIDE_INTERVAL_ITEMS:
        warnings.append(f"{items} items are few: expect wide intervals.")
    if measurement.evaluator.model and not is_calibrated:
        warnings.append(
            "This judge was never compared with people's labels: its scores may mean nothing."
        )
    if measurement.evaluator.model == HOST:
        warnings.append(HOST_IS_NOT_BLIND)
    return warnings


def comparison_warnings(
    measurement: Measurement, rows: Sequence[ComparisonRow], exclusions: int
) -> list[str]:
    """Return what to know about a comparison."""
    warnings: list[str] = []
    if exclusions:
        warnings.append(f"{exclusions} items were scored for one of the two alone and left out.")
    if len(rows) > 1:
        warnings.append(f"{len(rows)} scores were compared: one may differ by luck.")
    if measurement.evaluator.model:
        warnings.append(
            "The scores are a judge's, not people's: they are worth what its agreement is worth."
        )
    return warnings
