"""Errors of evaluators, as sentences."""

from kiln_mcp.run_configs.errors import EvalError


def unusable_verdict(reason: str) -> EvalError:
    """Return the error of a judge's answer that holds no score."""
    return EvalError(
        f"The judge's answer holds no score: {reason}. Run the eval again, or use another judge."
    )
