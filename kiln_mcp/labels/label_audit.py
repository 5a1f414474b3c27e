"""The audit of labels, before judges are measured by them: which need a second look, and why.

Labels are compared with a panel of judges, with checks that ask no model, with the clauses that
minimal pairs break (`planted_faults`), and with the same rater's
blind repeats. A panel may only ask again and never overwrite: where weak judges contradict a label
with one voice, they are right in 17 to 68 % of cases.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from kiln_mcp.labels.golden_set import GoldenSet
from storage import EvalOutputScore
from storage.index.results import RatedItem

SMALLEST_PANEL: Final = 3
"""Judges from which on their verdicts on an item are a panel."""
CLEAR_SHARE: Final = 0.8
"""The share of a panel that gives one verdict, from which on it contradicts a label."""
FEWEST_CLEAR_ITEMS: Final = 8
"""Items with a clear panel, or with a check, from which on all labels together are compared."""
MOST_CONTRADICTED: Final = 0.5
"""The share of contradicted labels from which on the labels measure no judge."""
FEWEST_REPEATS: Final = 5
LEAST_REPEATED: Final = 0.7
"""The share of blind repeats with the same label, below which a rater contradicts themselves."""
_MIDDLE: Final = 0.5
_STARS_APART: Final = 2.0


@dataclass(frozen=True, slots=True)
class AuditedLabel:
    """A label to be audited.

    Attributes:
        value: On the score's scale.
        is_hidden: Whether it is for a certificate, so that nobody may see it.
        is_second_look: Whether it was given on a second look, so that it is not asked again.
        repeat: What the same rater said when they saw the item again, blind; None if they did not.
    """

    value: float
    is_hidden: bool = False
    is_second_look: bool = False
    repeat: float | None = None


@dataclass(frozen=True, slots=True)
class Verdicts:
    """The stored verdicts of one score.

    Attributes:
        panel: By judge, then by item.
        checks: Those of evaluators that ask no model, such as code: by evaluator, then by item.
    """

    panel: Mapping[str, Mapping[str, float]]
    checks: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class DoubtfulLabel:
    """A label that is worth a second look.

    Attributes:
        item: The item.
        value: Its label.
        against: Judges of the panel that contradict it.
        judges: Judges with a verdict on the item.
        checks: The checks that contradict it.
        is_repeat_different: Whether its rater said something else when they saw it again.
        is_hidden: Whether it is for a certificate, so that nobody may see it.
    """

    item: str
    value: float
    against: int
    judges: int
    checks: tuple[str, ...]
    is_repeat_different: bool
    is_hidden: bool

    @property
    def weight(self) -> tuple[int, bool, float]:
        """How much speaks against it: checks before the rater's repeat, then the panel."""
        share = self.against / self.judges if self.judges >= SMALLEST_PANEL else 0.0
        return len(self.checks), self.is_repeat_different, share

    @property
    def why(self) -> str:
        """Why it is worth a second look, as a phrase."""
        reasons = [f"{name} says the opposite" for name in self.checks]
        if self.is_repeat_different:
            reasons.append("its rater said something else when they saw it again")
        if self.judges >= SMALLEST_PANEL and self.against:
            reasons.append(f"{self.against} of {self.judges} judges say the opposite")
        return "; ".join(reasons)


@dataclass(frozen=True, slots=True)
class LabelAudit:
    """What an audit of the labels of one score shows.

    Attributes:
        labels: How many were audited.
        doubtful: Those worth a second look, the worst first.
        repeats: How many items their raters saw again, blind.
        same_repeats: How many of those got the same label.
        faults: Why the labels can measure no judge, as sentences; empty if they can.
    """

    labels: int
    doubtful: tuple[DoubtfulLabel, ...]
    repeats: int
    same_repeats: int
    faults: tuple[str, ...]

    @property
    def can_measure(self) -> bool:
        """Whether judges may be measured by the labels."""
        return not self.faults

    @property
    def visible(self) -> list[DoubtfulLabel]:
        """The doubtful labels that may be shown."""
        return [label for label in self.doubtful if not label.is_hidden]


def audited_labels(
    golden_set: GoldenSet, score: EvalOutputScore, runs: Sequence[RatedItem]
) -> dict[str, AuditedLabel]:
    """Return the labels of some items that have a value, by item."""
    repeats = {
        (label.item, label.rater): label.value
        for label in golden_set.labels
        if label.score == score.json_key and label.purpose == "repeat"
    }
    labels: dict[str, AuditedLabel] = {}
    for run in runs:
        value = golden_set.label(run, score)
        if value is None:
            continue
        last = golden_set.last_label(run, score)
        event = golden_set.certificate_label(run, score) or last
        labels[run.id] = AuditedLabel(
            value,
            is_hidden=golden_set.is_hidden(run, score),
            is_second_look=last is not None and last.purpose == "second_look",
            repeat=repeats.get((run.id, event.rater)) if event else None,
        )
    return labels


def audit_labels(
    labels: Mapping[str, AuditedLabel],
    verdicts: Verdicts,
    hygiene_faults: Sequence[str] = (),
    scale: str = "pass_fail",
) -> LabelAudit:
    """Audit the labels of one score.

    Args:
        labels: By item.
        verdicts: What judges and checks say of the same outputs.
        hygiene_faults: Sentences of `label_faults`.
        scale: The score's scale.
    """
    comparisons = [_compare(item, label, verdicts, scale) for item, label in labels.items()]
    open_labels = [label for label in comparisons if not labels[label.item].is_second_look]
    doubtful = [label for label in open_labels if _is_doubtful(label)]
    doubtful.sort(key=lambda label: (*(-part for part in label.weight), label.item))
    pairs = [(label.value, label.repeat) for label in labels.values() if label.repeat is not None]
    same = sum(not differs(repeat, value, scale) for value, repeat in pairs)
    faults = (
        *hygiene_faults,
        *_repeat_faults(len(pairs), same),
        *_panel_faults(open_labels),
        *_check_faults(open_labels, verdicts.checks),
    )
    return LabelAudit(len(labels), tuple(doubtful), len(pairs), same, faults)


def _compare(item: str, label: AuditedLabel, verdicts: Verdicts, scale: str) -> DoubtfulLabel:
    votes = [values[item] for values in verdicts.panel.values() if item in values]
    return DoubtfulLabel(
        item=item,
        value=label.value,
        against=sum(differs(vote, label.value, scale) for vote in votes),
        judges=len(votes),
        checks=tuple(
            name
            for name, values in verdicts.checks.items()
            if item in values and differs(values[item], label.value, scale)
        ),
        is_repeat_different=label.repeat is not None and differs(label.repeat, label.value, scale),
        is_hidden=label.is_hidden,
    )


def differs(verdict: float, label: float, scale: str) -> bool:
    """Return whether a verdict contradicts a label: pass against fail, or two stars apart."""
    if scale == "five_star":
        return abs(verdict - label) >= _STARS_APART
    return (verdict >= _MIDDLE) != (label >= _MIDDLE)


def _is_doubtful(label: DoubtfulLabel) -> bool:
    checks, is_repeat_different, share = label.weight
    return checks > 0 or is_repeat_different or share >= CLEAR_SHARE


def _repeat_faults(repeats: int, same: int) -> list[str]:
    if repeats < FEWEST_REPEATS or same / repeats >= LEAST_REPEATED:
        return []
    return [
        f"The labels contradict themselves: of {repeats} items that their raters saw again, only "
        f"{same} got the same label."
    ]


def _panel_faults(labels: Sequence[DoubtfulLabel]) -> list[str]:
    shares = [label.against / label.judges for label in labels if label.judges >= SMALLEST_PANEL]
    clear = [share for share in shares if max(share, 1 - share) >= CLEAR_SHARE]
    contradictions = sum(share > _MIDDLE for share in clear)
    if len(clear) < FEWEST_CLEAR_ITEMS or contradictions / len(clear) < MOST_CONTRADICTED:
        return []
    return [
        f"The labels contradict the judges: where nearly all judges say the same, "
        f"{contradictions} of {len(clear)} labels say the opposite."
    ]


def _check_faults(
    labels: Sequence[DoubtfulLabel], checks: Mapping[str, Mapping[str, float]]
) -> list[str]:
    faults: list[str] = []
    for name, values in checks.items():
        checked_labels = [label for label in labels if label.item in values]
        contradictions = sum(name in label.checks for label in checked_labels)
        if (
            len(checked_labels) >= FEWEST_CLEAR_ITEMS
            and contradictions / len(checked_labels) >= MOST_CONTRADICTED
        ):
            faults.append(
                f"The labels contradict {name!r}, which is no judge: {contradictions} of "
                f"{len(checked_labels)} labels say the opposite."
            )
    return faults
