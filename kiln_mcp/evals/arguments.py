"""The arguments of this room's capabilities."""

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from kiln_mcp.datasets.parts import MeasuredPart

_CLOSED = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


LONGEST_SCORE_NAME: Final = 32
"""Kiln's limit for the names of scores."""


class ScoreDefinition(BaseModel):
    """One score that an eval gives."""

    model_config = _CLOSED

    name: str = Field(max_length=LONGEST_SCORE_NAME, description="Short, such as 'Correctness'.")
    instruction: str | None = Field(default=None, description="What it measures.")
    type: Literal["pass_fail", "five_star", "pass_fail_critical"] = "pass_fail"


class NewEval(BaseModel):
    """What a new eval is, beyond its name."""

    model_config = _CLOSED

    task: str | None = Field(
        default=None, description="Its task; may be left out where there is one."
    )
    spec: str | None = Field(default=None, description="The spec that it measures, by name or id.")
    scores: list[ScoreDefinition] = Field(
        default=[],
        description="What it scores; left out: one pass or fail of the eval's name, and for "
        "exact_match by a reference one for each field of the output.",
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

    part: MeasuredPart = "test"
    limit: int | None = Field(default=None, ge=1, description="Only so many, the oldest.")
    seed: int = Field(default=0, ge=0, description="Makes sampling repeatable.")


class ItemsToShow(BaseModel):
    """Which items with their outputs to show."""

    model_config = _CLOSED

    which: Literal["failures", "all"] = "failures"
    run_config: str | None = Field(default=None, description="Its name or id; left out: all.")
    part: MeasuredPart = "test"
    limit: int = Field(default=10, ge=1, le=20, description="The most to show.")
    cursor: str | None = Field(default=None, description="items_cursor of the answer before.")
