"""What to know about the result of a search for a better prompt."""

from collections.abc import Mapping

from kiln_mcp.evals.measurement import Measurement
from kiln_mcp.evolution.engine import Result
from kiln_mcp.labels.certificate_lines import has_certificate


async def judge_warnings(eval_context: Measurement) -> list[str]:
    """Return what to know of the judge: a gain in its scores may be none for people."""
    if eval_context.evaluator.model is None:
        return []
    if await has_certificate(eval_context.store, eval_context.evaluator_record):
        return []
    is_compared = await eval_context.has_agreement()
    reason = "has no certificate" if is_compared else "was never compared with people's labels"
    return [
        f"The judge {eval_context.evaluator_record.name!r} {reason}: a gain in its scores may be "
        "none that people see."
    ]


def search_warnings(result: Result, failures_by_reason: Mapping[str, int]) -> list[str]:
    """Return the warnings of a search.

    Args:
        result: What it found.
        failures_by_reason: Evaluations of the search without a score, by reason.
    """
    warnings: list[str] = []
    if failures_by_reason:
        reasons = ", ".join(f"{count} {reason}" for reason, count in failures_by_reason.items())
        count = sum(failures_by_reason.values())
        warnings.append(
            f"{count} runs of the search have no score ({reasons}): they count for no candidate, "
            "and against none."
        )
    objections = [decision.reason for decision in result.decisions if decision.is_refused]
    if objections:
        warnings.append(f"{len(objections)} proposals were refused, such as: {objections[0]}")
    if result.stop_reason.startswith("too little"):
        warnings.append(f"The search ended with {result.stop_reason}.")
    return warnings
