"""Errors of evaluators, as sentences."""

from kiln_mcp.run_configs.errors import EvalError
from storage.text.excerpts import LONGEST_REASON, excerpt


def unusable_verdict(reason: str) -> EvalError:
    """Return the error of a judge's answer that holds no score."""
    return EvalError(
        f"The judge's answer holds no score: {reason}. Run the eval again, or use another judge."
    )


def unusable_pattern(pattern: str, reason: str) -> EvalError:
    """Return the error of a pattern that is no regular expression."""
    return EvalError(
        f"The pattern {excerpt(pattern, 80)!r} cannot be used: {excerpt(reason, LONGEST_REASON)}. "
        "Give a regular expression as Python reads it."
    )
