"""The arguments of this room's capabilities."""

from dataclasses import dataclass
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from kiln_mcp.datasets.parts import MeasuredPart
from storage.index.slices import SliceKind

_CLOSED = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


LONGEST_SCORE_NAME: Final = 32
"""Kiln's limit for the names of scores."""


class ScoreDefinition(BaseModel):
    """One score that an eval gives."""

    model_config = _CLOSED

    name: str = Field(max_length=LONGEST_SCORE_NAME, description="Such as 'Correctness'.")
    instruction: str | None = None
    type: Literal["pass_fail", "five_star", "pass_fail_critical"] = "pass_fail"


@dataclass(frozen=True, slots=True)
class NewEval:
    """What a new eval is, beyond its task and name.

    Attributes:
        spec: The spec that it measures, by name or id.
        scores: What it scores; empty for the usual ones.
        test_filter: Its items; None for the parts of the dealt split.
        golden_filter: The runs that people label.
        train_filter: Items that prompts may be made from.
        val_filter: Items that choose among prompts.
    """

    spec: str | None = None
    scores: tuple[ScoreDefinition, ...] = ()
    test_filter: str | None = None
    golden_filter: str | None = None
    train_filter: str | None = None
    val_filter: str | None = None


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """What a report of an eval shows.

    Attributes:
        evaluator: Whose scores; None for the current one, and for all that judged stored outputs.
        run_config: Whose slices; None for all.
        outputs: The stored outputs; None for those of run configs.
        slice_by: What rates are sliced by; None for no slices.
        part: Whose items.
        items: Which items to show; None for none.
    """

    evaluator: str | None = None
    run_config: str | None = None
    outputs: str | None = None
    slice_by: SliceKind | None = None
    part: MeasuredPart = "test"
    items: "ItemsToShow | None" = None


@dataclass(frozen=True, slots=True)
class ItemsToShow:
    """Which items with their outputs to show.

    Attributes:
        failures_only: Whether to show only what has not the best score throughout.
        run_config: Whose; None for all.
        part: Of which part.
        limit: The most to show.
        cursor: items_cursor of the answer before.
    """

    failures_only: bool = True
    run_config: str | None = None
    part: MeasuredPart = "test"
    limit: int = 10
    cursor: str | None = None
