"""The ambiguity of clauses: what readings of a clause disagree on beyond their own noise.

A reading is a way to judge: a model, a way of asking, a wording of the clauses. Its repeats show
its noise. A clause is ambiguous if nothing that is noise explains the disagreement of readings:

- chance: verdicts of one output, dealt to its readings once more (a permutation test);
- with several clauses, the panel itself: two readings that differ on the other clauses as much (a
  floor for each pair of readings: the median over the other clauses, or the lowest of one or two);
- with fewer than four clauses, weak readings: flips at rates of each reading's own, which its
  repeats show.

Every explanation has to be refuted, at 5 % for all clauses together by Holm's correction. Errors
that repeat themselves and that two readings share, as two prompts of one model do, look like an
ambiguity of one clause. Only other clauses show them. A panel on a single clause compares readings
with repeats alone, and says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import sqrt
from typing import TYPE_CHECKING, Final

from kiln_mcp.statistics.interval import Interval
from kiln_mcp.statistics.panel_power import (
    USUAL_SPLIT,
    PanelSize,
    items_needed,
    repeats_needed,
    split_excess,
)
from kiln_mcp.statistics.significance import holm

if TYPE_CHECKING:
    from kiln_mcp.statistics.reading_noise import ClauseEvidence
    from kiln_mcp.statistics.reading_verdicts import ReadingVerdicts

ERROR: Final = 0.05
"""The share of panels without an ambiguous clause in which one is called so."""
LEAST_EXCESS: Final = 0.02
"""The disagreement beyond noise below which a clause is not called ambiguous."""
LEAST_ALONE: Final = 0.03
"""The same for a clause that no other clause is compared with."""
NEGLIGIBLE_EXCESS: Final = 0.1
"""If the disagreement beyond noise is surely below, the clause is called clear."""
FEWEST_ITEMS: Final = 5
_MOST_FLIPS: Final = 0.45


class AmbiguityDecision(StrEnum):
    """What the verdicts say of a clause."""

    AMBIGUOUS = "ambiguous"
    NOISE = "noise"
    CANNOT_TELL = "cannot_tell"


@dataclass(frozen=True, slots=True)
class ClauseAmbiguity:
    """What the readings of one clause disagree on.

    Attributes:
        clause: The clause's id.
        decision: Whether readings differ beyond noise.
        reason: One sentence.
        disagreement: How often verdicts of two readings differ.
        noise: How often two verdicts of one reading differ; None without repeats.
        excess: The disagreement beyond noise, and beyond what the panel has on other clauses.
        interval: Of the excess.
        p_value: Of the best explanation by noise, corrected for the number of clauses.
        splits: The items on which readings differ, the most first.
        repeats: How many verdicts of each reading on each output would tell; None if the clause
            is decided, or if only more outputs would.
    """

    clause: str
    decision: AmbiguityDecision
    reason: str
    disagreement: float
    noise: float | None
    excess: float
    interval: Interval
    p_value: float
    splits: Sequence[str]
    repeats: int | None = None


def measure_ambiguity(verdicts: "ReadingVerdicts", seed: int = 0) -> list[ClauseAmbiguity]:
    """Return the ambiguity of each clause, the worst first.

    Args:
        verdicts: The verdicts of each cell; cells may be missing.
        seed: The same seed gives the same numbers.

    Raises:
        ValueError: There is no verdict.
    """
    from kiln_mcp.statistics.reading_noise import clause_evidence
    from kiln_mcp.statistics.reading_tables import reading_table

    evidence = clause_evidence(reading_table(verdicts), seed)
    p_values = holm([entry.p_value for entry in evidence])
    clauses = [
        _decide(entry, p_value, len(evidence))
        for entry, p_value in zip(evidence, p_values, strict=True)
    ]
    ambiguous = AmbiguityDecision.AMBIGUOUS
    clauses.sort(key=lambda clause: (clause.decision is not ambiguous, -clause.excess))
    return clauses


def _decide(evidence: "ClauseEvidence", p_value: float, clauses: int) -> ClauseAmbiguity:
    decision, reason = _decision(evidence, p_value, is_alone=clauses == 1)
    repeats = None
    if decision is AmbiguityDecision.CANNOT_TELL:
        repeats, sentence = _enlargement(evidence, clauses)
        reason = f"{reason} {sentence}".rstrip()
    return ClauseAmbiguity(
        clause=evidence.clause,
        decision=decision,
        reason=reason,
        disagreement=evidence.disagreement,
        noise=evidence.noise,
        excess=evidence.excess,
        interval=evidence.interval,
        p_value=p_value,
        splits=evidence.splits,
        repeats=repeats,
    )


def _decision(
    evidence: "ClauseEvidence", p_value: float, *, is_alone: bool
) -> tuple[AmbiguityDecision, str]:
    """Return the decision and a sentence that gives its reason."""
    unknown = AmbiguityDecision.CANNOT_TELL
    if evidence.readings < 2:
        return unknown, "One reading cannot differ from another."
    if evidence.noise is None:
        return unknown, "No reading was repeated, so its noise is not known."
    if evidence.items < FEWEST_ITEMS:
        return unknown, f"{evidence.items} outputs are too few; {FEWEST_ITEMS} are the fewest."
    differ = f"verdicts of two readings differ on {evidence.disagreement:.0%} of outputs"
    noise = f"those of one reading on {evidence.noise:.0%}"
    if p_value <= ERROR and evidence.excess >= (LEAST_ALONE if is_alone else LEAST_EXCESS):
        warning = (
            " No other clause shows whether these readings differ everywhere." if is_alone else ""
        )
        return AmbiguityDecision.AMBIGUOUS, f"{differ.capitalize()}, {noise}.{warning}"
    if evidence.interval.high <= NEGLIGIBLE_EXCESS:
        return AmbiguityDecision.NOISE, f"Noise explains it: {differ}, {noise}."
    return unknown, (
        f"Noise could explain it ({differ}, {noise}), and up to {evidence.interval.high:.0%} "
        "of outputs may be ambiguous."
    )


def _enlargement(evidence: "ClauseEvidence", clauses: int) -> tuple[int | None, str]:
    """Return how many repeats would tell, and a sentence on it.

    What has to be found is the disagreement that was seen; if there is next to none, that of a
    clause which two groups of readings read apart on 30 % of outputs.
    """
    if evidence.noise is None or evidence.readings < 2 or evidence.items < FEWEST_ITEMS:
        return None, ""
    flips = min(_MOST_FLIPS, (1 - sqrt(max(0.0, 1 - 2 * evidence.noise))) / 2)
    size = PanelSize(evidence.items, evidence.readings, max(2, evidence.repeats), clauses)
    excess = evidence.excess
    if excess < LEAST_ALONE:
        excess = split_excess(evidence.readings, USUAL_SPLIT, flips)
    larger = replace(size, repeats=size.repeats + 1)
    repeats = repeats_needed(larger, excess, flips)
    if repeats is None:
        items = items_needed(larger, excess, flips)
        return None, f"About {items} outputs would tell, at this noise."
    verdicts = (repeats - size.repeats) * size.items * size.readings
    return (
        repeats,
        f"{verdicts} more verdicts ({repeats} repeats) would tell in 4 of 5 such panels.",
    )
