"""Try a check on right answers: what fails them all says nothing of the outputs that it fails."""

from collections.abc import Sequence
from typing import Final

from kiln_mcp.evals.eval_items import Item, read_items
from kiln_mcp.evals.measurement import Measurement, VerdictRequest
from kiln_mcp.evaluators.evaluator import Evaluation, EvaluationContext, Evaluator
from kiln_mcp.evaluators.references import REFERENCE_KEY
from kiln_mcp.evaluators.registry import is_tried
from kiln_mcp.evaluators.scales import binary_scores
from kiln_mcp.evaluators.value_extraction import as_text
from kiln_mcp.run_configs.errors import EvalError
from kiln_mcp.run_configs.item_templates import Case

MOST_TRIALS: Final = 12
FEWEST_TRIALS: Final = 3
"""Right answers that a check must fail, if it passes none, to be taken for wrong."""


async def fault_on_references(
    measurement: Measurement, context: EvaluationContext, requests: Sequence[VerdictRequest]
) -> str:
    """Return why a check must be wrong; "" if it passes a right answer, or none can be tried.

    The right answers are the references of the first items. A check that needs a trace, which a
    reference has not, is not tried.

    Args:
        measurement: The eval with the check.
        context: Where it works.
        requests: What is to be judged.
    """
    if not is_tried(measurement.evaluator_record):
        return ""
    references = {r.item.id: r.item for r in requests if r.run_config is not None}
    items = await read_items(measurement.store, list(references.values())[:MOST_TRIALS])
    failed = 0
    for item in items:
        evaluation = await _try(measurement.evaluator, item, context)
        if evaluation is not None and not is_fail(evaluation, context):
            return ""
        failed += evaluation is not None
    if failed < FEWEST_TRIALS:
        return ""
    return (
        f"It also fails the right answers of all {failed} items that it was tried on, so it gives "
        "no score. Correct it in a new evaluator, or correct those answers."
    )


def is_fail(evaluation: Evaluation, context: EvaluationContext) -> bool:
    """Return whether an evaluation gives every score the worst mark of a check."""
    return evaluation.values == binary_scores(context.eval_record.output_scores, passed=False)


async def _try(evaluator: Evaluator, item: Item, context: EvaluationContext) -> Evaluation | None:
    """Return what a check says of an item's right answer; None if it cannot be tried on it."""
    answer = (item.reference or {}).get(REFERENCE_KEY)
    if answer is None:
        return None
    try:
        verdict = await evaluator.evaluate(
            Case(item.task_input, as_text(answer), None, item.reference), context
        )
    except EvalError:
        return None
    return verdict if isinstance(verdict, Evaluation) else None
