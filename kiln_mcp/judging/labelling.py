"""Checking labels that a person gave, and writing them as the ledger keeps them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, Field

from kiln_mcp.judging.errors import LabelsRefused
from kiln_mcp.judging.ledger import Draw, Label
from kiln_mcp.judging.pool import Pool
from kiln_mcp.projects.ratings import VALUES
from storage import EvalOutputScore


class ItemLabel(BaseModel):
    """A person's label of one item."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    item: str = Field(description="The item's id.")
    label: str = Field(description="pass, fail or critical; 1 to 5 for stars.")
    score: str | None = Field(
        default=None, description="The score's key; may be left out where the eval has one."
    )


@dataclass(frozen=True, slots=True)
class _Origin:
    """The draw that an item's label comes from, if any."""

    draw: Draw | None
    stratum: str | None

    @property
    def probability(self) -> float | None:
        if self.draw is None or self.stratum is None:
            return None
        drawn = self.draw.strata[self.stratum]
        return len(drawn.drawn) / drawn.open if drawn.open else None


def ledger_entries(pool: Pool, labels: Sequence[ItemLabel], rater: str) -> list[Label]:
    """Check labels against the golden set and return them as the ledger keeps them.

    Raises:
        LabelsRefused: Some do not fit.
    """
    known = {run.id for run in pool.runs}
    problems: list[str] = []
    entries: list[Label] = []
    now = datetime.now(UTC)
    for given in labels:
        score = _score_of(pool.scores, given.score)
        value = VALUES[score.type].get(given.label.strip().lower()) if score else None
        if given.item not in known:
            problems.append(f"{given.item} is not in the golden set.")
        elif score is None:
            names = ", ".join(s.json_key for s in pool.scores)
            problems.append(f"{given.item}: name one score of {names}.")
        elif value is None:
            valid = ", ".join(VALUES[score.type])
            problems.append(f"{given.item}: {given.label!r} is none of {valid}.")
        else:
            entries.append(_entry(pool, given.item, score, value, (rater, now, len(labels))))
    if problems:
        raise LabelsRefused(problems)
    return entries


def _entry(
    pool: Pool, item: str, score: EvalOutputScore, value: float, how: tuple[str, datetime, int]
) -> Label:
    rater, now, together = how
    origin = next(
        (_Origin(d, d.stratum_of(item)) for d in reversed(pool.draws) if d.stratum_of(item)),
        _Origin(None, None),
    )
    draw = origin.draw
    return Label(
        at=now,
        item=item,
        score=score.json_key,
        value=value,
        rater=rater,
        ledger=draw.ledger if draw else "development",
        draw=draw.id if draw else None,
        stratum=origin.stratum,
        probability=origin.probability,
        seconds=(now - draw.at).total_seconds() / together if draw else None,
    )


def _score_of(scores: Sequence[EvalOutputScore], key: str | None) -> EvalOutputScore | None:
    if key is None:
        return scores[0] if len(scores) == 1 else None
    return next((score for score in scores if key in {score.json_key, score.name}), None)
