"""What the capability of this room answers."""

from pydantic import Field

from kiln_mcp.workbench.capability import Result
from storage.errors import NextStep


class TriedJudge(Result):
    """A version that the search tried."""

    version: int
    change: str
    agreement: float = Field(description="Share of development labels that it agrees with.")
    disagreements: int = Field(description="Items on which it differs from a label.")
    is_accepted: bool = Field(description="Whether it became the best one.")


class JudgeImprovement(Result):
    """What a search for a better judge came to, on development labels."""

    verdict: str
    gain_shown: bool = Field(
        description="Whether the gain's 95 % interval over all tried versions is above 0."
    )
    start: str
    winner: str | None = Field(description="The new evaluator; None if nothing differs less.")
    winner_id: str | None = None
    development_labels: int = Field(description="Labelled outputs that versions judged.")
    hidden_items: int = Field(
        description="Items with certificate labels: the search never reads them."
    )
    disagreements_before: int
    disagreements_after: int
    agreement_before: float
    agreement_after: float = Field(description="Optimistic: on the labels it was chosen by.")
    agreement_corrected: float = Field(description="With the bias of the choice taken off.")
    agreement_at_least: float = Field(description="95 % limit in spite of the choice.")
    gain_low: float | None = None
    gain_high: float | None = None
    steps: list[str] = Field(description="The best judge's steps.")
    examples: int = Field(default=0, description="Labelled outputs that it is shown.")
    versions: list[TriedJudge]
    stop_reason: str = Field(description="Why the search ended.")
    calls: int
    search_log: str | None = Field(default=None, description="Every version, as JSON lines.")
    warnings: list[str]
    next: list[NextStep] = Field(default=[], description="Calls that help now.")
