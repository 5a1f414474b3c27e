"""Errors of run configs and their templates."""

from storage.errors import WorkbenchError
from storage.text.excerpts import excerpt


class EvalError(WorkbenchError):
    """Something about an eval prevents the result."""


class UnusableTemplate(EvalError):
    """A Jinja template or expression cannot be used."""

    def __init__(self, text: str, reason: str) -> None:
        shown = excerpt(text, 80)
        super().__init__(
            f"The template {shown!r} cannot be used: {reason}. It may name final_message, "
            "task_input, trace and reference_data."
        )


class ExtractionFailed(EvalError):
    """An expression finds nothing usable in an output."""


class UnsupportedRunConfig(EvalError):
    """This kind of run config does not run here."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(
            f"The run config {name!r} does not run here: {why}. Make another with "
            "create_run_config."
        )


class RunConfigExists(EvalError):
    """A run config of this name is there already, and it never changes."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"There is a run config '{name}' already, and run configs never change. Choose another "
            "name; nothing has been saved."
        )
