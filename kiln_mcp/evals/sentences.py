"""What the capabilities of this room say in words: warnings and next steps."""

from collections.abc import Sequence
from typing import Final

from kiln_mcp.evals.answers import ComparisonRow
from kiln_mcp.evals.measurement import Measurement
from kiln_mcp.evals.runner import RunOutcome
from kiln_mcp.evals.summaries import ScoreLine
from storage import Eval
from storage.errors import NextStep

FEW_ITEMS: Final = 30


def filter_of_test(eval_record: Eval) -> str:
    """Return the filter of an eval's test items, "" where it has none."""
    split = eval_record.split("test")
    return split.filter_id if split else ""


def after_evaluator(eval_record: Eval, *, items: int, is_judge: bool) -> list[NextStep]:
    """Return the next steps after an evaluator was made."""
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


def after_run(eval_record: Eval, lines: Sequence[ScoreLine]) -> list[NextStep]:
    """Return the next steps after a run of an eval."""
    look = NextStep(
        tool="describe_eval",
        reason="read what failed",
        arguments={"eval": eval_record.name, "show": {}},
    )
    if len({line.run_config for line in lines}) > 1:
        return [look, NextStep(tool="compare_run_configs", reason="test whether one is better")]
    return [look, NextStep(tool="evolve_prompt", reason="search for a better prompt")]


def no_items(eval_record: Eval, split: str) -> str:
    """Say why a split has no item."""
    part = eval_record.split(split)
    if part is None:
        names = ", ".join(eval_record.splits)
        return f"The eval {eval_record.name!r} has no split {split!r}. It has: {names}."
    return (
        f"The split {split!r} of {eval_record.name!r} is empty: no item fits {part.filter_id!r}. "
        "Call add_items with that tag in `tags`, or make a new eval over a split: split_data, then "
        "create_evaluator with another eval name."
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
    if outcome.skipped:
        warnings.append(f"{outcome.skipped} items lack what the evaluator needs and were skipped.")
    if items < FEW_ITEMS:
        warnings.append(f"{items} items are few: expect wide intervals.")
    if measurement.evaluator.model and not is_calibrated:
        warnings.append(
            "This judge was never compared with people's labels: its scores may mean nothing. "
            "Call measure_agreement."
        )
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
            "The scores are a judge's, not people's: see measure_agreement for what it is worth."
        )
    return warnings
