"""How often stored outputs fail, in numbers and in words."""

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

from kiln_mcp.evals.measurement import Measurement
from kiln_mcp.evals.output_labels import output_verdicts
from kiln_mcp.evals.output_numbers import number_lines
from kiln_mcp.evals.rate_answers import NumberRow, RateRow, SliceRow, interval_ends
from kiln_mcp.evals.rate_correction import CorrectedRate, correct_rate, read_labelled_outputs
from kiln_mcp.evals.rates import (
    FailureRate,
    ItemVerdicts,
    count_critical,
    failure_rate,
    mean_of_scores,
    read_verdicts,
)
from kiln_mcp.evals.slices import in_words, read_slices, slice_members, slice_rates
from kiln_mcp.evals.stored_outputs import StoredOutputs
from kiln_mcp.statistics import CannotTell
from storage.errors import NextStep
from storage.index.results import STORED
from storage.index.slices import SliceKind


@dataclass(frozen=True, slots=True)
class RateReport:
    """How often stored outputs fail.

    Attributes:
        rates: By evaluator and score.
        numbers: What the outputs took.
        warnings: What to know about the rates.
        next: Calls that help now.
    """

    rates: list[RateRow] = field(default_factory=list[RateRow])
    numbers: list[NumberRow] = field(default_factory=list[NumberRow])
    warnings: list[str] = field(default_factory=list[str])
    next: list[NextStep] = field(default_factory=list[NextStep])


@dataclass(frozen=True, slots=True)
class SliceReport:
    """Rates by slice, with what they say."""

    rows: list[SliceRow] = field(default_factory=list[SliceRow])
    says: list[str] = field(default_factory=list[str])


async def rate_report(
    measurements: Sequence[Measurement], outputs: StoredOutputs, seed: int = 0
) -> RateReport:
    """Return how often stored outputs fail, as evaluators say and labels correct it."""
    items = [run.id for run in outputs.runs]
    rows: list[RateRow] = []
    corrections: list[CorrectedRate] = []
    for measurement in measurements:
        for score in measurement.eval_record.output_scores:
            verdicts = (await read_verdicts(measurement, score)).among(items)
            rate = failure_rate(verdicts)
            if isinstance(rate, CannotTell):
                continue
            correction = await correct_rate(measurement, verdicts, seed)
            corrections.append(correction)
            rows.append(_row(measurement, verdicts, rate, correction))
    task = measurements[0].task
    numbers = await number_lines(measurements[0].store, task, frozenset(items))
    return RateReport(
        rates=rows,
        numbers=[NumberRow.of(line) for line in numbers],
        warnings=_warnings(outputs, rows),
        next=_next_steps(measurements, outputs, rows, corrections),
    )


async def slice_report(
    measurements: Sequence[Measurement],
    items: Sequence[str],
    kind: SliceKind,
    run_config: tuple[str, str] | None = None,
) -> SliceReport:
    """Return the rates by slice of stored outputs, or of the outputs of a run config.

    Args:
        measurements: The eval with each evaluator.
        items: The items.
        kind: What they are sliced by.
        run_config: Its id and its name; None for stored outputs.
    """
    config_id, config_name = run_config or (STORED, None)
    slices = await read_slices(measurements[0], kind)
    report = SliceReport()
    for measurement in measurements:
        name = measurement.evaluator_record.name
        for score in measurement.eval_record.output_scores:
            verdicts = (await read_verdicts(measurement, score, config_id)).among(items)
            rates = slice_rates(verdicts, slices)
            if not rates:
                continue
            report.says.append(in_words(rates, score.json_key, kind))
            members = slice_members(verdicts, slices)
            corrections = await _slice_corrections(measurement, verdicts, members, config_id)
            report.rows.extend(
                SliceRow.of((name, config_name, score.json_key), rate, corrections.get(rate.name))
                for rate in rates
            )
            if measurement.evaluator.model is not None:
                report.says.append(_correction_text(score.json_key, corrections))
    return report


async def _slice_corrections(
    measurement: Measurement,
    verdicts: ItemVerdicts,
    members: Mapping[str, Set[str]],
    config_id: str,
) -> Mapping[str, CorrectedRate]:
    """Return the rate of each slice as labels correct it, or why not; none for a check."""
    if measurement.evaluator.model is None:
        return {}
    if config_id == STORED:
        labelled_outputs = await read_labelled_outputs(measurement, verdicts)
        return {name: labelled_outputs.rate_among(items) for name, items in members.items()}
    outputs = await output_verdicts(measurement, config_id, verdicts.score, verdicts.values)
    labelled_outputs = await read_labelled_outputs(measurement, outputs.verdicts)
    return {
        name: labelled_outputs.rate_among({o for o, item in outputs.items.items() if item in items})
        for name, items in members.items()
    }


def _correction_text(key: str, corrections: Mapping[str, CorrectedRate]) -> str:
    """Return in how many slices labels correct the rate, and why not in the others."""
    reasons = Counter(
        c.interval.reason if isinstance(c.interval, CannotTell) else ""
        for c in corrections.values()
    )
    count = reasons.pop("", 0)
    begin = f"{key}: labels correct the rate of {count} of {len(corrections)} slices"
    if not reasons:
        return f"{begin}."
    return f"{begin}; the others are as the judge says, since {reasons.most_common(1)[0][0]}."


def _row(
    measurement: Measurement, verdicts: ItemVerdicts, rate: FailureRate, correction: CorrectedRate
) -> RateRow:
    names = (measurement.evaluator_record.name, verdicts.key)
    is_judged = measurement.evaluator.model is not None
    row = RateRow.of(names, rate, correction, _says(names, rate, correction, is_judged=is_judged))
    mean = mean_of_scores(verdicts)
    if mean is None:
        return row
    low, high = interval_ends(mean.interval)
    return row.model_copy(
        update={
            "critical": count_critical(verdicts),
            "mean": round(mean.mean, 4),
            "mean_low": low,
            "mean_high": high,
        }
    )


def _says(
    names: tuple[str, str], rate: FailureRate, correction: CorrectedRate, *, is_judged: bool
) -> str:
    """Return a rate in words, and how far it can be believed."""
    raw = (
        f"{names[1]}: {rate.failures} of {rate.count} outputs fail by {names[0]!r}, "
        f"{rate.share:.1%} (95 % interval {rate.interval.low:.1%} to {rate.interval.high:.1%})."
    )
    counts = correction.counts
    if correction.share is not None and not isinstance(correction.interval, CannotTell):
        interval = correction.interval
        skips = (
            f" {counts.skipped} drawn outputs were passed over: the interval takes both answers "
            "for them."
            if counts.skipped
            else ""
        )
        return (
            f"{raw} Corrected by {counts.drawn} labels: {correction.share:.1%} "
            f"({interval.low:.1%} to {interval.high:.1%}) of these {rate.count} outputs.{skips}"
        )
    if not is_judged:
        return raw
    if counts.drawn and isinstance(correction.interval, CannotTell):
        return f"{raw} {counts.drawn} labels do not correct it: {correction.interval.reason}."
    picked_labels = counts.hand_labels - counts.older_labels
    hand_labels = (
        f" {picked_labels} labels were picked by hand and say nothing of the other outputs."
        if picked_labels
        else ""
    )
    if counts.older_labels:
        hand_labels += (
            f" {counts.older_labels} labels are older than this judge, which may be written from "
            "them: they do not correct it."
        )
    waiting = (
        f" {counts.waiting_labels} labels wait for the person's yes."
        if counts.waiting_labels
        else ""
    )
    return (
        f"{raw} {counts.drawn} labels: this judge is not checked on these outputs yet, so the true "
        f"rate may lie outside this interval.{hand_labels}{waiting}"
    )


def _warnings(outputs: StoredOutputs, rows: Sequence[RateRow]) -> list[str]:
    warnings: list[str] = []
    judged_count = max((row.n for row in rows), default=0)
    if 0 < judged_count < len(outputs.runs):
        warnings.append(
            f"{judged_count} of these {len(outputs.runs)} outputs have a score. The rate says "
            "nothing of the others, unless chance chose which ones were judged."
        )
    if outputs.incomplete:
        share = outputs.incomplete / (outputs.incomplete + outputs.total)
        warnings.append(
            f"{outputs.incomplete} answers are cut off, refused or empty ({share:.1%} of all). "
            f"They have no score and are not among the {judged_count} of the rate."
        )
    if outputs.is_sample:
        warnings.append(
            f"{len(outputs.runs)} of {outputs.total} outputs were drawn at random; the interval "
            "holds for all of them. A larger most_items keeps these."
        )
    if 0 < outputs.right_answers < outputs.total:
        warnings.append(
            f"{outputs.right_answers} of these outputs come from people or files. If they are "
            "right answers and not your feature's, give another `outputs`, such as 'synthetic'."
        )
    return warnings


def _next_steps(
    measurements: Sequence[Measurement],
    outputs: StoredOutputs,
    rows: Sequence[RateRow],
    corrections: Sequence[CorrectedRate],
) -> list[NextStep]:
    eval_name = measurements[0].eval_record.name
    steps: list[NextStep] = []
    if any(row.failures for row in rows):
        steps.append(
            NextStep(
                tool="show_results",
                reason="read the worst outputs and why they fail",
                arguments={"eval": eval_name, "outputs": outputs.name, "items": "failures"},
            )
        )
    has_judge = any(measurement.evaluator.model for measurement in measurements)
    if has_judge and not any(correction.share is not None for correction in corrections):
        steps.append(
            NextStep(
                tool="draw_items_to_label",
                reason="label some drawn at random: they correct the rate and check the judge",
                arguments={"eval": eval_name},
            )
        )
    if rows:
        steps.append(
            NextStep(
                tool="show_results",
                reason="see where it fails: by tag, topic, source, month or model",
                arguments={"eval": eval_name, "outputs": outputs.name, "slice_by": "tag"},
            )
        )
    return steps
