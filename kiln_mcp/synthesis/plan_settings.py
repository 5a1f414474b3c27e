"""What a call says of a plan: the settings of a new one, or the edit of one that is there."""

from collections.abc import Mapping, Sequence, Set
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from kiln_mcp.errors import ArgumentProblem, InvalidArguments
from kiln_mcp.synthesis.coverage_plan import Quota, usual_quotas
from kiln_mcp.synthesis.data_plan import DataPlan, Outputs, PlanClause, Topics
from kiln_mcp.workbench.argument_schemas import schema_of
from kiln_mcp.workbench.arguments import argument_problems, unintended_values
from storage.errors import InvalidValue

USUAL_TOPICS: Final = 8
ARGUMENT: Final = "plan"
"""The argument of the call that has these settings."""
_KEPT_NAMES: Final = (
    *("topics", "clauses", "quotas", "personas", "labels", "guidance", "examples", "seed"),
    *("outputs", "reference_model", "checkers", "pairs", "stop_after_inputs", "run_config"),
    *("writer", "turns", "user_model"),
)
"""The settings that a plan keeps under the same name."""
BEGINNING: Final[Mapping[str, object]] = {"stage": "plan", "stage_job": "", "session": ""}
"""The values of a plan of which nothing was carried out."""


class DraftEdit(BaseModel):
    """New values of a draft; those that are left out stay.

    Attributes:
        input: The input, or the first message of a conversation.
        output: The right output that came with it.
        persona: Who the simulated user is.
        goal: What they want.
        gives_up: When they stop asking.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    input: str | None = Field(default=None, min_length=1)
    output: str | None = None
    persona: str | None = None
    goal: str | None = Field(default=None, min_length=1)
    gives_up: str | None = None

    @property
    def values(self) -> dict[str, str]:
        """The new values, by their names in a draft."""
        values = self.model_dump(exclude_none=True)
        return {"text" if name == "input" else name: text for name, text in values.items()}


class PlanSettings(BaseModel):
    """Settings of a plan; those that are left out stay, or are usual.

    Attributes:
        id: The plan to be edited; None for a new one.
        count: The items; quotas come from it.
        topics: Paths or topics.
        levels: Levels of a tree of topics that the writer makes.
        width: Topics of one node of that tree.
        personas: Who writes the inputs; a number lets the writer invent so many.
        clauses: The clauses to cover; left out: those of the spec.
        quotas: The items for each clause and outcome.
        labels: The classes that right outputs are meant to have.
        documents: Files whose passages inputs are made from.
        traces: How many of the task's imported traces inputs are rewritten from.
        drop_sources: Passages or traces to leave out, by their numbers in the plan.
        source_texts: New texts of passages or traces by their numbers.
        hide: Words that get a stand-in in all passages or traces, such as a name that was missed.
        inputs: Inputs that are there already, which get outputs alone; with `turns` objects with
            input (the first message), goal, and persona and gives_up where they are known.
        inputs_file: A table of such inputs, with the same names as columns.
        turns: The most turns of a simulated user in conversations; 0 for single questions.
        user_model: The model that plays the users; left out: the writer.
        checkers: The models that check references and pairs.
        drop: Numbers of drafts to leave out.
        texts: New texts of drafts by their numbers, or other values of them.
        rewrite: Drafts to be written again, with a note each.
        redo: Items whose output is to be made again, by the numbers of their drafts; with a note
            each, which the writer of references is told.
        delete: Whether the plan is deleted; its items stay.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    id: str | None = None
    count: int | None = Field(default=None, ge=1, le=1000)
    topics: Topics | None = None
    levels: int = Field(default=1, ge=1, le=3)
    width: int | None = Field(default=None, ge=1, le=20)
    personas: list[str] | int | None = None
    clauses: list[PlanClause] | None = None
    quotas: list[Quota] | None = None
    labels: list[str] | None = None
    documents: list[str] = []
    traces: int = Field(default=0, ge=0, le=1000)
    drop_sources: list[int] = []
    source_texts: dict[int, Annotated[str, Field(min_length=1)]] = {}
    hide: list[Annotated[str, Field(min_length=1)]] = []
    examples: list[str] | None = None
    guidance: str | None = None
    spec: str | None = None
    seed: int | None = None
    inputs: list[JsonValue] | None = None
    inputs_file: str | None = None
    run_config: str | None = None
    writer: str | None = None
    outputs: Outputs | None = None
    reference_model: str | None = None
    checkers: list[str] | None = None
    pairs: bool | None = None
    turns: int | None = Field(default=None, ge=0, le=20)
    user_model: str | None = None
    stop_after_inputs: bool | None = None
    drop: list[int] = []
    texts: dict[int, str | DraftEdit] = {}
    rewrite: dict[int, str] = {}
    redo: dict[int, str] = {}
    delete: bool = False

    @property
    def has_draft_edits(self) -> bool:
        """Whether drafts of inputs are edited."""
        return bool(self.drop or self.texts or self.rewrite or self.redo)

    @property
    def has_source_edits(self) -> bool:
        """Whether passages or traces are edited."""
        return bool(self.drop_sources or self.source_texts or self.hide)

    @property
    def renames_topics(self) -> bool:
        """Whether the writer is to name other topics."""
        return self.topics is None and bool({"levels", "width"} & self.model_fields_set)

    @property
    def invented_personas(self) -> int:
        """How many personas the writer is to invent."""
        return self.personas if isinstance(self.personas, int) else 0

    @property
    def topic_width(self) -> int:
        """Topics of one node of the tree."""
        return self.width or min(USUAL_TOPICS, max(1, (self.count or 1) // 3))

    @property
    def topic_calls(self) -> int:
        """How often the writer is asked for topics: once for each node that gets some."""
        if self.topics is not None:
            return 0
        return sum(self.topic_width**level for level in range(self.levels))


def read_settings(
    values: Mapping[str, JsonValue], arguments: Mapping[str, JsonValue] | None = None
) -> PlanSettings:
    """Return the settings of a call.

    Args:
        values: Those in the argument `plan`.
        arguments: Those with an argument of their own, which `values` replace.

    Raises:
        InvalidArguments: One is unknown or has no valid value.
    """
    every_value = {**(arguments or {}), **values}
    own_names = every_value.keys() - values.keys()
    try:
        settings = PlanSettings.model_validate(every_value)
    except ValidationError as error:
        raise _invalid(argument_problems(error, schema_of(PlanSettings)), own_names) from error
    if problems := list(unintended_values(every_value, settings.model_dump())):
        raise _invalid(problems, own_names)
    return settings


def _invalid(problems: Sequence[ArgumentProblem], own_names: Set[str]) -> InvalidArguments:
    """Return the error of some problems, those without an argument of their own within `plan`."""
    placed_problems = [
        problem if own_names & {*problem.place[:1]} else problem.under(ARGUMENT)
        for problem in problems
    ]
    return InvalidArguments("generate_data", placed_problems)


def edited_plan(plan: DataPlan, settings: PlanSettings) -> DataPlan:
    """Return a plan with the settings of an edit; one that was carried out begins again.

    Where the number or the clauses change and no quotas are given, these are the usual ones.
    """
    changes: dict[str, object] = {
        name: value for name in _KEPT_NAMES if (value := getattr(settings, name)) is not None
    }
    if not changes and settings.count is None:
        return plan
    if settings.quotas is None and (settings.count or settings.clauses is not None):
        clauses = plan.clauses if settings.clauses is None else settings.clauses
        changes["quotas"] = quotas_for(clauses, settings.count or plan.count)
    return plan.with_changes({**changes, **BEGINNING})


def check_plan(plan: DataPlan) -> None:
    """Refuse a plan whose topics get no items, or whose quotas name clauses that it has not.

    Raises:
        InvalidValue: It is one.
    """
    if plan.topics and not any(topic.share for topic in plan.topics):
        raise InvalidValue(
            "Every topic of the plan has the share 0. Give at least one of {topics} a share of 1 "
            "or more, or leave topics out.",
            topics=[topic.path for topic in plan.topics][:10],
        )
    if plan.quotas and not plan.count:
        raise InvalidValue(
            "The quotas of the plan add up to 0 items. Give at least one a `count` of 1 or more, "
            "or leave them out."
        )
    ids = [clause.id for clause in plan.clauses]
    unknown = sorted({quota.clause for quota in plan.quotas} - {"", *ids})
    if unknown:
        raise InvalidValue(
            "The quotas name clauses that the plan does not have: {unknown}. Its clauses: {ids}. "
            "Name a `spec`, or give `clauses` with id and text.",
            unknown=unknown,
            ids=ids or "none",
        )


def quotas_for(clauses: Sequence[PlanClause], count: int) -> list[Quota]:
    """Return the usual quotas of some clauses."""
    return list(usual_quotas([clause.id for clause in clauses], count))
