"""The kinds of evaluators as arguments of a capability."""

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
