"""What losses say: whether a training diverges, and whether it still gets better."""

import math
from collections.abc import Sequence
from statistics import fmean, stdev
from typing import Final

from kiln_mcp.tuning.local.work_folder import LossPoint

_WINDOW: Final = 8
_RISE: Final = 1.5
_LEAST_RISE: Final = 1.0
"""Nats above the start, so that a loss near 0 may be noisy."""
_BATCHES_DIFFER: Final = 4.0
"""Standard deviations of the last losses that the first one may lie below them by chance."""


def divergence(points: Sequence[LossPoint]) -> str:
    """Return why a training has to stop; "" if it need not.

    It diverges if a loss is no number, or if the mean of the last steps is far above that of the
    first, or above the loss of the first step by more than batches differ: that one is the base's
    own, and a training may blow up at once.
    """
    if not points:
        return ""
    last = points[-1]
    if not math.isfinite(last.loss):
        reason = f"the loss of step {last.step} is {last.loss}"
        own = ", so that the base's weights are damaged or do not fit this machine's numbers"
        return reason + own if last.step == 1 else reason
    if len(points) < 2 * _WINDOW:
        return ""
    losses = [point.loss for point in points]
    recent, spread = fmean(losses[-_WINDOW:]), stdev(losses[-_WINDOW:])
    for start, noise in ((fmean(losses[:_WINDOW]), 0.0), (losses[0], _BATCHES_DIFFER * spread)):
        if recent > max(_RISE * start, start + _LEAST_RISE, start + noise):
            return f"the loss rose from {start:.2f} to {recent:.2f} by step {last.step}"
    return ""


def validations(points: Sequence[LossPoint]) -> list[tuple[int, float]]:
    """Return the validation losses with their steps."""
    return [(point.step, point.validation) for point in points if point.validation is not None]


def is_stale(points: Sequence[LossPoint], patience: int) -> bool:
    """Return whether the last validations, as many as `patience`, were no better than before."""
    losses = [loss for _, loss in validations(points)]
    return len(losses) > patience and min(losses[-patience:]) >= min(losses[:-patience])
