"""Errors of run configs, evals and evaluators.

storage.errors.WorkbenchError
└── EvalError             one item, or a whole eval, cannot be scored
    └── ExtractionFailed  an expression finds nothing usable in an output
"""

from storage.errors import NextStep, Refusal, WorkbenchError
from storage.text.excerpts import LONGEST_REASON, excerpt


class EvalError(WorkbenchError):
    """One item, or a whole eval, cannot be scored."""


class ExtractionFailed(EvalError):
    """An expression finds nothing usable in an output."""


def unusable_template(text: str, reason: str) -> EvalError:
    """Return the error of a template or an expression that cannot be used."""
    return EvalError(
        f"The template {excerpt(text, 80)!r} cannot be used: "
        f"{excerpt(reason, LONGEST_REASON)}. It may name final_message, task_input, trace and "
        "reference_data."
    )


def constant_logic(kind: str, logic: str, reason: str) -> EvalError:
    """Return the error of an evaluator's logic that says the same of every output.

    Args:
        kind: What the logic is, as a noun: "pattern".
        logic: Its text.
        reason: Why, as a clause.
    """
    return EvalError(
        f"The {kind} {excerpt(logic, 80)!r} says the same of every output, because {reason}. Give "
        "one that depends on the output, in a new evaluator."
    )


def unsupported_run_config(name: str, reason: str) -> Refusal:
    """Return the refusal of a run config that does not run here."""
    return Refusal(
        "The run config '{name}' does not run here: {reason}.",
        name=name,
        reason=reason,
        next=[NextStep(tool="create_run_config", reason="make another")],
    )
