"""What the capability of this room answers."""

from pydantic import Field

from kiln_mcp.evals.answers import ComparisonRow
from kiln_mcp.workbench.capability import Result
from storage.errors import NextStep


class RaceWon(Result):
    """A change that beat the best prompt before it, on training and validation items."""

    race: int
    change: str
    gain: float = Field(description="The mean gain that its race expected, over all items.")
    better_on: int
    worse_on: int


class EvolutionReport(Result):
    """What a search for a better prompt came to."""

    verdict: str
    gain_shown: bool = Field(
        description="Whether a score gains on held-out items, and no other one may lose much."
    )
    stop_reason: str = Field(description="Why the search ended.")
    start: str = Field(description="The run config it started from.")
    winner: str | None = Field(description="The new run config; None if no gain was shown.")
    prompt_id: str | None = Field(description="The saved prompt, for run configs of your own.")
    start_prompt: str
    winner_prompt: str = Field(description="The best prompt of the search, saved or not.")
    demonstrations: int
    comparison: list[ComparisonRow] = Field(description="On held-out items, start first.")
    held_out_items: int
    validation_items: int
    training_items: int
    races: int
    race_wins: list[RaceWon]
    max_calls: int
    search_calls: int
    failures_by_reason: dict[str, int] = Field(
        default={},
        description="Runs of the search without a score, by reason; they count for none.",
    )
    warnings: list[str] = Field(default=[], description="What to know about the result.")
    held_out_calls: int
    seed: int
    search_log: str = Field(description="Every decision, as JSON lines.")
    next: list[NextStep] = Field(default=[], description="Calls that help now.")
