"""What a person and a model read of a sweep."""

from pydantic import Field

from kiln_mcp.evals.results.answers import Comparison
from kiln_mcp.workbench.capability import Result
from storage.errors import NextStep


class SweptTraining(Result):
    """One training of a sweep."""

    name: str
    base_model: str
    parameters: dict[str, str | int | float | bool]
    run_config: str = Field(description="It runs what came out; empty: nothing did.")
    problem: str = Field(default="", description="Why nothing came out.")


class SweepResult(Result):
    """Trained models and one comparison of all of them, corrected for the choice."""

    trainings: list[SweptTraining]
    outlook: str = Field(description="What was to be expected before the trainings.")
    comparison: Comparison = Field(
        description="With the first run config of `compare`; all intervals hold together."
    )
    next: list[NextStep] = Field(default=[], description="Calls that help now.")
