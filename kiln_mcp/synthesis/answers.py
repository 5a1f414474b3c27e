"""What the capabilities of this room answer."""

from collections.abc import Mapping

from pydantic import Field, JsonValue

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
    merged_rows: int | None = Field(default=None, description="Rows that are another right output.")
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
    is_clean: bool = Field(description="Whether several parts share no duplicate, form or origin.")
    leaks: list[str] = Field(description="What they share, the worst first.")
    warnings: list[str]
    report: str
    next: list[NextStep] = Field(default=[], description="Calls that help now.")


class OutcomeCoverage(Result):
    """Items about one clause with one outcome."""

    clause: str | None = Field(description="Its id; null for the spec as a whole.")
    outcome: str
    quota: int
    items: int
    why: str = Field(default="", description="Why there are fewer, or what a person should see.")


class DifficultyRow(Result):
    """How hard the edited outputs of one clause and outcome are to judge."""

    clause: str
    outcome: str
    items: int
    difficulty: float = Field(
        description="Mean share of verdicts against the intended one; if borderline, of the fewer."
    )
    verdicts: int = Field(description="Verdicts on an item, at least.")
    judges: int = Field(description="Different models that gave them, at least.")
    hardest: dict[str, float] = Field(description="The items that judges disagree on most.")


class TopicCoverage(Result):
    """Items of one topic."""

    topic: str
    quota: int
    items: int


class GeneratedData(Result):
    """Generated items."""

    session: str
    plan: str = Field(description="The plan's id.")
    items: int
    replaced_items: int = Field(default=0, description="Earlier ones that went to the trash.")
    unchanged_items: int = Field(default=0, description="Made again, and the same as before.")
    inputs_by: str
    outputs_by: str = Field(description="The run config or the model that wrote the outputs.")
    verified_items: int = Field(default=0, description="Items whose output was verified.")
    for_a_person: int = Field(default=0, description="Items whose verification has no result.")
    stops: dict[str, int] = Field(default={}, description="Conversations by why they ended.")
    by_outcome: list[OutcomeCoverage] = Field(description="The largest shortfall first.")
    by_topic: list[TopicCoverage]
    difficulties: list[DifficultyRow] = Field(default=[], description="Of edited outputs.")
    rejected_inputs: int = Field(description="Inputs that were unusable or too like another one.")
    reject_reasons: dict[str, int] = Field(default={})
    failed: int
    failures: list[str] = Field(description="The first three.")
    warnings: list[str] = Field(default=[])
    distinct_pairs: float
    nearest_similarity: float
    report: str
    next: list[NextStep] = Field(default=[], description="Calls that help now.")


class PlanClauseRow(Result):
    """A clause with the items that are planned for it, by outcome."""

    clause: str
    text: str
    quotas: dict[str, int]


class PlanTopicRow(Result):
    """A topic with the items that are planned, and those that the dataset has."""

    topic: str
    quota: int
    existing: int


class InputDraft(Result):
    """An input that waits for a person's look."""

    number: int
    input: str
    topic: str = ""
    aim: str = ""
    output: str = ""
    persona: str = ""
    goal: str = ""
    gives_up: str = ""
    state: str = "kept"
    item: str = Field(default="", description="The run that was made of it.")


class DataPlanReport(Result):
    """A plan of generated data: what will be made, and what it takes. Nothing of it is paid yet."""

    id: str
    stage: str = Field(description="What to look at: the plan, or the drafts of inputs.")
    count: int
    calls: int = Field(description="Model calls of the next step, if every answer is usable.")
    spare_calls: int = Field(description="The most further ones, for answers that are not.")
    calls_by_model: dict[str, int]
    cost: str
    clauses: list[PlanClauseRow]
    topics: list[PlanTopicRow]
    personas: list[str] = Field(default=[])
    labels: list[str] = Field(default=[])
    sources: list[str] = Field(default=[], description="Passages or traces, as they are sent.")
    settings: dict[str, JsonValue] = Field(description="The other settings.")
    drafts: list[InputDraft] = Field(default=[])
    warnings: list[str] = Field(default=[])
    next: list[NextStep] = Field(default=[], description="Calls that help now.")
