"""The greedy search: propose a version, let it judge the labelled items, keep it if it is nearer.

Greedy is enough: a version is accepted on all labels at once, and what is claimed afterwards takes
the number of tried versions into account.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean
from typing import Final, Protocol

from kiln_mcp.judging.judge_versions import JudgeVersion
from kiln_mcp.judging.refinement.labelled_items import ItemVerdict, LabelledItem
from kiln_mcp.judging.refinement.proposals import JudgedItem, Proposer

PATIENCE: Final = 3
"""Versions in a row that may fail to help before the search ends."""


class StopReason(StrEnum):
    """Why a search ended."""

    NO_DISAGREEMENT = "no disagreement is left"
    CALLS = "the calls are used"
    PATIENCE = "the last versions did not help"
    NO_PROPOSAL = "there was nothing more to try"


class Trials(Protocol):
    """Lets versions judge the labelled items."""

    items: Sequence[LabelledItem]
    calls_per_item: int

    async def run(self, version: JudgeVersion) -> Mapping[str, ItemVerdict]:
        """Return a version's verdicts by item."""
        ...


@dataclass(frozen=True, slots=True)
class TriedVersion:
    """A version with its verdicts.

    Attributes:
        version: The version.
        reason: What it was meant to mend.
        verdicts: By item. An item that it was shown has the start's verdict.
        agreements: The share of labels that it agrees with, item by item.
        loss: Its mean distance from the labels.
        is_accepted: Whether it became the best one.
    """

    version: JudgeVersion
    reason: str
    verdicts: Mapping[str, ItemVerdict]
    agreements: tuple[float, ...]
    loss: float
    is_accepted: bool = False

    @property
    def agreement(self) -> float:
        """Return the mean agreement."""
        return fmean(self.agreements)

    @property
    def disagreements(self) -> int:
        """Return the number of items with a label that it differs from."""
        return sum(value < 1 for value in self.agreements)


@dataclass(frozen=True, slots=True)
class JudgeSearchResult:
    """What a search came to.

    Attributes:
        versions: The start first, then all versions in their order.
        best: The place of the best one.
        calls: Model calls that were taken.
        stop: Why it ended.
    """

    versions: tuple[TriedVersion, ...]
    best: int
    calls: int
    stop: StopReason


Tell = Callable[[int, str], Awaitable[None]]
"""Reports the calls so far, and what is done."""


async def search_versions(
    start: TriedVersion,
    trials: Trials,
    proposers: Sequence[Proposer],
    max_calls: int,
    tell: Tell,
) -> JudgeSearchResult:
    """Try versions until none is left, nothing differs, or the calls are used.

    Args:
        start: The judge as it is, with its verdicts.
        trials: Judges the items.
        proposers: Take turns.
        max_calls: Model calls in all.
        tell: Called after each version.
    """
    versions, best, calls = [start], 0, 0
    rejections: list[JudgeVersion] = []
    idle = 0
    turn = 0
    cost = len(trials.items) * trials.calls_per_item
    while True:
        stop = _stop(versions[best], rejections, idle, len(proposers))
        proposer = proposers[turn % len(proposers)]
        if stop is None and calls + cost + proposer.calls > max_calls:
            stop = StopReason.CALLS
        if stop is not None:
            return JudgeSearchResult(tuple(versions), best, calls, stop)
        turn += 1
        judged_items = [JudgedItem(item, versions[best].verdicts[item.id]) for item in trials.items]
        proposal = await proposer.propose(versions[best].version, judged_items, rejections)
        calls += proposer.calls
        if proposal is None or any(proposal.version == entry.version for entry in versions):
            idle += 1
            continue
        idle = 0
        verdicts = await trials.run(proposal.version)
        calls += len(verdicts) * trials.calls_per_item
        entry = measure_version(
            trials.items, proposal.version, proposal.reason, {**start.verdicts, **verdicts}
        )
        if entry.loss < versions[best].loss:
            entry = _accept(entry)
            best = len(versions)
            rejections.clear()
        else:
            rejections.append(entry.version)
        versions.append(entry)
        await tell(
            calls, f"{len(versions) - 1} versions tried, {versions[best].disagreements} differ"
        )


def _stop(
    best: TriedVersion, rejections: Sequence[JudgeVersion], idle: int, proposers: int
) -> StopReason | None:
    if not best.loss:
        return StopReason.NO_DISAGREEMENT
    if len(rejections) >= PATIENCE:
        return StopReason.PATIENCE
    return StopReason.NO_PROPOSAL if idle >= 2 * proposers else None


def _accept(entry: TriedVersion) -> TriedVersion:
    return TriedVersion(
        entry.version, entry.reason, entry.verdicts, entry.agreements, entry.loss, True
    )


def measure_version(
    items: Sequence[LabelledItem],
    version: JudgeVersion,
    reason: str,
    verdicts: Mapping[str, ItemVerdict],
) -> TriedVersion:
    """Return a version with how far its verdicts are from the labels.

    Raises:
        KeyError: An item has no verdict.
    """
    return TriedVersion(
        version=version,
        reason=reason,
        verdicts=verdicts,
        agreements=tuple(item.agreement(verdicts[item.id]) for item in items),
        loss=fmean(item.loss(verdicts[item.id]) for item in items),
    )
