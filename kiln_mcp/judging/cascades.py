"""Find a cascade of an eval's judges that costs less and agrees as far as the best of them.

It is computed from stored verdicts and labels: nothing is asked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean
from typing import Final

from kiln_mcp.evals.measurement import Measurement
from kiln_mcp.evaluators.evaluator import calls_of_item
from kiln_mcp.evaluators.kinds.cascade import TYPE, is_sure
from kiln_mcp.evaluators.scales import decision_of
from kiln_mcp.evaluators.verdict_matrix import PanelMember, VerdictMatrix, read_verdict_matrix
from kiln_mcp.labels.golden_set import GoldenSet
from kiln_mcp.llm import Engine
from kiln_mcp.statistics import Interval, differences_from, score_columns
from storage import EvalConfig
from storage.errors import NextStep
from storage.index.results import RatedItem

FEWEST_LABELS: Final = 30
MARGIN: Final = 0.05
"""The most that a cascade may agree less than its best judge."""
LARGEST_COST: Final = 0.9
"""The largest share of the best judge's cost at which a cascade pays."""
_PRICED_CALLS: Final = 1000

Labels = Mapping[str, Mapping[str, float]]
"""Labels by score key and item."""


@dataclass(frozen=True, slots=True)
class PricedJudge:
    """A judge with its verdicts and what a verdict costs at most."""

    member: PanelMember
    price: float


@dataclass(frozen=True, slots=True)
class Cascade:
    """Cheap judges before a better one.

    Attributes:
        cheap: The cheap ones.
        last: The better one.
        last_share: The share of outputs about which the better one is asked.
        cost: Its cost as a share of the better one's.
        agreement: By item.
    """

    cheap: tuple[PricedJudge, ...]
    last: PricedJudge
    last_share: float
    cost: float
    agreement: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class CascadeAdvice:
    """A cascade that pays.

    Attributes:
        sentence: What it saves, and how far it agrees.
        step: The call that creates it.
    """

    sentence: str
    step: NextStep


async def advise_cascade(
    engine: Engine,
    golden_set: GoldenSet,
    runs_by_score: Mapping[str, Sequence[RatedItem]],
    judges: Sequence[Measurement],
) -> CascadeAdvice | None:
    """Return a cascade of judges that pays; None if there is none, or prices are not known."""
    records: list[EvalConfig] = []
    prices: dict[str, float] = {}
    for judge in judges:
        price = _price_of(engine, judge)
        if price is not None:
            records.append(judge.evaluator_record)
            prices[judge.evaluator_record.id] = price
    if len(records) < 2:
        return None
    record = golden_set.task_eval.eval_record
    matrix = await read_verdict_matrix(judges[0].store, record, records)
    kinds = {score.json_key: score.type for score in golden_set.scores}
    labels = {
        score.json_key: {
            run.id: label
            for run in runs_by_score[score.json_key]
            if (label := golden_set.label(run, score)) is not None
        }
        for score in golden_set.scores
    }
    priced_judges = [
        PricedJudge(member, prices[member.evaluator_id])
        for member in matrix.members
        if not member.verdict
    ]
    return best_cascade(matrix, priced_judges, labels, kinds, golden_set.task_eval.name)


def best_cascade(
    matrix: VerdictMatrix,
    judges: Sequence[PricedJudge],
    labels: Labels,
    kinds: Mapping[str, str],
    eval_name: str,
) -> CascadeAdvice | None:
    """Return the cheapest cascade that is shown to agree nearly as far as the best judge.

    Args:
        matrix: The verdicts.
        judges: The judges with their prices.
        labels: People's labels.
        kinds: The kinds of scores by key.
        eval_name: For the call that creates it.
    """
    agreements = {judge: _agreement_of(matrix, judge, labels, kinds) for judge in judges}
    agreements = {judge: own for judge, own in agreements.items() if len(own) >= FEWEST_LABELS}
    if len(agreements) < 2:
        return None
    last = max(agreements, key=lambda judge: (fmean(agreements[judge].values()), judge.price))
    cheap = [judge for judge in agreements if judge.price < last.price]
    choices = [choice for count in (1, 2) for choice in combinations(cheap, count)]
    options = [_cascade(matrix, choice, last, agreements, kinds) for choice in choices]
    options = [option for option in options if option and option.cost <= LARGEST_COST]
    if not options:
        return None
    table = score_columns([agreements[last], *(o.agreement for o in options)], (0.0, 1.0))
    intervals = [difference.interval for difference in differences_from(table, 0)]
    good = [
        (option, interval)
        for option, interval in zip(options, intervals, strict=True)
        if isinstance(interval, Interval) and interval.low >= -MARGIN
    ]
    if not good:
        return None
    option, interval = min(good, key=lambda entry: entry[0].cost)
    return _advice(option, interval, fmean(agreements[last].values()), eval_name)


def _price_of(engine: Engine, judge: Measurement) -> float | None:
    calls = calls_of_item(judge.evaluator)
    total = 0.0
    for model, count in calls.items():
        price = engine.price_of(model, _PRICED_CALLS * count)
        if price is None:
            return None
        total += price
    return total if calls else None


def _values_of(
    matrix: VerdictMatrix, judge: PricedJudge, kinds: Mapping[str, str]
) -> dict[str, dict[str, float]]:
    """Return a judge's scores by item, for items with all scores."""
    columns = {key: matrix.column(judge.member, key) for key in kinds}
    items = set[str]().union(*columns.values()).intersection(*columns.values())
    return {item: {key: column[item] for key, column in columns.items()} for item in items}


def _agreement_of(
    matrix: VerdictMatrix, judge: PricedJudge, labels: Labels, kinds: Mapping[str, str]
) -> dict[str, float]:
    return {
        item: agreement
        for item, values in _values_of(matrix, judge, kinds).items()
        if (agreement := _agreement(values, item, labels, kinds)) is not None
    }


def _agreement(
    values: Mapping[str, float], item: str, labels: Labels, kinds: Mapping[str, str]
) -> float | None:
    """Return the share of an item's labels that scores agree with; None without a label."""
    hits = [
        float(decision_of(value, kinds[key]) == labels[key][item])
        for key, value in values.items()
        if item in labels[key]
    ]
    return fmean(hits) if hits else None


def _cascade(
    matrix: VerdictMatrix,
    cheap: Sequence[PricedJudge],
    last: PricedJudge,
    agreements: Mapping[PricedJudge, Mapping[str, float]],
    kinds: Mapping[str, str],
) -> Cascade | None:
    """Return what a cascade would do; None if it has too few labels."""
    values = [_values_of(matrix, judge, kinds) for judge in cheap]
    abstentions = set[str]().union(
        *(matrix.abstentions.get(judge.member, frozenset()) for judge in cheap)
    )
    items = set(values[0]).intersection(*values) | abstentions
    sure = {item for item in items - abstentions if is_sure([own[item] for own in values], kinds)}
    if not items:
        return None
    agreement = {
        item: agreements[cheap[0] if item in sure else last][item]
        for item in items & agreements[last].keys()
        if item in agreements[cheap[0]] or item not in sure
    }
    if len(agreement) < FEWEST_LABELS:
        return None
    last_share = 1 - len(sure) / len(items)
    price = sum(judge.price for judge in cheap) + last_share * last.price
    return Cascade(tuple(cheap), last, last_share, price / last.price, agreement)


def _advice(
    option: Cascade, interval: Interval, last_agreement: float, eval_name: str
) -> CascadeAdvice:
    names = [judge.member.name for judge in option.cheap]
    last = option.last.member.name
    sentence = (
        f"Asking {' and '.join(names)} first, and {last} only in doubt, asks {last} about "
        f"{option.last_share:.0%} of outputs and costs {1 - option.cost:.0%} less. It agrees on "
        f"{fmean(option.agreement.values()):.0%}, {last} alone on {last_agreement:.0%} "
        f"({interval.low * 100:+.0f} to {interval.high * 100:+.0f} points)."
    )
    step = NextStep(
        tool="create_evaluator",
        reason="create this cascade of judges",
        arguments={"eval": eval_name, "type": TYPE, "settings": {"judges": [*names, last]}},
    )
    return CascadeAdvice(sentence, step)
