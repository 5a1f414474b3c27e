"""What the report of a search for a better prompt holds."""

from pydantic import Field

from kiln_mcp.evals.answers import ComparisonRow
from kiln_mcp.workbench.capability import Result
from storage.errors import NextStep


class SearchRow(Result):
    """A search whose decisions lie beside an eval."""

    search: str
    at: str
    start: str
    state: str
    decisions: int


class CandidateRow(Result):
    """A candidate of the tree: which edit made it, and what became of it."""

    number: int = Field(description="Which decision it is of those on this model.")
    name: str = Field(description="Of the candidate; '' if the proposal made none.")
    parent: str = Field(description="The candidate that the edit was applied to.")
    operator: str = Field(description="How the edit was made.")
    accepted: bool
    lesson: str = Field(description="What the edit was meant to correct.")
    reason: str = Field(description="Why it was kept or not.")
    gain: float = Field(description="Expected by its race, of 1: the mean over all items.")
    loss: float = Field(description="Expected where items score lower, likewise.")
    better_on: int = Field(description="Items on which it scored higher than its parent.")
    worse_on: int
    items: list[str] = Field(
        description="The training items that it was made from, or the items on which sets of "
        "examples were compared: their inputs, shortened, and ids."
    )
    calls: int = Field(description="Calls of the search by then.")
    candidate: str = Field(description="Its id, for the goal 'from <id>'.")


class CurvePoint(Result):
    """The best candidate after some calls."""

    calls: int
    candidate: str = Field(description="Its name.")
    expected_gain: float = Field(description="Over the start, of 1, as the races saw it.")


class StandingRow(Result):
    """What was seen of a candidate on training and validation items."""

    candidate: str = Field(description="Its name.")
    items: int = Field(description="Items that it was run on itself; few say little.")
    scores: dict[str, float] = Field(
        description="Means of 1 over all items of the search. On an item that it was not run on "
        "it counts as the best prompt that it came from."
    )
    cost_usd: float = Field(description="Of one run.")
    seconds: float = Field(description="Of one run.")
    words: int = Field(description="Of its text.")
    on_pareto_front: bool = Field(
        description="Whether none seen on enough items is better in all scores, cost and time."
    )


class PromptSearchReport(Result):
    """A search for a better prompt: what was tried, and what became of it."""

    search: str
    state: str = Field(description="ended, or unfinished: it runs, or was stopped.")
    verdict: str
    stop_reason: str
    stop_sentence: str = Field(default="", description="The stop reason as a sentence.")
    comparison: list[ComparisonRow] = Field(
        default=[], description="On held-out items, start first; empty until it has ended."
    )
    start: str
    model: str
    reflecting: str | None
    max_calls: int
    seed: int
    best_prompt: str
    tree: list[CandidateRow] = Field(description="In the order of the decisions.")
    curve: list[CurvePoint]
    standings: list[StandingRow] = Field(description="Empty until it has ended.")
    difference: str = Field(default="", description="What changes from one prompt to the other.")
    searches: list[SearchRow] = Field(default=[], description="The eval's searches, newest first.")
    next: list[NextStep] = Field(default=[], description="Calls that help now.")


class PromptSearchPage(Result):
    """The report of a search as a page."""

    search: str
    content: str = Field(description="Markdown.")
