"""The arguments of this room's capabilities."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, JsonValue

from storage import (
    CodeEval,
    Contains,
    ExactMatch,
    PatternMatch,
    SetCheck,
    StepCountCheck,
    ToolCallCheck,
)


def _name_the_type(schema: dict[str, JsonValue]) -> None:
    """Say that `type` is required: it tells the kinds apart, though a record has a default."""
    required = schema.get("required")
    schema["required"] = ["type", *(required if isinstance(required, list) else [])]


_CLOSED = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())
_CHECK = ConfigDict(
    extra="forbid", frozen=True, protected_namespaces=(), json_schema_extra=_name_the_type
)


class ModelJudge(BaseModel):
    """A model that judges by steps, which say in words what passes and what fails."""

    model_config = _CLOSED

    type: Literal["llm_judge"]
    steps: list[str] = Field(min_length=1, description="What to check, one step each.")
    model: str | None = Field(default=None, description="The judging model.")
    with_reference: bool = Field(
        default=False, description="Whether to show the item's stored output as the right answer."
    )
    weighted: bool = Field(
        default=False, description="G-Eval: weigh scores by logprobs; few models offer them."
    )


class ExactMatchCheck(ExactMatch):
    """The output equals expected_value, or the item's reference under reference_key."""

    model_config = _CHECK


class PatternCheck(PatternMatch):
    """A regular expression is found in the output, or is not."""

    model_config = _CHECK


class ContainsCheck(Contains):
    """The output contains a text, or does not."""

    model_config = _CHECK


class SetEqualityCheck(SetCheck):
    """The output's items compare with a set."""

    model_config = _CHECK


class ToolCallsCheck(ToolCallCheck):
    """The conversation has the expected tool calls."""

    model_config = _CHECK


class StepsCheck(StepCountCheck):
    """The conversation has so many steps."""

    model_config = _CHECK


class CodeCheck(CodeEval):
    """Python code with a function score() that returns numbers, run in a process of its own.

    The person must trust the project's folder first: `kiln-mcp trust`.
    """

    model_config = _CHECK

    code: str = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        min_length=1,
        max_length=65_536,
        description="Defines score(output, trace, reference_data, task_input), with those "
        "parameters that it needs; returns a number, or numbers by score key.",
    )
    timeout_seconds: int = Field(default=10, ge=1, le=300, description="Seconds an item.")
    tool_allowlist: tuple[()] = Field(default=(), description="Must be empty: it calls no tools.")


Evaluator = Annotated[
    ModelJudge
    | ExactMatchCheck
    | PatternCheck
    | ContainsCheck
    | SetEqualityCheck
    | ToolCallsCheck
    | StepsCheck
    | CodeCheck,
    Discriminator("type"),
]


class ScoreDefinition(BaseModel):
    """One score that an eval gives."""

    model_config = _CLOSED

    name: str = Field(max_length=32, description="Short, such as 'Correctness'.")
    instruction: str | None = Field(default=None, description="What it measures.")
    type: Literal["pass_fail", "five_star", "pass_fail_critical"] = "pass_fail"


class RunConfigDefinition(BaseModel):
    """One way to run a task."""

    model_config = _CLOSED

    name: str = Field(description="What to call it.")
    prompt: str | None = Field(
        default=None, description="The system prompt; left out: what prompt_id says."
    )
    prompt_id: str = Field(
        default="simple_prompt_builder",
        description="'simple_prompt_builder' (the task's instruction), 'few_shot_prompt_builder' "
        "(with the best rated runs that no eval measures on), 'id::<saved prompt>', …",
    )
    model: str | None = Field(default=None, description="The model; left out: the default one.")
    temperature: float = Field(default=0.0, ge=0, le=2, description="0: most probable answer.")


class NewEval(BaseModel):
    """What a new eval is, beyond its name."""

    model_config = _CLOSED

    task: str | None = Field(
        default=None, description="Its task; may be left out where there is one."
    )
    spec: str | None = Field(
        default=None, description="The specification that it measures, by name or id."
    )
    scores: list[ScoreDefinition] = Field(
        default=[], description="What it scores; left out: one pass or fail of the eval's name."
    )
    test_filter: str | None = Field(
        default=None,
        description="Its items, such as 'tag::test'; left out: the dealt split's parts.",
    )
    golden_filter: str | None = Field(
        default=None, description="The runs that people label, such as 'tag::golden'."
    )
    train_filter: str | None = Field(
        default=None, description="Items that prompts may be made from, such as 'tag::train'."
    )
    val_filter: str | None = Field(
        default=None, description="Items that choose among prompts, such as 'tag::val'."
    )


class ItemChoice(BaseModel):
    """Which items, and with which seed."""

    model_config = _CLOSED

    split: Literal["test", "train", "val"] = "test"
    limit: int | None = Field(default=None, ge=1, description="Only so many, the oldest.")
    seed: int = Field(default=0, ge=0, description="Makes sampling repeatable.")


class ItemsToShow(BaseModel):
    """Which items with their outputs to show."""

    model_config = _CLOSED

    which: Literal["failures", "all"] = "failures"
    run_config: str | None = Field(default=None, description="Its name or id; left out: all.")
    split: Literal["test", "train", "val"] = "test"
    limit: int = Field(default=10, ge=1, le=20, description="The most to show.")
