"""Checking labels that a person gave, and writing them as the ledger keeps them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from kiln_mcp.approvals.plan import Plan
from kiln_mcp.labels.errors import LabelsRefused
from kiln_mcp.labels.golden_set import Pool
from kiln_mcp.labels.ledger import Draw, Label
from kiln_mcp.labels.values import label_text
from kiln_mcp.projects.runs.ratings import VALUES
from storage import EvalOutputScore

MOST_SHOWN: Final = 20
_SHOWN: Final = 40


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
    entries: dict[tuple[str, str], Label] = {}
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
            entry = _entry(pool, given.item, score, value, (rater, now, len(labels)))
            if entries.setdefault((entry.item, entry.score), entry).value != value:
                problems.append(f"{given.item} has two different labels: give one.")
    if problems:
        raise LabelsRefused(problems)
    return list(entries.values())


def confirmed(entries: Sequence[Label]) -> list[Label]:
    """Return labels as the ledger keeps them once the person has confirmed the batch."""
    return [
        entry.model_copy(update={"confirmed": True}) if entry.ledger == "certificate" else entry
        for entry in entries
    ]


def passed_on(entries: Sequence[Label]) -> list[Label]:
    """Return labels as the ledger keeps them where an assistant passed them on."""
    return [entry.model_copy(update={"ledger": "development"}) for entry in entries]


def plan_of_labels(pool: Pool, entries: Sequence[Label], rater: str) -> Plan:
    """Return what a person confirms: how often each label, and the first of them one by one."""
    kinds = {score.json_key: score.type for score in pool.scores}
    outputs = {run.id: run.output.output for run in pool.runs}
    texts = [(entry, label_text(entry.value, kinds[entry.score])) for entry in entries]
    counts = Counter(text for _, text in texts)
    drawn = sum(entry.ledger == "certificate" for entry in entries)
    several = len(kinds) > 1
    shown = [
        f"{outputs[entry.item][:_SHOWN]!r}{f' ({entry.score})' if several else ''}: {text}"
        for entry, text in texts[:MOST_SHOWN]
    ]
    if len(texts) > MOST_SHOWN:
        shown.append(f"… and {len(texts) - MOST_SHOWN} more")
    numbers = ", ".join(f"{count} {text}" for text, count in counts.most_common())
    certificate = f"; {drawn} of them measure judges in a certificate" if drawn else ""
    return Plan(
        f"Record {numbers} as labels that {rater[:_SHOWN]!r} gave in {pool.found.name!r}"
        f"{certificate}. {'; '.join(shown)}.",
        certifies=drawn > 0,
    )


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
