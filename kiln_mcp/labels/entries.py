"""Check a person's labels, and turn them into entries of the ledger."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from kiln_mcp.approvals.plan import Plan
from kiln_mcp.datasets.rating_criteria import VALUES
from kiln_mcp.labels.golden_set import GoldenSet
from kiln_mcp.labels.label_words import label_text
from kiln_mcp.labels.ledger import Draw, Label
from storage import EvalOutputScore, TaskRun
from storage.errors import InvalidValue
from storage.records.handles import id_in_reference
from storage.text.excerpts import excerpt

MOST_LABELS: Final = 20
"""The most labels that a plan shows one by one."""
_LONGEST_TEXT: Final = 40


class ItemLabel(BaseModel):
    """A person's label of one item."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, coerce_numbers_to_str=True, defer_build=True
    )

    item: str = Field(description="Its id.")
    label: str = Field(description="pass, fail or critical; 1 to 5 for stars.")
    score: str | None = Field(default=None, description="Its key, if the eval has several.")


@dataclass(frozen=True, slots=True)
class _Origin:
    """The draw that an item's label comes from, if any."""

    draw: Draw | None
    stratum: str | None

    @property
    def probability(self) -> float | None:
        if self.draw is None or self.stratum is None:
            return None
        stratum = self.draw.strata[self.stratum]
        return len(stratum.drawn) / stratum.open if stratum.open else None


def ledger_entries(golden_set: GoldenSet, labels: Sequence[ItemLabel], rater: str) -> list[Label]:
    """Check labels against the golden set, and return their entries for the ledger.

    Raises:
        Refusal: Some do not fit.
    """
    items = {run.id for run in golden_set.runs}
    problems: list[str] = []
    entries: dict[tuple[str, str], Label] = {}
    batch = _Batch(rater, datetime.now(UTC), len(labels))
    for label in labels:
        item = id_in_reference(TaskRun.type_name(), label.item)
        score = _score_of(golden_set.scores, label.score)
        value = VALUES[score.type].get(label.label.strip().lower()) if score else None
        if item not in items:
            problems.append(f"{label.item} is not in the golden set")
        elif score is None:
            names = ", ".join(score.json_key for score in golden_set.scores)
            problems.append(f"{label.item}: name one score of {names}")
        elif value is None:
            valid = ", ".join(VALUES[score.type])
            problems.append(f"{label.item}: {excerpt(label.label)!r} is none of {valid}")
        else:
            entry = _entry(golden_set, item, score, value, batch)
            if entries.setdefault((entry.item, entry.score), entry).value != value:
                problems.append(f"{label.item} has two different labels: give one")
    if problems:
        raise InvalidValue(
            "No label was saved. Correct these and send all of them again: {problems}.",
            problems=problems,
        )
    return list(entries.values())


def with_confirmation(entries: Sequence[Label]) -> list[Label]:
    """Return the entries of a batch that the person has confirmed."""
    return [
        entry.model_copy(update={"confirmed": True}) if entry.purpose == "certificate" else entry
        for entry in entries
    ]


def without_confirmation(entries: Sequence[Label]) -> list[Label]:
    """Return the entries of a batch that an assistant passed on."""
    return [entry.model_copy(update={"purpose": "development"}) for entry in entries]


def plan_of_labels(
    golden_set: GoldenSet, entries: Sequence[Label], rater: str, outputs: Mapping[str, str]
) -> Plan:
    """Return the plan that a person confirms: the count of each label, and the first ones.

    Args:
        golden_set: The golden set.
        entries: The labels.
        rater: Who gave them.
        outputs: The outputs of the first items, by their ids.
    """
    kinds = {score.json_key: score.type for score in golden_set.scores}
    texts = [(entry, label_text(entry.value, kinds[entry.score])) for entry in entries]
    counts = Counter(text for _, text in texts)
    of_draws = sum(entry.purpose == "certificate" for entry in entries)
    several = len(kinds) > 1
    shown_texts = {item: output[:_LONGEST_TEXT] for item, output in outputs.items()}
    lines = [
        f"{shown_texts.get(entry.item, entry.item)!r}"
        f"{f' ({entry.score})' if several else ''}: {text}"
        for entry, text in texts[:MOST_LABELS]
    ]
    if len(texts) > MOST_LABELS:
        lines.append(f"… and {len(texts) - MOST_LABELS} more")
    numbers = ", ".join(f"{count} {text}" for text, count in counts.most_common())
    certificate = f"; {of_draws} of them measure judges in a certificate" if of_draws else ""
    return Plan(
        f"Record {numbers} as labels that {rater[:_LONGEST_TEXT]!r} gave in "
        f"{golden_set.task_eval.name!r}{certificate}. {'; '.join(lines)}.",
        certifies=of_draws > 0,
    )


@dataclass(frozen=True, slots=True)
class _Batch:
    """The rater, time and number of labels that were sent together."""

    rater: str
    at: datetime
    count: int


def _entry(
    golden_set: GoldenSet, item: str, score: EvalOutputScore, value: float, batch: _Batch
) -> Label:
    origin = next(
        (_Origin(d, d.stratum_of(item)) for d in reversed(golden_set.draws) if d.stratum_of(item)),
        _Origin(None, None),
    )
    draw = origin.draw
    return Label(
        at=batch.at,
        item=item,
        score=score.json_key,
        value=value,
        rater=batch.rater,
        purpose=draw.purpose if draw else "development",
        draw=draw.id if draw else None,
        stratum=origin.stratum,
        probability=origin.probability,
        seconds=(batch.at - draw.at).total_seconds() / batch.count if draw else None,
    )


def _score_of(scores: Sequence[EvalOutputScore], key: str | None) -> EvalOutputScore | None:
    if key is None:
        return scores[0] if len(scores) == 1 else None
    return next((score for score in scores if key in {score.json_key, score.name}), None)
