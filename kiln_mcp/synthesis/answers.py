"""What the capabilities of this room answer."""

from pydantic import Field

from kiln_mcp.workbench.capability import Result


class ItemsAdded(Result):
    """Items that were saved."""

    added: int
    repeated: int = Field(description="Given inputs that were there already, left out.")
    near_duplicates: int = Field(description="Pairs of inputs in the data set that are alike.")
    items: int = Field(description="Items of the task in all.")
    report: str
    next_step: str


class PartSize(Result):
    """One part of a split; filter is what an eval takes."""

    part: str
    items: int
    filter: str


class DataSplit(Result):
    """A data set dealt into parts."""

    split: str
    seed: int
    parts: list[PartSize]
    groups: int = Field(description="Near-duplicates and items of one topic, kept together.")
    newly_dealt: int
    warnings: list[str]
    report: str
    next_step: str


class CellMade(Result):
    """Items of one topic with one aim."""

    topic: str
    aim: str
    planned: int
    made: int


class DataGenerated(Result):
    """Generated items."""

    session: str
    made: int
    inputs_by: str
    outputs_by: str = Field(description="The run config that answered the inputs.")
    coverage: list[CellMade]
    dropped: int = Field(description="Inputs that were unusable or too like another one.")
    failed: int
    failures: list[str] = Field(description="The first three.")
    distinct_pairs: float
    nearest_similarity: float
    report: str
    next_step: str
