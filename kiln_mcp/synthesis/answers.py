"""What the capabilities of this room answer."""

from pydantic import Field

from kiln_mcp.workbench.capability import Result
from storage.errors import NextStep


class AddedItems(Result):
    """Items that were saved."""

    new_items: int
    duplicates: int = Field(description="Given inputs that were there already, left out.")
    near_duplicates: int = Field(description="Items with nearly the input of one before them.")
    items: int = Field(description="Items of the task in all.")
    report: str
    next: list[NextStep] = Field(default=[], description="Calls that help now.")


class PartSize(Result):
    """One part of a split; filter is what an eval takes."""

    part: str
    items: int
    filter: str


class DataSplit(Result):
    """A dataset dealt into parts."""

    split: str
    seed: int
    parts: list[PartSize]
    groups: int = Field(description="Near-duplicates and items of one topic, kept together.")
    newly_dealt: int
    warnings: list[str]
    report: str
    next: list[NextStep] = Field(default=[], description="Calls that help now.")


class CellCoverage(Result):
    """Items of one topic with one aim."""

    topic: str
    aim: str
    planned_items: int
    items: int


class GeneratedData(Result):
    """Generated items."""

    session: str
    items: int
    inputs_by: str
    outputs_by: str = Field(description="The run config that answered the inputs.")
    coverage: list[CellCoverage]
    rejected_inputs: int = Field(description="Inputs that were unusable or too like another one.")
    failed: int
    failures: list[str] = Field(description="The first three.")
    distinct_pairs: float
    nearest_similarity: float
    report: str
    next: list[NextStep] = Field(default=[], description="Calls that help now.")
