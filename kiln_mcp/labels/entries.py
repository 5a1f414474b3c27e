"""Check a person's labels, and turn them into entries of the ledger."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from kiln_mcp.approvals.plan import Plan
from kiln_mcp.datasets.rating_criteria import VALUES
from kiln_mcp.labels.golden_set import GoldenSet
from kiln_mcp.labels.label_words import event_text, state_of
from kiln_mcp.labels.labelling_pass import LabellingPass, ScoreOfEval
from kiln_mcp.labels.ledger import INFORMATIVE, Draw, Label, State
from storage import EvalOutputScore, TaskRun
from storage.errors import InvalidValue
from storage.records.handles import id_in_reference
from storage.text.excerpts import excerpt

MOST_LABELS: Final = 20
"""The most labels that a plan shows one by one."""
SAYABLE_STATES: Final = ("both", "cannot judge", "skip")
"""What a rater may say instead of a value."""
LONGEST_REASON: Final = 2000
LONGEST_RATER: Final = 80
"""The most characters of a rater's name."""
_LONGEST_TEXT: Final = 40


class ItemLabel(BaseModel):
    """A person's label of one item."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, coerce_numbers_to_str=True, defer_build=True
    )

    item: str = Field(description="Its id.")
    label: str = Field(description="pass, fail, critical; 1 to 5 stars; both, cannot judge, skip.")
    score: str | None = Field(default=None, description="Its key, if there are several.")
    reason: str = Field(default="", description="In the person's words.")


@dataclass(frozen=True, slots=True)
class EvalLabels:
    """The labels of one eval that are saved together."""

    golden_set: GoldenSet
    entries: Sequence[Label]


@dataclass(frozen=True, slots=True)
class _Origin:
    """The draw that an item's label comes from, if any."""

    draw: Draw | None
    stratum: str | None

    @property
    def probability(self) -> float | None:
        if self.draw is None or self.stratum is None or self.stratum == INFORMATIVE:
            return None
        stratum = self.draw.strata[self.stratum]
        return len(stratum.drawn) / stratum.open if stratum.open else None


def check_rater_name(rater: str) -> None:
    """Refuse a rater's name that is too long for the lines and tables that show it.

    Raises:
        InvalidValue: It is longer than LONGEST_RATER.
    """
    if len(rater) > LONGEST_RATER:
        raise InvalidValue(
            "The rater's name '{rater}' has {count} characters, and {most} at most are allowed. "
            "Give a shorter one, such as a login name.",
            rater=excerpt(rater, _LONGEST_TEXT),
            count=len(rater),
            most=LONGEST_RATER,
        )


def ledger_entries(
    labelling: LabellingPass, labels: Sequence[ItemLabel], rater: str
) -> list[EvalLabels]:
    """Check labels against the golden sets, and return the entries of each eval's ledger.

    Raises:
        Refusal: Some do not fit, or the rater's name is too long.
    """
    check_rater_name(rater)
    problems: list[str] = []
    entries: dict[tuple[int, str, str], Label] = {}
    batch = LabelBatch(rater, datetime.now(UTC), len({label.item for label in labels}))
    for label in labels:
        item = id_in_reference(TaskRun.type_name(), label.item)
        place = _score_of(labelling, label.score, item)
        if item not in labelling.runs:
            problems.append(f"{label.item} is not in the golden set")
        elif place is None:
            names = ", ".join(score.name for score in labelling.scores)
            problems.append(f"{label.item}: name one score of {names}")
        else:
            meaning = meaning_of(label.label, place.score)
            if meaning is None:
                valid = ", ".join(valid_words(place.score))
                problems.append(f"{label.item}: {excerpt(label.label)!r} is none of {valid}")
                continue
            entry = entry_of(place, item, meaning, label.reason, batch)
            number = labelling.golden_sets.index(place.golden_set)
            first = entries.setdefault((number, entry.item, entry.score), entry)
            if (first.value, first.state) != (entry.value, entry.state):
                problems.append(f"{label.item} has two different labels: give one")
    if problems:
        raise InvalidValue(
            "No label was saved. Correct these and send all of them again: {problems}.",
            problems=problems,
        )
    return [
        EvalLabels(golden_set, [e for (of, *_), e in entries.items() if of == number])
        for number, golden_set in enumerate(labelling.golden_sets)
        if any(of == number for of, *_ in entries)
    ]


def valid_words(score: EvalOutputScore) -> list[str]:
    """Return what a rater may say of a score."""
    return [*VALUES[score.type], *SAYABLE_STATES]


def meaning_of(word: str, score: EvalOutputScore) -> tuple[State, float | None] | None:
    """Return the state and the value that a rater's word means; None if it means none."""
    value = VALUES[score.type].get(word.strip().casefold())
    if value is not None:
        return "value", value
    state = state_of(word)
    return None if state is None else (state, None)


def with_confirmation(labels: Sequence[EvalLabels]) -> list[EvalLabels]:
    """Return the entries of a batch that the person has confirmed."""
    return _with_each(
        labels,
        lambda entry: (
            entry.model_copy(update={"confirmed": True})
            if entry.purpose == "certificate"
            else entry
        ),
    )


def without_confirmation(labels: Sequence[EvalLabels]) -> list[EvalLabels]:
    """Return the entries of a batch that an assistant passed on."""
    return _with_each(
        labels,
        lambda entry: (
            entry.model_copy(update={"purpose": "development"})
            if entry.purpose == "certificate"
            else entry
        ),
    )


def _with_each(labels: Sequence[EvalLabels], change: Callable[[Label], Label]) -> list[EvalLabels]:
    return [EvalLabels(part.golden_set, list(map(change, part.entries))) for part in labels]


def plan_of_labels(labels: Sequence[EvalLabels], rater: str, outputs: Mapping[str, str]) -> Plan:
    """Return the plan that a person confirms: the count of each label, and the first ones.

    Args:
        labels: The labels of each eval.
        rater: Who gave them.
        outputs: The outputs of the first items, by their ids.
    """
    kinds = {
        (part.golden_set.task_eval.id, score.json_key): score.type
        for part in labels
        for score in part.golden_set.scores
    }
    texts = [
        (entry, event_text(entry, kinds[part.golden_set.task_eval.id, entry.score]))
        for part in labels
        for entry in part.entries
    ]
    counts = Counter(text for _, text in texts)
    of_draws = sum(entry.purpose == "certificate" for entry, _ in texts)
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
    names = " and ".join(repr(part.golden_set.task_eval.name) for part in labels)
    return Plan(
        f"Record {numbers} as labels that {rater[:_LONGEST_TEXT]!r} gave in "
        f"{names}{certificate}. {'; '.join(lines)}.",
        certifies=of_draws > 0,
    )


@dataclass(frozen=True, slots=True)
class LabelBatch:
    """The rater and time of labels, and the number of items that were labelled together.

    Attributes:
        rater: Who gave the labels.
        at: When.
        count: How many items.
        seconds: How long each took; None if only the time of the draw is known.
    """

    rater: str
    at: datetime
    count: int = 1
    seconds: float | None = None


def entry_of(
    place: ScoreOfEval,
    item: str,
    meaning: tuple[State, float | None],
    reason: str,
    batch: LabelBatch,
) -> Label:
    """Return the ledger's entry of one label, with the draw that its item comes from."""
    state, value = meaning
    origin = _origin_of(place, item, batch.rater)
    draw, seconds = origin.draw, batch.seconds
    if seconds is None and draw is not None:
        seconds = (batch.at - draw.at).total_seconds() / batch.count
    return Label(
        at=batch.at,
        item=item,
        score=place.score.json_key,
        value=value,
        rater=batch.rater,
        purpose=draw.purpose if draw else "development",
        state=state,
        reason=" ".join(reason.split())[:LONGEST_REASON],
        blind=True if draw else None,
        draw=draw.id if draw else None,
        stratum=origin.stratum,
        probability=origin.probability,
        seconds=seconds,
    )


def _origin_of(place: ScoreOfEval, item: str, rater: str) -> _Origin:
    """Return the newest draw of an item, less repeats and second looks that have their label."""
    key = (item, place.score.json_key, rater)
    for draw in reversed(place.golden_set.draws):
        stratum = draw.stratum_of(item)
        if stratum is None:
            continue
        is_once = draw.purpose in {"repeat", "second_look"}
        if not is_once or not any(
            label.draw == draw.id and (label.item, label.score, label.rater) == key
            for label in place.golden_set.labels
        ):
            return _Origin(draw, stratum)
    return _Origin(None, None)


def _score_of(labelling: LabellingPass, name: str | None, item: str) -> ScoreOfEval | None:
    """Return the score that a rater names among those of an item; None if several fit, or none."""
    own = [score for score in labelling.scores if item in score.golden_set.ids]
    matches = own if name is None else [score for score in own if name in score.names]
    if name is not None and len(matches) > 1:
        matches = [score for score in matches if name in {score.name, score.score.json_key}]
    return matches[0] if len(matches) == 1 else None
