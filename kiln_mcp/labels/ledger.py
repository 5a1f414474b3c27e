"""The ledger of an eval: every label and every draw, appended to files beside it.

Kiln's own rating holds one label an item. These side files hold the rest: the rater, the time, the
reason, the random draw with its probability, and the purpose of the label. Specs and judges may
learn from labels for development. Labels for the certificate only measure.

A line that cannot be read is skipped. It stays in the file, and warnings name it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Final, Generic, Literal, Self, TypeVar

import anyio.to_thread
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from storage import Change, Eval, ProjectStore
from storage.commits.side_files import whole_lines, with_lines
from storage.records.record import first_fault
from storage.text.excerpts import excerpt

LABELS: Final = "kiln_mcp_labels.jsonl"
DRAWS: Final = "kiln_mcp_draws.jsonl"

Purpose = Literal["development", "certificate", "repeat", "second_look", "review"]
"""What items are drawn for, and what their labels may be used for.

Labels of blind repeats tell only how far a rater agrees with themselves. Labels of a second look
replace a doubtful label for development. Those of a review tell how far a judge agrees that was
made before them; then specs and judges may learn from them.
"""

State = Literal["value", "both", "cannot_judge", "skipped", "withdrawn"]
"""What a rater said: a value, that each value can be defended, or no value at all."""
JUDGED: Final[frozenset[State]] = frozenset({"value", "both", "cannot_judge"})
"""The states of an item that needs no other label."""

INFORMATIVE: Final = "informative"
"""The stratum of a review whose items were chosen by what their labels teach, not at random."""
AT_RANDOM: Final = "random"
"""The stratum of a review whose items were drawn at random."""

_STORED_PURPOSE: Final = "ledger"
"""The key of the purpose in users' files."""


def _in_utc(at: datetime) -> datetime:
    """Take a time without a zone for UTC. People and other programs write such times."""
    return at if at.tzinfo else at.replace(tzinfo=UTC)


class _Line(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="allow",
        allow_inf_nan=False,
        defer_build=True,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
    )

    v: int = 1
    at: Annotated[datetime, AfterValidator(_in_utc)] = Field(
        default_factory=lambda: datetime.now(UTC)
    )


LineT = TypeVar("LineT", bound=_Line)


class Label(_Line):
    """One label of one score of one item.

    Attributes:
        at: When it was entered.
        item: The task run's id.
        score: The score's key.
        value: On the score's scale; None unless the state is `value`.
        rater: The person who gave it.
        purpose: What it may be used for.
        state: What the rater said.
        reason: Why, in the rater's words.
        blind: Whether the rater saw neither verdict nor label; None if nobody knows.
        draw: The id of the draw that the item came from; None for an item picked by hand.
        stratum: The stratum that it was drawn from.
        probability: The probability with which it was drawn.
        seconds: Time from the draw to the labels, for each label; None if not known.
        confirmed: Whether the person confirmed it at a door where no model answers for them. A
            label that an assistant passed on is not confirmed, and measures nothing.
    """

    item: str
    score: str
    value: float | None = None
    rater: str
    purpose: Purpose = Field(validation_alias=_STORED_PURPOSE, serialization_alias=_STORED_PURPOSE)
    state: State = "value"
    reason: str = ""
    blind: bool | None = None
    draw: str | None = None
    stratum: str | None = None
    probability: float | None = Field(default=None, gt=0, le=1)
    seconds: float | None = None
    confirmed: bool = False

    @model_validator(mode="after")
    def _check_value(self) -> Self:
        if (self.value is None) == (self.state == "value"):
            raise ValueError("a label has a value if its state is `value`, and else none")
        return self

    @property
    def certifies(self) -> bool:
        """Return whether it counts for a certificate."""
        return self.confirmed and self.purpose == "certificate" and self.state in JUDGED


class DrawnStratum(BaseModel):
    """One stratum of a draw.

    Attributes:
        size: Items of the golden set in it, labelled ones included.
        open: Items of it that had no label at the time of the draw.
        drawn: The items drawn.
    """

    model_config = ConfigDict(frozen=True, extra="allow", defer_build=True)

    size: int = Field(ge=0)
    open: int = Field(ge=0)
    drawn: tuple[str, ...]

    @model_validator(mode="after")
    def _check_drawn(self) -> Self:
        if len(self.drawn) > self.open:
            raise ValueError("more items were drawn than were open")
        return self


class Draw(_Line):
    """A random draw of items to be labelled.

    Attributes:
        id: The draw's id.
        seed: Repeats the draw over the same golden set.
        purpose: What the labels are for.
        evaluator: The id of the judge whose verdicts are the strata; None for one stratum.
        strata: By name.
        rater: Whom the items were drawn for; empty if nobody said.
    """

    id: str
    seed: int
    purpose: Purpose = Field(validation_alias=_STORED_PURPOSE, serialization_alias=_STORED_PURPOSE)
    evaluator: str | None
    strata: dict[str, DrawnStratum]
    rater: str = ""

    @property
    def items(self) -> tuple[str, ...]:
        """The items drawn."""
        return tuple(item for stratum in self.strata.values() for item in stratum.drawn)

    def stratum_of(self, item: str) -> str | None:
        """Return the stratum that an item was drawn from; None if it was not drawn."""
        return next((name for name, s in self.strata.items() if item in s.drawn), None)


@dataclass(frozen=True, slots=True)
class SideLines(Generic[LineT]):
    """The content of a file of lines.

    Attributes:
        entries: The lines that can be read, in their order.
        problems: A sentence for each line that cannot be read.
    """

    entries: Sequence[LineT]
    problems: Sequence[str]


async def read_labels(store: ProjectStore, eval_record: Eval) -> SideLines[Label]:
    """Return the labels of an eval, in the order in which they were entered.

    Raises:
        UnsafePath: The file is a link, or a link leads to it.
    """
    return await _read(store, eval_record, LABELS, Label)


async def read_draws(store: ProjectStore, eval_record: Eval) -> SideLines[Draw]:
    """Return the draws of an eval, the oldest first.

    Raises:
        UnsafePath: The file is a link, or a link leads to it.
    """
    return await _read(store, eval_record, DRAWS, Draw)


def append_labels(change: Change, eval_record: Eval, labels: Sequence[Label]) -> None:
    """Add labels to the end of the ledger, except those that repeat their rater's last one."""
    change.write_side_file(eval_record, LABELS, partial(_with_labels, labels=labels))


def append_draw(change: Change, eval_record: Eval, draw: Draw) -> None:
    """Add a draw to the end of the record of draws."""
    change.append_lines(eval_record, DRAWS, [draw.model_dump_json()])


def latest(labels: Sequence[Label], score: str) -> dict[str, dict[str, Label]]:
    """Return each rater's last label of each item, for one score: item, then rater.

    Labels that were withdrawn, and blind repeats, are left out.
    """
    items: dict[str, dict[str, Label]] = {}
    for label in labels:
        if label.score != score or label.purpose == "repeat":
            continue
        if label.state in JUDGED:
            items.setdefault(label.item, {})[label.rater] = label
        elif label.state == "withdrawn":
            items.get(label.item, {}).pop(label.rater, None)
    return items


async def _read(
    store: ProjectStore, eval_record: Eval, name: str, kind: type[LineT]
) -> SideLines[LineT]:
    lines = await store.side_lines(eval_record, name)
    return await anyio.to_thread.run_sync(_parse, lines, kind, name)


def _parse(lines: Sequence[str], kind: type[LineT], name: str) -> SideLines[LineT]:
    entries: list[LineT] = []
    problems: list[str] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            entries.append(kind.model_validate_json(line.encode("utf-8", "surrogateescape")))
        except ValidationError as error:
            reason = excerpt(first_fault(error))
            problems.append(f"Line {number} of {name} cannot be read and is skipped: {reason}.")
    return SideLines(entries, problems)


def _with_labels(content: bytes | None, labels: Sequence[Label]) -> bytes | None:
    """Return a ledger with labels added; None if it has them all."""
    items = {label.item for label in labels}
    lines = [line for line in whole_lines(content or b"") if any(item in line for item in items)]
    last = {_key(label): label for label in _parse(lines, Label, "").entries}
    fresh: list[Label] = []
    for label in labels:
        if not _repeats(label, last.get(_key(label))):
            fresh.append(label)
            last[_key(label)] = label
    return with_lines(content, [label.model_dump_json() for label in fresh]) if fresh else None


def _key(label: Label) -> tuple[str, str, str]:
    return label.rater, label.item, label.score


def _repeats(label: Label, last: Label | None) -> bool:
    """Return whether a label adds nothing to its rater's last one of the item."""
    if last is None or _content(last) != _content(label):
        return False
    return last.confirmed or not label.confirmed


def _content(label: Label) -> tuple[object, ...]:
    return label.value, label.state, label.reason, label.draw
