"""The ledgers of an eval: every label and every draw, appended to files beside it.

Kiln's own rating holds one label an item. These side files hold the rest: who labelled, when,
whether the item was drawn at random and with which probability, and which ledger it belongs to.
Labels of the development ledger may teach a judge; labels of the certificate ledger only measure.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kiln_mcp.judging.errors import LedgerDamaged
from storage import Change, Eval, ProjectStore

LABELS: Final = "kiln_mcp_labels.jsonl"
DRAWS: Final = "kiln_mcp_draws.jsonl"

Ledger = Literal["development", "certificate"]


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")

    v: int = 1
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))


LineT = TypeVar("LineT", bound=_Line)


class Label(_Line):
    """One label of one score of one item.

    Attributes:
        at: When it was given.
        item: The task run's id.
        score: The score's key.
        value: On the score's scale.
        rater: Who gave it.
        ledger: What it may be used for.
        draw: The id of the draw that the item came from; None for an item chosen by hand.
        stratum: The stratum that it was drawn from.
        probability: The probability with which it was drawn.
        seconds: Time from the draw to the labels, for each label; None where not known.
        confirmed: Whether the person confirmed it where no model answers for them. A label that
            an assistant passed on is not confirmed, and measures nothing.
    """

    item: str
    score: str
    value: float
    rater: str
    ledger: Ledger
    draw: str | None = None
    stratum: str | None = None
    probability: float | None = Field(default=None, gt=0, le=1)
    seconds: float | None = None
    confirmed: bool = False

    @property
    def certifies(self) -> bool:
        """Whether it counts for a certificate."""
        return self.confirmed and self.ledger == "certificate"


class DrawnStratum(BaseModel):
    """One stratum of a draw.

    Attributes:
        size: Items of the whole pool in it, labelled ones included.
        open: Items of it that had no label when the draw was made.
        drawn: The items drawn.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    size: int
    open: int
    drawn: tuple[str, ...]


class Draw(_Line):
    """A random draw of items to be labelled.

    Attributes:
        id: The draw's id.
        seed: Repeats the draw over the same pool.
        ledger: What the labels are for.
        evaluator: The id of the judge whose verdicts made the strata; None for one stratum.
        strata: By name.
    """

    id: str
    seed: int
    ledger: Ledger
    evaluator: str | None
    strata: dict[str, DrawnStratum]

    def stratum_of(self, item: str) -> str | None:
        """Return the stratum that an item was drawn from, None where it was not drawn."""
        return next((name for name, s in self.strata.items() if item in s.drawn), None)


async def read_labels(store: ProjectStore, measured: Eval) -> list[Label]:
    """Return the labels of an eval, in the order in which they were given.

    Raises:
        LedgerDamaged: A line cannot be read.
        UnsafePath: The file is a link, or a link leads to it.
    """
    return await _read(store, measured, LABELS, Label)


async def read_draws(store: ProjectStore, measured: Eval) -> list[Draw]:
    """Return the draws of an eval, the oldest first.

    Raises:
        LedgerDamaged: A line cannot be read.
        UnsafePath: The file is a link, or a link leads to it.
    """
    return await _read(store, measured, DRAWS, Draw)


def append_labels(change: Change, measured: Eval, labels: Sequence[Label]) -> None:
    """Note labels to be added at the end of the ledger."""
    change.append_lines(measured, LABELS, [label.model_dump_json() for label in labels])


def append_draw(change: Change, measured: Eval, draw: Draw) -> None:
    """Note a draw to be added at the end of the record of draws."""
    change.append_lines(measured, DRAWS, [draw.model_dump_json()])


def latest(labels: Sequence[Label], score: str) -> dict[str, dict[str, Label]]:
    """Return each rater's last label of each item, for one score: item, then rater."""
    found: dict[str, dict[str, Label]] = {}
    for label in labels:
        if label.score == score:
            found.setdefault(label.item, {})[label.rater] = label
    return found


async def _read(store: ProjectStore, measured: Eval, name: str, kind: type[LineT]) -> list[LineT]:
    found: list[LineT] = []
    for number, line in enumerate(await store.side_lines(measured, name), 1):
        if not line.strip():
            continue
        try:
            found.append(kind.model_validate_json(line))
        except ValidationError as error:
            reason = error.errors(include_url=False)[0]["msg"]
            file = store.side_folder(measured) / name
            raise LedgerDamaged(file, number, reason) from error
    return found
