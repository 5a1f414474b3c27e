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
    stop_sentence: str = Field(default="", description="The same as a sentence.")
    start: str = Field(description="The run config it started from.")
    winner: str | None = Field(description="The new run config; None if no gain was shown.")
    prompt_id: str | None = Field(description="The saved prompt, for run configs of your own.")
    start_prompt: str
    winner_prompt: str = Field(description="The best prompt of the search, saved or not.")
    thinking: str = Field(
        default="", description="What the best prompt tells the model to think about first."
    )
    tool_texts: dict[str, str] = Field(
        default={}, description="What it changes of tools' descriptions and of skills."
    )
    demonstrations: int
    comparison: list[ComparisonRow] = Field(description="On held-out items, start first.")
    held_out_items: int
    validation_items: int
    training_items: int
    races: int
    race_wins: list[RaceWon]
    max_calls: int
    search_calls: int = Field(
        description="Answered calls of the search, corrections of bad answers included."
    )
    failures_by_reason: dict[str, int] = Field(
        default={},
        description="Runs of the search without a score, by reason; they count for none.",
    )
    warnings: list[str] = Field(default=[], description="What to know about the result.")
    held_out_calls: int
    noise_calls: int = Field(
        default=0, description="Calls that ran the best prompt twice, to see how it varies."
    )
    held_out_runs: int = Field(
        default=0, description="Runs of each held-out item, by the noise that the search has seen."
    )
    held_out_sight: str = Field(default="", description="What gain so many runs show.")
    seed: int
    search_log: str = Field(description="Every decision, as JSON lines.")
    next: list[NextStep] = Field(default=[], description="Calls that help now.")


class ModelOutcome(Result):
    """What a search for several models came to for one of them."""

    model: str
    start: str = Field(description="Its run config.")
    winner: str | None = Field(description="The new run config; None if no gain was shown.")
    start_value: float = Field(description="Of the start with it, as the search saw it.")
    best_value: float = Field(description="Of its best prompt, as the search saw it.")
    cost_usd: float = Field(description="Of one run of its best prompt.")
    seconds: float
    own_edits: int = Field(description="Edits that were first accepted for it.")
    shared_edits: int = Field(description="Edits that failures of another model brought.")
    claim: str = Field(description="What held-out items say of it.")
    report: EvolutionReport


class ModelsReport(Result):
    """What one search for several models came to."""

    verdict: str
    models: list[ModelOutcome] = Field(description="A line for each, in the order of the call.")
    max_calls: int
    search_calls: int
    seed: int
    next: list[NextStep] = Field(default=[], description="Calls that help now.")
