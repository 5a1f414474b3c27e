"""Warnings about labels and measurements whose numbers are less reliable."""

from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Final

from pydantic import JsonValue

from kiln_mcp.evals.measurement import Measurement
from kiln_mcp.evals.run_outcomes import RunOutcome
from kiln_mcp.judging.answers import AgreementRow
from kiln_mcp.labels.golden_set import GoldenSet
from kiln_mcp.labels.hygiene import label_warnings
from kiln_mcp.labels.labelling_pass import LabellingPass
from storage.errors import NextStep
from storage.index.results import RatedItem

_MOST_PROBLEMS: Final = 5


def ledger_warnings(golden_set: GoldenSet) -> list[str]:
    """Return what is left out: lines of the ledger that cannot be read, incomplete answers."""
    rest = len(golden_set.problems) - _MOST_PROBLEMS
    lines = [*golden_set.problems[:_MOST_PROBLEMS]]
    if rest > 0:
        lines.append(f"… and {rest} more lines.")
    if golden_set.incomplete_count:
        lines.append(
            f"{golden_set.incomplete_count} golden answers are cut off, refused or empty. They are "
            "neither drawn nor judged."
        )
    return lines


def pass_warnings(labelling: LabellingPass) -> list[str]:
    """Return what is left out of the golden sets, and how many drawn items were passed over."""
    warnings = [
        warning for golden_set in labelling.golden_sets for warning in ledger_warnings(golden_set)
    ]
    if skips := labelling.count_skipped(certificate=True):
        warnings.append(
            f"{skips} items drawn for a certificate were passed over without a label. It counts "
            "each as a disagreement."
        )
    if skips := labelling.count_skipped(certificate=False):
        warnings.append(f"{skips} drawn items were passed over without a label.")
    if redrawn_items := labelling.count_redrawn():
        warnings.append(f"{redrawn_items} items were drawn again before they had a label.")
    return list(dict.fromkeys(warnings))


def hygiene_warnings(
    golden_set: GoldenSet, runs_by_score: Mapping[str, Sequence[RatedItem]]
) -> list[str]:
    """Return a sentence for each suspicious property of labels, with the score if several."""
    several = len(golden_set.scores) > 1
    warnings = [
        f"{score.name}: {sentence}" if several else sentence
        for score in golden_set.scores
        for sentence in label_warnings(
            golden_set.timed_labels(runs_by_score[score.json_key], score)
        )
    ]
    return list(dict.fromkeys(warnings))


def failure_warnings(outcomes: Sequence[RunOutcome]) -> list[str]:
    """Return how many items could not be judged, with the first reason."""
    failures = [failure for outcome in outcomes for failure in outcome.failures]
    if not failures:
        return []
    return [f"{len(failures)} items could not be judged and are left out: {failures[0].reason}"]


def agreement_warnings(
    golden_set: GoldenSet,
    runs_by_score: Mapping[str, Sequence[RatedItem]],
    rows: Sequence[AgreementRow],
    purpose: str,
) -> list[str]:
    """Return the warnings of an agreement report."""
    warnings = [
        *ledger_warnings(golden_set),
        *_confirmation_warnings(golden_set),
        *hygiene_warnings(golden_set, runs_by_score),
    ]
    if purpose != "development" and _has_items_by_hand(golden_set, runs_by_score):
        warnings.append(
            "Some labels are of items that were not drawn at random: the intervals hold only if "
            "those items are like the rest."
        )
    judges = {row.evaluator for row in rows}
    if rows and not any(row.beats_constant for row in rows):
        warnings.insert(
            0,
            "No judge is shown to beat the best constant answer: do not rank run configs by these "
            "judges.",
        )
    if len(judges) > 1:
        warnings.append(
            f"{len(judges)} judges were compared: the best of them looks better than it is. "
            "Measure it again on fresh labels before relying on it."
        )
    return warnings


def steps_to_certify(
    golden_set: GoldenSet,
    runs_by_score: Mapping[str, Sequence[RatedItem]],
    purpose: str,
    eval_name: str,
) -> list[NextStep]:
    """Return the calls that make labels count for a certificate."""
    arguments: dict[str, JsonValue] = {"eval": eval_name}
    steps: list[NextStep] = []
    if purpose != "development" and _has_development_items(golden_set, runs_by_score):
        reason = "draw items at random for a person to label"
        steps.append(NextStep(tool="draw_items_to_label", reason=reason, arguments=arguments))
    if any(map(golden_set.count_unconfirmed, golden_set.scores)):
        reason = "save the drawn labels again and have the person confirm them"
        steps.append(NextStep(tool="label_items", reason=reason, arguments=arguments))
    return steps


def merge_steps(*lists: Sequence[NextStep]) -> list[NextStep]:
    """Return the next steps of lists, one for each tool: the last, in the place of the first."""
    return list({step.tool: step for steps in lists for step in steps}.values())


def _has_items_by_hand(
    golden_set: GoldenSet, runs_by_score: Mapping[str, Sequence[RatedItem]]
) -> bool:
    draws = {draw.id for draw in golden_set.draws}
    return any(
        last is None or last.draw not in draws
        for score in golden_set.scores
        for run in runs_by_score[score.json_key]
        if not golden_set.has_purpose(run, score, "certificate")
        for last in [golden_set.last_label(run, score)]
    )


def _has_development_items(
    golden_set: GoldenSet, runs_by_score: Mapping[str, Sequence[RatedItem]]
) -> bool:
    return any(
        not golden_set.has_purpose(run, score, "certificate")
        for score in golden_set.scores
        for run in runs_by_score[score.json_key]
    )


def optimism_warnings(
    golden_set: GoldenSet,
    runs_by_score: Mapping[str, Sequence[RatedItem]],
    judges: Sequence[Measurement],
) -> list[str]:
    """Warn of judges that came after labels for development, and may be written from them."""
    warnings: list[str] = []
    for judge in judges:
        record = judge.evaluator_record
        older = sum(
            last.at < record.created_at.astimezone(UTC)
            for score in golden_set.scores
            for run in runs_by_score[score.json_key]
            if not golden_set.has_purpose(run, score, "certificate")
            and (last := golden_set.last_label(run, score)) is not None
        )
        if older and judge.evaluator.model is not None:
            warnings.append(
                f"{older} of these labels are older than {record.name!r}, which may have been "
                "written from them: its numbers are optimistic. Labels for a certificate are not."
            )
    return warnings


def _confirmation_warnings(golden_set: GoldenSet) -> list[str]:
    """Warn of labels that nobody confirmed, and of ratings that differ from confirmed labels."""
    unconfirmed_labels = sum(map(golden_set.count_unconfirmed, golden_set.scores))
    contradictory_ratings = sum(map(golden_set.count_contradictions, golden_set.scores))
    warnings: list[str] = []
    if unconfirmed_labels:
        warnings.append(
            f"{unconfirmed_labels} labels of drawn items were passed on and not confirmed by the "
            "person: the certificate leaves them out."
        )
    if contradictory_ratings:
        warnings.append(
            f"{contradictory_ratings} ratings differ from the labels that the person confirmed: "
            "the confirmed labels count."
        )
    return warnings
