"""The rate of failures by slice: by tag, topic, source, month or model."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from kiln_mcp.evals.measurement import Measurement
from kiln_mcp.evals.rates import ItemVerdicts
from kiln_mcp.statistics import Interval, holm, wilson_interval
from kiln_mcp.statistics.slices import SliceCounts, fisher_exact, shrunken_rates
from storage.index.slices import ItemSlice, SliceKind, item_slices
from storage.text.excerpts import excerpts

FEWEST: Final = 5
"""Outputs below which a slice is too small to say anything of it."""
NO_SLICE: Final = "(none)"
LEVEL: Final = 0.05
"""The level of the test of slices, all of them together."""


@dataclass(frozen=True, slots=True)
class SliceRate:
    """The rate of failures in one slice.

    Attributes:
        name: The slice, such as a tag.
        failures: Outputs of it that fail.
        count: Outputs of it with a verdict.
        interval: The 95 % interval of its rate, by itself.
        shrunken: Its rate, drawn to that of all slices as far as their spread is chance.
        rest: The share of failures among the outputs outside it; None if there are none.
        p_value: Of "it fails as often as the rest", with Holm's correction; None if it is too
            small, or there is no rest.
    """

    name: str
    failures: int
    count: int
    interval: Interval
    shrunken: float
    rest: float | None
    p_value: float | None

    @property
    def share(self) -> float:
        """The share of failures."""
        return self.failures / self.count

    @property
    def is_small(self) -> bool:
        """Whether it is too small to say anything."""
        return self.count < FEWEST


async def read_slices(measurement: Measurement, kind: SliceKind) -> list[ItemSlice]:
    """Return the slices of the items of an eval's task."""
    path = measurement.task.saved.path
    return await measurement.store.ask(lambda index: item_slices(index, path, kind))


def slice_members(verdicts: ItemVerdicts, slices: Sequence[ItemSlice]) -> Mapping[str, set[str]]:
    """Return the items with a verdict of each slice, and those of none if there is a slice."""
    members: dict[str, set[str]] = defaultdict(set)
    with_slice: set[str] = set()
    for item, name in slices:
        if item in verdicts.values:
            members[name].add(item)
            with_slice.add(item)
    if members and len(with_slice) < len(verdicts.values):
        members[NO_SLICE] = verdicts.values.keys() - with_slice
    return members


def slice_rates(verdicts: ItemVerdicts, slices: Sequence[ItemSlice]) -> list[SliceRate]:
    """Return the rate of each slice, the worst first by its shrunken rate, small ones last."""
    fails = {item: verdicts.fails(item) for item in verdicts.values}
    members = slice_members(verdicts, slices)
    counts = {
        name: SliceCounts(sum(fails[item] for item in items), len(items))
        for name, items in members.items()
    }
    all_failures = sum(fails.values())
    p_values = _holm_by_name({
        name: fisher_exact(own, SliceCounts(all_failures - own.failures, len(fails) - own.count))
        for name, own in counts.items()
        if FEWEST <= own.count < len(fails)
    })  # fmt: skip
    rates = [
        SliceRate(
            name,
            own.failures,
            own.count,
            wilson_interval(own.failures, own.count),
            shrunken,
            _share(all_failures - own.failures, len(fails) - own.count),
            p_values.get(name),
        )
        for (name, own), shrunken in zip(
            counts.items(), shrunken_rates(list(counts.values())), strict=True
        )
    ]
    return sorted(rates, key=lambda rate: (rate.is_small, -rate.shrunken, -rate.count, rate.name))


def _holm_by_name(p_values: dict[str, float]) -> dict[str, float]:
    return dict(zip(p_values, holm(list(p_values.values())), strict=True))


def in_words(rates: Sequence[SliceRate], score: str, kind: str) -> str:
    """Return what the slices of a score say, with the caution that many slices need."""
    return f"{score}: {_conclusion(rates, kind)}{_small_slices(rates)}"


def _small_slices(rates: Sequence[SliceRate]) -> str:
    small = [rate.name for rate in rates if rate.is_small]
    if not small:
        return ""
    return f" Too few outputs (below {FEWEST}) to say anything: {excerpts(small, limit=5)}."


def _conclusion(rates: Sequence[SliceRate], kind: str) -> str:
    tested_rates = [rate for rate in rates if rate.p_value is not None]
    if not tested_rates:
        return f"No {kind} has enough outputs to be compared with the rest."
    worst = [
        rate
        for rate in tested_rates
        if rate.p_value is not None and rate.p_value < LEVEL and rate.share > (rate.rest or 0)
    ]
    if worst:
        names = ", ".join(f"{rate.name!r} ({rate.failures} of {rate.count})" for rate in worst[:3])
        return (
            f"{names}: more failures than in the rest, after Holm's correction for "
            f"{len(tested_rates)} slices."
        )
    first = max(tested_rates, key=lambda rate: rate.share)
    return (
        f"No {kind} can be told from the rest. The worst of {len(tested_rates)} looks worse "
        f"than it is: {first.name!r} has {first.share:.0%}, and {first.shrunken:.0%} shrunken "
        "to the whole."
    )


def _share(failures: int, count: int) -> float | None:
    return failures / count if count else None
