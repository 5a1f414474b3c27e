"""What the capabilities of this room answer."""

from collections.abc import Mapping

from pydantic import Field

from kiln_mcp.workbench.capability import Result
from storage.errors import NextStep


class ItemExample(Result):
    """An item as it would be saved."""

    input: str
    output: str | None = None
    is_answer: bool = Field(default=False, description="A model's answer, not a right output.")
    tags: list[str] = Field(default=[])


class ContradictedInput(Result):
    """An input with several right outputs, by the row of each or `dataset`."""

    input: str
    outputs: dict[str, str]


class AddedData(Result):
    """What came of a table, or would come of it."""

    new_items: int
    already_there: int = Field(description="Rows whose item was there, or came before in the file.")
    updated: int = Field(
        default=0, description="Traces that were there, and of which this export knows more."
    )
    without_output: int = Field(description="Inputs alone, without a right output.")
    bad_rows: list[str]
    bad_row_count: int
    all_bad_rows: str | None = Field(
        description="The file that names them all, one a line, if not all are named here."
    )
    contradicted_rows: int = Field(description="Rows left out, since their input has others.")
    contradictions: list[ContradictedInput] = Field(description="To be decided; the first 20.")
    shape: str | None = Field(description="The shape that was recognised.")
    encoding: str | None = Field(description="Guessed from the bytes; check a few items.")
    columns_not_used: list[str]
    near_duplicates: int | None = Field(
        default=None, description="Items with nearly the input of one before them."
    )
    items: int | None = Field(default=None, description="Items of the task in all.")
    report: str | None = None
    is_preview: bool = False
    is_guess: bool = Field(
        default=False, description="Whether the mapping is a guess: give one to add the file."
    )
    columns: list[str] = Field(default=[])
    mapping: Mapping[str, str] | None = None
    first_items: list[ItemExample] = Field(default=[])
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
    is_clean: bool = Field(description="Whether the parts share no duplicate, form or origin.")
    leaks: list[str] = Field(description="What they share, the worst first.")
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
