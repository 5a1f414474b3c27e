"""What the capabilities of this room say in words: warnings and next steps."""

from collections.abc import Sequence
from typing import Final

from kiln_mcp.evals.answers import ComparisonRow
from kiln_mcp.evals.runner import RunOutcome
from kiln_mcp.evals.summaries import ScoreLine
from kiln_mcp.evals.work import Measurement
from kiln_mcp.evaluators.llm_judge import judge_model
from storage import Eval

FEW_ITEMS: Final = 30


def filter_of_test(measured: Eval) -> str:
    """Return the filter of an eval's test items, "" where it has none."""
    split = measured.split("test")
    return split.filter_id if split else ""


def after_evaluator(measured: Eval, *, items: int, is_judge: bool) -> str:
    """Return the next step after an evaluator was made."""
    if not items:
        return (
            f"No item fits {filter_of_test(measured)!r} yet: add_items with that tag, "
            "or split_data, before run_eval."
        )
    if is_judge:
        return "next_items_to_label, then measure_agreement: is the judge to be trusted?"
    return "run_eval: measure a run config."


def after_run(lines: Sequence[ScoreLine]) -> str:
    """Return the next step after a run of an eval."""
    look = "describe_eval with show: read what failed."
    if len({line.run_config for line in lines}) > 1:
        return f"{look} compare_run_configs: is one better?"
    return f"{look} evolve_prompt: search for a better prompt."


def no_items(measured: Eval, split: str) -> str:
    """Say why a split has no item."""
    part = measured.split(split)
    if part is None:
        names = ", ".join(measured.splits)
        return f"The eval {measured.name!r} has no split {split!r}. It has: {names}."
    return (
        f"The split {split!r} of {measured.name!r} is empty: no item fits {part.filter_id!r}. "
        "Call add_items with that tag in `tags`, or make a new eval over a split: split_data, then "
        "create_evaluator with another eval name."
    )


def run_warnings(about: Measurement, outcome: RunOutcome, items: int) -> list[str]:
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
    if judge_model(about.judge) and not any(v.eval_config_eval for v in about.verdicts):
        warnings.append(
            "This judge was never compared with people's labels: its scores may mean nothing. "
            "Call measure_agreement."
        )
    return warnings


def comparison_warnings(
    about: Measurement, rows: Sequence[ComparisonRow], excluded: int
) -> list[str]:
    """Return what to know about a comparison."""
    warnings: list[str] = []
    if excluded:
        warnings.append(f"{excluded} items were scored for one of the two alone and left out.")
    if len(rows) > 1:
        warnings.append(f"{len(rows)} scores were compared: one may differ by luck.")
    if judge_model(about.judge):
        warnings.append(
            "The scores are a judge's, not people's: see measure_agreement for what it is worth."
        )
    return warnings
