"""What the parts of a prompt earn, as an answer."""

from pydantic import Field

from kiln_mcp.workbench.capability import Result
from storage.errors import NextStep


class PartRow(Result):
    """What a part of a prompt earns in one score."""

    part: str
    kind: str = Field(description="sentence, block or example.")
    score: str
    earns: float = Field(description="What the score, from 0 to 1, loses without it.")
    low: float | None
    high: float | None
    items: int
    says: str = Field(description="earns, harms, or cannot be told.")


class PromptExplanation(Result):
    """What each part of a prompt earns."""

    verdict: str
    run_config: str
    parts: list[PartRow] = Field(description="By score, what earns most first.")
    items: int
    calls: int
    seed: int
    content: str = Field(default="", description="The same as Markdown, if asked for.")
    warnings: list[str] = Field(default=[], description="What to know about the result.")
    next: list[NextStep] = Field(default=[], description="Calls that help now.")
