"""What to know about the result of a search for a better prompt."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from kiln_mcp.evals.answers import ComparisonRow
from kiln_mcp.evals.fingerprints import changed_parts, judge_fingerprint
from kiln_mcp.evals.measurement import Measurement
from kiln_mcp.evolution.engine import Result
from kiln_mcp.evolution.held_out import HeldOut
from kiln_mcp.labels.certificate_lines import CertifiedAgreement, read_certificates
from storage import score_key

_DOUBT: Final = "a gain in its scores may be none that people see."


async def judge_warnings(judge: Measurement, held_out: HeldOut | None, home: Path) -> list[str]:
    """Return what to know of the judge: a gain in its scores may be none for people.

    Args:
        judge: The eval with the evaluator that scored the prompts.
        held_out: What start and winner make of held-out items; None if they were not run.
        home: Whose key signs certificates.
    """
    if judge.evaluator.model is None:
        return []
    name = judge.evaluator_record.name
    certificates = await read_certificates(judge.store, judge.evaluator_record, home)
    agreements = certificates.agreements
    if certificates.is_any_unsigned:
        reason = "has a certificate that this home did not sign, so it may be forged"
        return [f"The judge {name!r} {reason}: {_DOUBT}"]
    if not agreements:
        is_compared = await judge.has_agreement()
        reason = "has no certificate" if is_compared else "was never compared with people's labels"
        return [f"The judge {name!r} {reason}: {_DOUBT}"]
    fingerprint = await judge_fingerprint(judge)
    changed = {
        part
        for agreement in agreements
        for part in changed_parts(agreement.judge_parts, fingerprint)
    }
    if changed:
        parts = " and ".join(sorted(changed))
        return [f"The certificate of the judge {name!r} is stale ({parts}): {_DOUBT}"]
    if held_out is None:
        return []
    types = {score.json_key: score.type for score in judge.eval_record.output_scores}
    by_score = {score_key(agreement.score): agreement for agreement in agreements}
    return [
        warning
        for row in held_out.rows
        if row.score in held_out.gains
        for warning in _beside_errors(name, row, by_score.get(row.score), types.get(row.score))
    ]


def _beside_errors(
    name: str, row: ComparisonRow, agreement: CertifiedAgreement | None, score_type: str | None
) -> list[str]:
    """Return what the errors that a certificate leaves a judge could make of a gain.

    Each side's rate can be wrong by the share of outputs on which judge and people disagree, so
    the difference by twice that.
    """
    if agreement is None:
        return [f"The judge {name!r} has no certificate for {row.score}: {_DOUBT}"]
    if score_type != "pass_fail" or row.low is None:
        return []
    by_errors = min(1.0, 2 * (1 - agreement.low))
    says = (
        f"The judge {name!r} agrees with people on {agreement.low:.0%} of outputs or more, by its "
        f"certificate. Its errors could make up to {100 * by_errors:.0f} points of {row.score} if "
        f"all of them favoured the winner; the gain is {100 * row.low:.0f} points or more"
    )
    if row.low > by_errors:
        return [f"{says}, so people see one too if the certificate holds for the winner's outputs."]
    return [f"{says}, so people see one only if the judge errs alike on start and winner."]


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
