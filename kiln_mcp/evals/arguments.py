"""The arguments of this room's capabilities."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field

from storage import (
    Contains,
    ExactMatch,
    PatternMatch,
    SetCheck,
    StepCountCheck,
    ToolCallCheck,
)

_CLOSED = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class ModelJudge(BaseModel):
    """A model that judges by steps, which say in words what passes and what fails."""

    model_config = _CLOSED

    type: Literal["llm_judge"] = "llm_judge"
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

    model_config = _CLOSED


class PatternCheck(PatternMatch):
    """A regular expression is found in the output, or is not."""

    model_config = _CLOSED


class ContainsCheck(Contains):
    """The output contains a text, or does not."""

    model_config = _CLOSED


class SetEqualityCheck(SetCheck):
    """The output's items compare with a set."""

    model_config = _CLOSED


class ToolCallsCheck(ToolCallCheck):
    """The conversation has the expected tool calls."""

    model_config = _CLOSED


class StepsCheck(StepCountCheck):
    """The conversation has so many steps."""

    model_config = _CLOSED


Evaluator = Annotated[
    ModelJudge
    | ExactMatchCheck
    | PatternCheck
    | ContainsCheck
    | SetEqualityCheck
    | ToolCallsCheck
    | StepsCheck,
    Discriminator("type"),
]


class ScoreDefinition(BaseModel):
    """One score that an eval gives."""

    model_config = _CLOSED

    name: str = Field(max_length=32, description="Short, such as 'Correctness'.")
    instruction: str | None = Field(default=None, description="What it measures.")
    type: Literal["pass_fail", "five_star", "pass_fail_critical"] = "pass_fail"
