"""What the report of a search for a better prompt holds."""

from pydantic import Field

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

    candidate: str
    parent: str
    operator: str
    accepted: bool
    lesson: str = Field(description="What the edit was meant to correct.")
    reason: str = Field(description="Why it was kept or not.")
    gain: float
    loss: float
    better_on: int
    worse_on: int
    items: list[str] = Field(description="The training items that it was made from.")
    calls: int = Field(description="Calls of the search by then.")


class CurvePoint(Result):
    """The best candidate after some calls."""

    calls: int
    candidate: str
    expected_gain: float = Field(description="Over the start, as the races saw it.")


class StandingRow(Result):
    """What was seen of a candidate on training and validation items."""

    candidate: str
    items: int
    scores: dict[str, float]
    cost_usd: float
    seconds: float
    words: int
    on_pareto_front: bool


class PromptSearchReport(Result):
    """A search for a better prompt: what was tried, and what became of it."""

    search: str
    state: str = Field(description="ended, or unfinished: it runs, or was stopped.")
    verdict: str
    stop_reason: str
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
