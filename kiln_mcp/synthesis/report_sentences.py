"""What a person reads of a data report: each number with what it means, and the gaps."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from kiln_mcp.synthesis.report import CostRecord, Coverage, DataReport, RealismRecord
from kiln_mcp.workbench.capability import Result
from storage.text.excerpts import excerpt

OUTCOMES: Final = ("pass", "fail", "borderline")
_LONGEST_NAME: Final = 60
_THIN: Final = 1 / 3
"""The share of the mean below which a topic or a class is named as thin."""
_TOLD_APART: Final = 0.05
_NAME_COUNT: Final = 5


class Figure(Result):
    """A number of the report, with what it means."""

    name: str
    value: str
    meaning: str


def figures(report: DataReport) -> list[Figure]:
    """Return the numbers of a report."""
    return [*_figures(report)]


def _figures(report: DataReport) -> Iterator[Figure]:
    yield _figure("Items", f"{report.items:,}", "Inputs with an output; none of an eval's.")
    yield _figure(
        "Say the same",
        f"{report.near_duplicates:,}",
        f"Near-duplicates of an item before them; {report.exact_duplicates:,} inputs are equal to "
        "the letter. Fewer is better: they count twice and teach once.",
    )
    yield _figure(
        "Different words",
        _percent(report.distinct_words),
        "Of all words of the inputs. It falls as a dataset grows: compare equal sizes.",
    )
    yield _figure(
        "Different word pairs",
        _percent(report.distinct_pairs),
        "Of all pairs of neighbouring words; low if phrases recur.",
    )
    yield _figure(
        "Nearest similarity",
        f"{report.nearest_similarity:.2f}",
        "Of an input to the one most like it, on average: 0 shares nothing, from 0.67 two say "
        "nearly the same.",
    )
    if report.vendi_texts:
        yield _figure(
            "Vendi score",
            f"{report.vendi_score:.1f} of {report.vendi_texts}",
            "The drawn inputs are as varied as so many that share nothing.",
        )
    if report.realism is not None:
        yield _realism_figure(report.realism)
    if report.costs is not None:
        yield _cost_figure(report.costs)


def _figure(name: str, value: str, meaning: str) -> Figure:
    return Figure(name=name, value=value, meaning=meaning)


def _realism_figure(realism: RealismRecord) -> Figure:
    if realism.accuracy is None or realism.p_value is None:
        return _figure("Told from real inputs", "cannot tell", f"There are {realism.reason}.")
    verdict = (
        "made inputs differ from real ones"
        if realism.p_value <= _TOLD_APART
        else "no difference from real inputs was found, which is no proof that there is none"
    )
    return _figure(
        "Told from real inputs",
        f"{_percent(realism.accuracy)} ({_percent(realism.low or 0.0)} to "
        f"{_percent(realism.high or 1.0)})",
        f"How often a classifier names the kind of an input it did not learn; 50 % is guessing. "
        f"p = {realism.p_value:.3f}: {verdict}.",
    )


def _cost_figure(costs: CostRecord) -> Figure:
    if costs.plan_items and costs.plan_calls:
        calls = f"{costs.plan_calls:,} calls of models for {costs.plan_items:,} kept items"
        if costs.plan_usd is None:
            per_item = f"{costs.plan_calls / costs.plan_items:.1f} calls"
            return _figure("Cost a kept item", per_item, f"{calls}; not all prices are known.")
        return _figure(
            "Cost a kept item",
            f"${costs.plan_usd / costs.plan_items:.4f}" if costs.plan_usd else "$0",
            f"All {calls}: topics, inputs, outputs and checks, and what was dropped.",
        )
    if not costs.priced_items:
        return _figure("Cost a made item", "not known", "No output of the made items has a cost.")
    return _figure(
        "Cost a made item",
        f"${costs.usd / costs.priced_items:.4f}" if costs.usd else "$0",
        f"Of the outputs of {costs.priced_items:,} of {costs.items:,} kept items. What writing "
        "inputs and dropped items cost stands with the job.",
    )


def gaps(report: DataReport) -> list[str]:
    """Return what the dataset lacks, the worst first."""
    return [
        *_clause_gaps(report.coverage),
        *_thin_values("topic", report.topics),
        *_thin_values("class", report.classes),
    ]


def outcome_counts(coverage: Coverage) -> dict[str, dict[str, int]]:
    """Return the items of each outcome by clause, over all topics."""
    return {
        clause: {outcome: sum(topics.values()) for outcome, topics in outcomes.items()}
        for clause, outcomes in coverage.items()
    }


def _clause_gaps(coverage: Coverage) -> Iterator[str]:
    counts = {clause: own for clause, own in outcome_counts(coverage).items() if clause}
    for clause, own in counts.items():
        missing = [outcome for outcome in OUTCOMES if not own.get(outcome)]
        if missing:
            name = excerpt(clause, _LONGEST_NAME)
            yield f"The clause {name} has no {_alternatives(missing)} item."


def _thin_values(noun: str, counts: dict[str, int]) -> Iterator[str]:
    own = Counter({name: count for name, count in counts.items() if name})
    if len(own) < 2:
        return
    mean = own.total() / len(own)
    thin = [(count, name) for name, count in own.items() if count < _THIN * mean]
    for count, name in sorted(thin)[:_NAME_COUNT]:
        yield (
            f"The {noun} {excerpt(name, _LONGEST_NAME)} has {count} items, and the mean is "
            f"{mean:.1f}."
        )


def _alternatives(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
