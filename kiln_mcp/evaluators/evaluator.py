"""Evaluators as values: what one is asked, what it answers, and what a kind of them is."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, Self, TypeVar, cast, runtime_checkable

from pydantic import BaseModel, ConfigDict, JsonValue, model_validator

from kiln_mcp.llm import Engine
from kiln_mcp.llm import Usage as ModelUsage
from kiln_mcp.run_configs.item_templates import Case
from kiln_mcp.workbench.workspace import Workspace
from storage import Eval, EvalConfig, ProjectStore, Task
from storage.records.evaluation import (
    EMPTY_SCORES_KEY,
    JUDGE_CLIENT_KEY,
    NUMBER_KEY,
    PLAIN_VERDICT_KEY,
)
from storage.records.record import Part
from storage.records.workbench_checks import CHECK_KEY, WorkbenchCheck
from storage.text.suggestions import did_you_mean

PropertiesT = TypeVar("PropertiesT", bound=Part)


@dataclass(frozen=True, slots=True)
class EvaluationContext:
    """Where an evaluator works.

    Attributes:
        engine: Asks models.
        eval_record: The eval; its output_scores are what an evaluation must hold.
        task: The eval's task.
        asker: The purpose of model calls, as the cost account shows it.
        verdict_number: Which of several independent verdicts of the same output is asked for.
    """

    engine: Engine
    eval_record: Eval
    task: Task
    asker: str
    verdict_number: int = 0


@dataclass(frozen=True, slots=True)
class Score:
    """A value on the scale of its score.

    Attributes:
        value: The value.
        feedback: The reason for this score; "" if there is none.
        is_empty: Whether there was nothing to compare. If it is so for every output, the score says
            nothing of the outputs.
    """

    value: float
    feedback: str = ""
    is_empty: bool = False


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What an evaluator says of one output.

    Attributes:
        scores: By the eval's score keys.
        verdict: The reasons in the evaluator's words, for all scores together.
        usage: The model calls it took; None if it asked no model.
        latency_s: Seconds of waiting for models.
        is_unread: Whether the evaluator found no value in the output. One such output failed; if it
            is so for every output, the evaluator is wrong.
        judge_client: What the client calls itself whose model judged; "" if none did.
        number: What was measured, in its own unit; None if nothing was.
        is_plain: Whether the judge's own probabilities were to weigh the scores, and its model gave
            none (G-Eval).
    """

    scores: Mapping[str, Score]
    verdict: str = ""
    usage: ModelUsage | None = None
    latency_s: float = 0.0
    is_unread: bool = False
    judge_client: str = ""
    number: float | None = None
    is_plain: bool = False

    @property
    def values(self) -> dict[str, float]:
        """Return the plain values by score key."""
        return {key: score.value for key, score in self.scores.items()}

    @property
    def texts(self) -> dict[str, str]:
        """Return the verdict and the feedback as Kiln stores intermediate outputs."""
        texts = {"chain_of_thought": self.verdict} if self.verdict else {}
        empty = [key for key, score in self.scores.items() if score.is_empty]
        if empty:
            texts[EMPTY_SCORES_KEY] = " ".join(empty)
        if self.judge_client:
            texts[JUDGE_CLIENT_KEY] = self.judge_client
        if self.number is not None:
            texts[NUMBER_KEY] = repr(self.number)
        if self.is_plain:
            texts[PLAIN_VERDICT_KEY] = "its model gives no logprobs"
        feedback = {
            f"{key}_feedback": score.feedback
            for key, score in self.scores.items()
            if score.feedback
        }
        return texts | feedback


def as_scores(values: Mapping[str, float]) -> Mapping[str, Score]:
    """Return plain values as scores without feedback."""
    return {key: Score(value) for key, value in values.items()}


CANNOT_BE_JUDGED: Final = "cannot_be_judged"
"""The reason of an item on which the judge abstains."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """An item that lacks what the evaluator needs, or on which it abstains.

    Attributes:
        reason: The format's word for it, such as `missing_reference_key`; or CANNOT_BE_JUDGED.
        detail: One sentence.
    """

    reason: str
    detail: str


class Evaluator(Protocol):
    """Scores outputs; made from an evaluator's record."""

    @property
    def model(self) -> str | None:
        """The engine's name of the model that it asks; None if it asks none."""
        ...

    @property
    def calls_per_item(self) -> int:
        """How often it asks its model about one item."""
        ...

    async def evaluate(self, case: Case, context: EvaluationContext) -> Evaluation | Skipped:
        """Score one output.

        Raises:
            EvalError: The evaluator's own logic cannot be used, or its answer holds no score.
            ModelError: Its model gave no usable answer.
        """
        ...


@runtime_checkable
class AsksSeveralModels(Protocol):
    """An evaluator that may ask more than one model about an item."""

    @property
    def calls_each(self) -> Mapping[str, int]:
        """The most calls of each model for one item."""
        ...


def calls_of_item(evaluator: Evaluator) -> Mapping[str, int]:
    """Return how often an evaluator may ask each model about one item."""
    if isinstance(evaluator, AsksSeveralModels):
        return evaluator.calls_each
    return {evaluator.model: evaluator.calls_per_item} if evaluator.model else {}


@runtime_checkable
class LooksAhead(Protocol):
    """An evaluator that prepares many cases together, which costs less than one at a time."""

    async def look_ahead(self, cases: Sequence[Case]) -> None:
        """Prepare cases that `evaluate` may get soon, as the same objects.

        What cannot be prepared fails when it is evaluated.
        """
        ...


@runtime_checkable
class KnowsVerdicts(Protocol):
    """An evaluator that finds many earlier answers of its model with one question."""

    async def known_verdicts(
        self, cases: Sequence[Case], context: EvaluationContext
    ) -> list[Evaluation | Skipped | None]:
        """Return what `evaluate` would return of each case without asking a model.

        Returns:
            For each case its verdict; None where `evaluate` has to be called.

        Raises:
            ModelError: The model cannot be asked, or its earlier answers cannot be read.
        """
        ...


def _check_keys(place: str, value: object) -> None:
    """Refuse keys that a setting's parts do not have.

    Raises:
        ValueError: There is one.
    """
    if isinstance(value, tuple | list):
        for index, entry in enumerate(cast("Sequence[object]", value)):
            _check_keys(f"{place}[{index}]", entry)
    if not isinstance(value, Part):
        return
    names = list(type(value).model_fields)
    for name in value.model_extra or {}:
        hint = did_you_mean(name, names)
        raise ValueError(f"{place} has no '{name}'.{hint} It takes: {', '.join(names)}")
    for name in names:
        _check_keys(f"{place}.{name}", getattr(value, name))


class EvaluatorDefinition(BaseModel):
    """The arguments from which an evaluator of one kind is made.

    A subclass holds `type: Literal[<name of the kind>]` and the kind's settings as fields.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        protected_namespaces=(),
        json_schema_extra=lambda schema: _require_type(schema),
    )

    @model_validator(mode="after")
    def _refuse_unknown_keys(self) -> Self:
        """Refuse a key within a setting that nothing reads, such as one with a spelling mistake."""
        for name in type(self).model_fields:
            _check_keys(name, getattr(self, name))
        return self

    @property
    def asks_model(self) -> bool:
        """Whether the evaluator asks a model."""
        return False

    @property
    def requested_model(self) -> str | None:
        """The model to ask; None for the default model."""
        return None

    @property
    def program(self) -> str:
        """Code that will run on this machine, which a person approves first; "" if none."""
        return ""

    def field_names(self, task: Task) -> Mapping[str, str]:
        """Return the fields of the task's output that get a score in a new eval, by its name."""
        del task
        return {}

    def check_fields(self, task: Task) -> None:
        """Refuse settings for fields that the task's output does not have."""
        del task

    async def with_records(self, store: ProjectStore, eval_record: Eval | None) -> Self:
        """Return the definition with what it takes from records of its eval.

        Args:
            store: The project.
            eval_record: The eval; None if it is new.
        """
        del store, eval_record
        return self

    async def check_logic(self) -> None:
        """Refuse patterns, expressions, templates or code that cannot be used.

        Raises:
            EvalError: One of them cannot be used.
        """

    def properties(self, model: str) -> Mapping[str, JsonValue]:
        """Return the record's properties.

        Args:
            model: The engine's name of the model to ask.
        """
        del model
        return self.model_dump(mode="json")


class WorkbenchDefinition(EvaluatorDefinition):
    """The arguments of a check that Kiln does not know, and opens as code."""

    def properties(self, model: str) -> Mapping[str, JsonValue]:
        """Return the record's properties."""
        return {"type": "code_eval", CHECK_KEY: dict(super().properties(model))}


def _require_type(schema: dict[str, JsonValue]) -> None:
    """Require `type`, which tells the kinds apart even if the record has a default."""
    required = schema.get("required")
    names = required if isinstance(required, list) else []
    schema["required"] = ["type", *(name for name in names if name != "type")]


Loader = Callable[[Workspace, ProjectStore, EvalConfig], Awaitable[EvalConfig]]


async def keep_record(workspace: Workspace, store: ProjectStore, record: EvalConfig) -> EvalConfig:
    """Return a record as it is: most kinds have no file beside it."""
    del workspace, store
    return record


@dataclass(frozen=True, slots=True)
class EvaluatorKind:
    """A kind of evaluator; extensions offer one as an entry point of `kiln_mcp.evaluators`.

    Attributes:
        name: The `type` of its records; `<vendor>.<kind>` for kinds of extensions.
        open: Makes the evaluator from its record.
        definition: The arguments that make a new one; None if no new one can be made.
        load: Reads what lies in files beside the record, before the evaluator runs.
        is_tried: Whether it is tried on right answers before a run, all of which it must not fail.
    """

    name: str
    open: Callable[[EvalConfig], Evaluator]
    definition: type[EvaluatorDefinition] | None = None
    load: Loader = keep_record
    is_tried: bool = False


def properties_of(record: EvalConfig, kind: type[PropertiesT]) -> PropertiesT:
    """Return a record's properties as the type that its kind has.

    Raises:
        TypeError: The record is of another kind.
    """
    properties = record.properties
    if not isinstance(properties, kind):
        raise TypeError(f"{record.name!r} is no {kind.__name__}")
    return properties


def check_of(record: EvalConfig, kind: type[PropertiesT]) -> PropertiesT:
    """Return the settings of a check that Kiln does not know, as the type that its kind has.

    Raises:
        TypeError: The record is of another kind.
    """
    check = properties_of(record, WorkbenchCheck).kiln_mcp_check
    if not isinstance(check, kind):
        raise TypeError(f"{record.name!r} is no {kind.__name__}")
    return check


def missing_reference(keys: tuple[str, ...], case: Case) -> Skipped | None:
    """Return why an item is skipped if it lacks a reference, None if it has them all."""
    for key in keys:
        if (case.reference or {}).get(key) is None:
            return Skipped("missing_reference_key", f"The item has no reference {key!r}.")
    return None
