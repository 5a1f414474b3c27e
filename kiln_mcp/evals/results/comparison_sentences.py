"""What a comparison of run configs says, in sentences."""

from collections.abc import Sequence
from typing import Final

from kiln_mcp.evals.results.config_comparison import ComparedScore, names_of
from kiln_mcp.statistics import CannotTell, SystemDifference
from storage import TaskRunConfig
from storage.text.excerpts import excerpts

_MOST_NAMES: Final = 6
_MOST_MORE: Final = 100
"""More than so many times the items is as good as never."""


def sentences_of(
    scores: Sequence[ComparedScore], configs: Sequence[TaskRunConfig], level: float
) -> list[str]:
    """Return what the scores say: the best, the baseline, the floors.

    Args:
        scores: The compared scores.
        configs: The run configs, by place.
        level: Of all intervals together.
    """
    sentences: list[str] = []
    for score in scores:
        prefix = f"{score.key}: " if len(scores) > 1 else ""
        if len(configs) == 2:
            sentences.append(prefix + pair_sentence(score, configs, level))
        else:
            sentences += [prefix + text for text in _of_many(score, configs, level)]
    return [*sentences, *floor_sentences(scores, configs)]


def pair_sentence(score: ComparedScore, configs: Sequence[TaskRunConfig], level: float) -> str:
    """Return which of two run configs is better, or that it cannot be told."""
    [(place, difference)] = score.against_baseline.items()
    first, second = configs[score.baseline].name, configs[place].name
    numbers = (
        f"{score.means[score.baseline]:.3f} against {score.means[place]:.3f} on "
        f"{difference.count} shared items"
    )
    if isinstance(difference.interval, CannotTell):
        return f"Cannot tell which is better ({numbers}): {difference.interval.reason}."
    span = f"{difference.interval.low:+.3f} to {difference.interval.high:+.3f}"
    if not difference.is_shown:
        return (
            f"Cannot tell which is better ({numbers}): the difference's {level * 100:.3g} % "
            f"interval is {span}. {_forecast(difference)}"
        )
    better, worse = (second, first) if difference.difference > 0 else (first, second)
    return (
        f"{better} is better than {worse} by {abs(difference.difference):.3f} ({numbers}); the "
        f"difference's {level * 100:.3g} % interval is {span}."
    )


def _of_many(score: ComparedScore, configs: Sequence[TaskRunConfig], level: float) -> list[str]:
    return [_best_sentence(score, configs), _baseline_sentence(score, configs, level)]


def _best_sentence(score: ComparedScore, configs: Sequence[TaskRunConfig]) -> str:
    best, top = score.best, score.top
    name = configs[best.best].name
    value = (
        f"{name!r} has the highest mean, {top.mean:.3f}; chosen among {len(configs)}, expect about "
        f"{top.corrected_mean:.3f} (at least {top.low:.3f})."
    )
    other_places = [place for place in best.candidates if place != best.best]
    if not other_places:
        return f"{value} It is better than every other one."
    if len(other_places) == len(configs) - 1:
        return f"{value} Any of the {len(configs)} may be the best: no difference is shown."
    names = excerpts(names_of(configs, other_places), limit=_MOST_NAMES)
    return f"{value} {len(other_places)} others may be the best as well: {names}."


def _baseline_sentence(score: ComparedScore, configs: Sequence[TaskRunConfig], level: float) -> str:
    better = [place for place in score.against_baseline if score.is_better(place)]
    worse = [place for place in score.against_baseline if score.is_worse(place)]
    open_places = score.against_baseline.keys() - {*better, *worse}
    parts: list[str] = []
    if better:
        better.sort(key=lambda place: -score.against_baseline[place].difference)
        parts.append(f"better: {excerpts(names_of(configs, better), limit=_MOST_NAMES)}")
    if worse:
        parts.append(f"worse: {excerpts(names_of(configs, worse), limit=_MOST_NAMES)}")
    if open_places:
        parts.append(f"{len(open_places)} cannot be told from it")
    name = configs[score.baseline].name
    coverage = f"all together at {level * 100:.3g} %"
    return f"Against the baseline {name!r} ({coverage}): {'; '.join(parts)}."


def floor_sentences(scores: Sequence[ComparedScore], configs: Sequence[TaskRunConfig]) -> list[str]:
    """Return for each gain the scores that are not shown to stay above the floor."""
    sentences: list[str] = []
    for place, config in enumerate(configs):
        gains = [score.key for score in scores if score.is_better(place)]
        losses = [
            score.key
            for score in scores
            if score.key not in gains and score.is_floor_cleared(place) is False
        ]
        if gains and losses:
            sentences.append(
                f"{config.name!r} gains in {', '.join(gains)}, but is not cleared in "
                f"{', '.join(losses)}: it may lose more than the floor there."
            )
    return sentences[:_MOST_NAMES]


def _forecast(difference: SystemDifference) -> str:
    item_count = difference.more_items
    if item_count is None:
        return "The means are equal, so more items may never tell them apart."
    if item_count > _MOST_MORE * difference.count:
        return f"More than {_MOST_MORE * difference.count} more items would be needed."
    return f"About {item_count} more items would tell them apart, if the difference is as seen."
