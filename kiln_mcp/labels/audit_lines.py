"""The side file of an evaluator that holds its audits: what each froze, and its draws in order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, TypeAdapter, ValidationError

from kiln_mcp.statistics import AuditDesign, StoredDraw, replays
from storage import Change, EvalConfig, ProjectStore
from storage.records.record import first_fault
from storage.text.excerpts import excerpt

AUDITS: Final = "kiln_mcp_audits.jsonl"
LOST_DRAWS: Final = "its list of draws, of which some are missing,"
"""Why an audit ended whose file has lost lines."""
ALTERED_DRAWS: Final = "its list of draws, of which some do not replay,"
"""Why an audit ended whose draws its design cannot have made."""


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False, defer_build=True)

    v: int = 1
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))


class AuditStratum(BaseModel):
    """One stratum of a pool.

    Attributes:
        name: Its verdict, and the share of the panel that differs.
        verdict: The judge's verdict on each of its items; None if they differ.
        prior: The share that is expected to agree.
        items: The ids of its items.
    """

    model_config = ConfigDict(frozen=True, extra="allow", defer_build=True)

    name: str
    verdict: float | None
    prior: float = Field(gt=0, lt=1)
    items: tuple[str, ...] = Field(min_length=1)


class AuditOpening(_Line):
    """What an audit froze when it opened.

    Attributes:
        id: The audit's id.
        score: The score's key.
        fingerprint: The hashes of the judge's parts, by name.
        pool: The hash of the items with their outputs and verdicts.
        strata: The pool by stratum.
        panel: The ids of the evaluators whose verdicts made the strata.
        seed: Of its draws.
        target: The agreement to be certified; None if nobody has named one.
        rater: Whose labels count; empty for every rater's.
    """

    line: Literal["opening"] = "opening"
    id: str
    score: str
    fingerprint: Mapping[str, str]
    pool: str
    strata: tuple[AuditStratum, ...] = Field(min_length=1)
    panel: tuple[str, ...] = ()
    seed: int = 0
    target: float | None = None
    rater: str = ""

    def counts_rater(self, rater: str) -> bool:
        """Return whether a rater's labels count."""
        return not self.rater or is_same_rater(rater, self.rater)


def is_same_rater(first: str, second: str) -> bool:
    """Return whether two names are of one rater: case and outer spaces tell nobody apart."""
    return first.strip().casefold() == second.strip().casefold()


class AuditDraw(_Line):
    """One draw of an audit.

    Attributes:
        audit: The audit's id.
        draw: The id of the draw in the eval's ledger, by which labels name it.
        item: The item drawn.
        stratum: The place of its stratum.
        probabilities: Of all strata, at this draw.
        left: Items not drawn before this draw, by stratum.
    """

    line: Literal["draw"] = "draw"
    audit: str
    draw: str
    item: str
    stratum: int = Field(ge=0)
    probabilities: tuple[float, ...]
    left: tuple[int, ...]


class AuditClosing(_Line):
    """The end of an audit whose outputs were changed.

    Attributes:
        audit: The audit's id.
        reason: What has changed, in words.
    """

    line: Literal["closing"] = "closing"
    audit: str
    reason: str


AuditLine = Annotated[AuditOpening | AuditDraw | AuditClosing, Discriminator("line")]
_LINE: Final[TypeAdapter[AuditLine]] = TypeAdapter(AuditLine, config=ConfigDict(defer_build=True))


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """An audit as its side file has it.

    Attributes:
        opening: What it froze.
        draws: Its draws in order; an item that two machines drew counts once.
        closing: Why it ended, in words; None if it goes on.
        problems: A sentence for each line that cannot be used.
        unfit_count: How many draws do not fit what it froze, and are left out.
    """

    opening: AuditOpening
    draws: tuple[AuditDraw, ...]
    closing: str | None = None
    problems: tuple[str, ...] = ()
    unfit_count: int = 0


async def read_audits(store: ProjectStore, evaluator: EvalConfig) -> list[AuditRecord]:
    """Return the audits of an evaluator, the oldest first."""
    return parse_audits(await store.side_lines(evaluator, AUDITS))


def append_audit_lines(
    change: Change, evaluator: EvalConfig, lines: Sequence[AuditOpening | AuditDraw | AuditClosing]
) -> None:
    """Add lines to the audits of an evaluator."""
    change.append_lines(evaluator, AUDITS, [line.model_dump_json() for line in lines])


def parse_audits(lines: Sequence[str]) -> list[AuditRecord]:
    """Return the audits that lines tell of."""
    openings: dict[str, AuditOpening] = {}
    draws: dict[str, dict[str, AuditDraw]] = {}
    closings: dict[str, str] = {}
    problems: list[str] = []
    for number, text in enumerate(lines, 1):
        if not text.strip():
            continue
        try:
            line = _LINE.validate_json(text.encode("utf-8", "surrogateescape"))
        except ValidationError as error:
            reason = excerpt(first_fault(error))
            problems.append(f"Line {number} of {AUDITS} cannot be read and is skipped: {reason}.")
            continue
        if isinstance(line, AuditOpening):
            openings.setdefault(line.id, line)
        elif isinstance(line, AuditClosing):
            closings.setdefault(line.audit, line.reason)
        else:
            draws.setdefault(line.audit, {}).setdefault(line.item, line)
    return [
        _with_closing(_record(opening, draws.get(opening.id, {}), problems), closings)
        for opening in openings.values()
    ]


def _with_closing(record: AuditRecord, closings: Mapping[str, str]) -> AuditRecord:
    """Return an audit with the reason of its end; one with missing or altered draws has ended.

    A draw that is missing may be of a label that speaks against the judge.
    """
    closing = closings.get(record.opening.id)
    if closing is None and _lacks_draws(record):
        closing = LOST_DRAWS
    if closing is None and not _replays(record):
        closing = ALTERED_DRAWS
    return replace(record, closing=closing)


def _lacks_draws(record: AuditRecord) -> bool:
    """Return whether some draw came after more draws than there are before it.

    Draws that two machines made side by side come after more than they knew of.
    """
    left = [len(stratum.items) for stratum in record.opening.strata]
    for draw in record.draws:
        if any(count > limit for count, limit in zip(left, draw.left, strict=False)):
            return True
        left[draw.stratum] -= 1
    return False


def _replays(record: AuditRecord) -> bool:
    """Return whether all draws fit their audit, with probabilities that its design makes."""
    if record.unfit_count:
        return False
    strata = record.opening.strata
    design = AuditDesign(
        tuple(len(stratum.items) for stratum in strata), tuple(stratum.prior for stratum in strata)
    )
    requests: dict[str, list[StoredDraw]] = {}
    for draw in record.draws:
        stored_draw = StoredDraw(draw.stratum, draw.probabilities, draw.left)
        requests.setdefault(draw.draw, []).append(stored_draw)
    return replays(design, list(requests.values()))


def _record(
    opening: AuditOpening, draws: Mapping[str, AuditDraw], problems: Sequence[str]
) -> AuditRecord:
    """Return an audit without draws that do not fit what it froze."""
    places = {item: k for k, stratum in enumerate(opening.strata) for item in stratum.items}
    fitting = [
        draw
        for draw in draws.values()
        if places.get(draw.item) == draw.stratum
        and len(draw.probabilities) == len(opening.strata)
        and all(p >= 0 for p in draw.probabilities)
        and draw.probabilities[draw.stratum] > 0
    ]
    missing = len(draws) - len(fitting)
    sentences = [f"{missing} draws do not fit their audit and are left out."] if missing else []
    return AuditRecord(
        opening, tuple(fitting), problems=(*problems, *sentences), unfit_count=missing
    )
