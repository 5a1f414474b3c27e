"""What a comparison of run configs answers."""

from pydantic import Field

from kiln_mcp.workbench.capability import Result
from storage.errors import NextStep


class ComparedConfig(Result):
    """One score of one run config among others; low and high are ends of intervals.

    All intervals of an answer hold together, at its level.
    """

    run_config: str
    score: str
    mean: float
    n: int
    difference: float | None = Field(default=None, description="Less the baseline, paired.")
    low: float | None = None
    high: float | None = None
    p_value: float | None = Field(default=None, description="Corrected by Holm.")
    behind: float | None = Field(default=None, description="Less the best one, paired.")
    behind_low: float | None = None
    behind_high: float | None = None
    may_be_best: bool
    floor_cleared: bool | None = Field(
        default=None, description="Whether it loses less than the floor against the baseline."
    )
    more_items: int | None = Field(
        default=None, description="About so many more would tell it from the baseline."
    )
    usd_each: float | None = None
    seconds_each: float | None = None


class Comparison(Result):
    """Run configs on the same items, the best first."""

    eval: str
    evaluator: str
    baseline: str
    level: float = Field(description="Of all intervals together.")
    use: int | None = Field(default=None, description="Which use of this test part it is.")
    says: list[str]
    rows: list[ComparedConfig]
    front: list[str] = Field(
        default=[], description="Run configs that none beats in scores, cost and time together."
    )
    warnings: list[str]
    next: list[NextStep] = Field(default=[], description="Calls that help now.")
