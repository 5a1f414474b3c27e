"""The plan of generated data: a record that a person reads and edits before anything is paid."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Annotated, Final, Literal, Self, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue

from kiln_mcp.synthesis.coverage_plan import Aim, Factors, Quota, Slot, plan_slots

INPUTS_A_CALL: Final = 8
"""Slots that a capable model fills in one call."""

Outputs = Literal["task", "reference"]
"""What the task really answers, or verified right answers."""
Stage = Literal["plan", "inputs", "done", "deleted"]
"""What a person looks at next: the plan itself, the drafts of inputs, or the items."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class PlanTopic(_Part):
    """A topic.

    Attributes:
        path: Its levels, joined by "/".
        guidance: What is wished for it alone.
        share: Its share of the items; 0 for none.
    """

    path: str = Field(min_length=1, max_length=300)
    guidance: str = ""
    share: int = Field(default=1, ge=0, le=1000)


class PlanClause(_Part):
    """A clause of the spec, as it was when the plan was made."""

    id: str
    text: str


class PlanSource(_Part):
    """What an input is made from: a passage of a document, or a trace without personal details.

    Attributes:
        name: The document's name, or the id of the run.
        number: The number of the passage; 0 for a trace.
        text: The text.
    """

    name: str
    number: int = 0
    text: str


class JobSpending(_Part):
    """What a job of a plan took.

    Attributes:
        calls: The calls of models that were answered.
        usd: Their cost in US dollars; None if a price is not known.
    """

    calls: int
    usd: float | None


def _as_topics(value: object) -> object:
    """Return topics of which some are given as their paths alone."""
    if not isinstance(value, list):
        return value
    topics = cast("list[object]", value)
    return [{"path": item} if isinstance(item, str) else item for item in topics]


Topics = Annotated[list[PlanTopic], BeforeValidator(_as_topics)]


class DataPlan(_Part):
    """A plan.

    Attributes:
        id: How calls name it.
        topics: What the items are about; empty for anything.
        clauses: Of the spec.
        quotas: The items for each clause and outcome.
        personas: Who writes the inputs.
        labels: The classes that right outputs are meant to have.
        sources: Passages or traces that inputs are made from.
        source_kind: What they are.
        source_total: How many there were to take from.
        inputs: Inputs that are there already.
        examples: Real inputs to be like.
        guidance: Further wishes.
        spec: The spec's id; None for none.
        seed: Of the design and of sampling.
        run_config: What answers; None for the task's default.
        writer: The model that writes.
        outputs: Which outputs are made.
        reference_model: Who writes right answers; "" for the writer.
        checkers: The models that check references and pairs; empty for the writer alone.
        turns: The most turns of a simulated user; 0 for single questions.
        user_model: Who plays the users; "" for the writer.
        pairs: Whether passing outputs are edited until they break one clause.
        stop_after_inputs: Whether a person looks at the inputs before outputs are made.
        stage: What a person looks at next.
        stage_job: The job that brought it to its stage; "" if none did.
        session: The tag of the items that it made; "" if it has made none.
        spending: What each job took that worked on it.
    """

    v: int = 1
    id: str
    topics: Topics = []
    clauses: list[PlanClause] = []
    quotas: list[Quota]
    personas: list[str] = []
    labels: list[str] = []
    sources: list[PlanSource] = []
    source_kind: Literal["", "passage", "trace"] = ""
    source_total: int = 0
    inputs: list[JsonValue] = []
    examples: list[str] = []
    guidance: str = ""
    spec: str | None = None
    seed: int = 0
    run_config: str | None = None
    writer: str
    outputs: Outputs = "task"
    reference_model: str = ""
    checkers: list[str] = []
    pairs: bool = False
    turns: int = Field(default=0, ge=0, le=20)
    user_model: str = ""
    stop_after_inputs: bool = False
    stage: Stage = "plan"
    stage_job: str = ""
    session: str = ""
    spending: dict[str, JobSpending] = {}

    def with_changes(self, changes: Mapping[str, object]) -> Self:
        """Return the plan with other values, validated; nothing is kept of what was derived."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return self.model_validate({**values, **changes})

    @property
    def count(self) -> int:
        """The items."""
        return len(self.inputs) or sum(quota.count for quota in self.quotas)

    @cached_property
    def slots(self) -> tuple[Slot, ...]:
        """The items to be made, one by one; none if the inputs are there already."""
        if self.inputs:
            return ()
        topics = Counter[str]()
        for topic in self.topics:
            topics[topic.path] += topic.share
        factors = Factors(topics or {"": 1}, self.personas, self.labels, len(self.sources))
        return plan_slots(self.quotas, factors, self.seed)

    @cached_property
    def clause_texts(self) -> dict[str, str]:
        """The texts of the clauses by their ids."""
        return {clause.id: clause.text for clause in self.clauses}

    @cached_property
    def topic_guidance(self) -> dict[str, str]:
        """What is wished for single topics."""
        return {topic.path: topic.guidance for topic in self.topics if topic.guidance}

    def source_of(self, slot: Slot | None) -> PlanSource | None:
        """Return the passage or trace that a slot is made from; None for none."""
        return self.sources[slot.source - 1] if slot is not None and slot.source else None

    @property
    def has_quoted_answers(self) -> bool:
        """Whether each input comes with its answer and the words of a passage that it rests on."""
        return self.source_kind == "passage" and not self.turns

    @property
    def reference_writer(self) -> str:
        """The model that writes right answers."""
        return self.reference_model or self.writer

    @property
    def user_player(self) -> str:
        """The model that plays the users of conversations."""
        return self.user_model or self.writer

    @property
    def checking_models(self) -> list[str]:
        """The models that check references and pairs."""
        return self.checkers or [self.writer]

    def count_of(self, aim: Aim) -> int:
        """Return how many items have an outcome."""
        return sum(quota.count for quota in self.quotas if quota.aim is aim)


def input_orders(slots: Sequence[Slot], size: int) -> list[tuple[Slot, ...]]:
    """Return the slots that are asked for together, one call each: what is planned and called."""
    return [tuple(slots[start : start + size]) for start in range(0, len(slots), size)]
