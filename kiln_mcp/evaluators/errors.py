"""Errors of evaluators."""

from kiln_mcp.run_configs.errors import EvalError


class UnusableVerdict(EvalError):
    """A judge's answer holds no score."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The judge's answer holds no score: {reason}. Run the eval again, or use another "
            "judge."
        )


class UnsupportedEvaluator(EvalError):
    """This kind of evaluator does not run here."""

    def __init__(self, name: str, kind: str) -> None:
        super().__init__(
            f"The evaluator {name!r} is of kind {kind}, which does not run here. Choose an "
            "llm_judge, a deterministic check, or make one with create_evaluator."
        )
