"""Forecasts of an audit: about how many more labels a certificate takes."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING, Final

from kiln_mcp.statistics.audit_design import AuditDesign, AuditResult
from kiln_mcp.statistics.betting_audit import ERROR, ROUNDING
from kiln_mcp.statistics.interval import CannotTell

if TYPE_CHECKING:
    import numpy as np

    from kiln_mcp.statistics.audit_paths import AuditPaths, Floats

FEWEST_LABELS: Final = 30
"""Labels from which on a forecast is made."""
FUTURES: Final = 200
MOST_DRAWS: Final = 2_000
"""Draws after which a future counts as one that does not end."""


@dataclass(frozen=True, slots=True)
class LabelForecast:
    """How many more labels a certificate takes.

    Attributes:
        smallest: The 10 % quantile over the futures that certify; None if none does.
        largest: Their 90 % quantile; None if none does.
        share: The share of futures that certify the claim.
    """

    smallest: int | None
    largest: int | None
    share: float

    @property
    def may_never_end(self) -> bool:
        """Return whether fewer than half of the futures certify."""
        return self.share < 0.5


def forecast_labels(
    design: AuditDesign,
    results: Sequence[AuditResult],
    claim: float,
    error: float = ERROR,
    seed: int = 0,
) -> LabelForecast | CannotTell:
    """Forecast how many more labels certify a claim, from futures drawn from the posterior.

    Returns:
        The forecast, or why there is none: too few labels.

    Raises:
        ValueError: A result does not fit the design.
    """
    if sum(result.agrees is not None for result in results) < FEWEST_LABELS:
        return CannotTell(f"a forecast needs {FEWEST_LABELS} labels")
    import numpy as np

    from kiln_mcp.statistics.audit_paths import AuditPaths

    draw = np.random.default_rng(seed)
    paths = AuditPaths(design.sizes, design.priors, (claim,), FUTURES)
    for result in results:
        paths.observe_result(result)
    futures = _Futures(paths, claim * design.total - ROUNDING, log(1 / error), draw)
    ends: list[int] = []
    for count in range(1, MOST_DRAWS + 1):
        ends += [count] * futures.step()
        if not futures.count:
            break
    if not ends:
        return LabelForecast(None, None, 0.0)
    low, high = np.quantile(ends, [0.1, 0.9])
    return LabelForecast(round(float(low)), round(float(high)), len(ends) / FUTURES)


class _Futures:
    """Audits that go on with labels drawn from the posterior; decided ones are dropped."""

    def __init__(
        self,
        paths: "AuditPaths",
        least_agreements: float,
        threshold: float,
        draw: "np.random.Generator",
    ) -> None:
        self._paths = paths
        self._least_agreements = least_agreements
        self._threshold = threshold
        self._draw = draw
        alpha, beta = paths.posterior()
        shares = draw.beta(alpha, beta)
        self._agreeing: Floats = draw.binomial(paths.left.astype("int64"), shares).astype("float64")
        self._drop_decided()

    @property
    def count(self) -> int:
        """Return how many futures are open."""
        return len(self._agreeing)

    def step(self) -> int:
        """Draw one more label in each open future; return how many certify by it."""
        import numpy as np

        if not self.count:
            return 0
        chances = self._paths.probabilities()
        strata = self._paths.draw_strata(self._draw, chances)
        rows = np.arange(self.count)
        points = self._draw.random(self.count) * self._paths.left[rows, strata]
        outcomes = (points < self._agreeing[rows, strata]).astype(np.float64)
        self._paths.observe(strata, outcomes, outcomes, np.ones(self.count), chances)
        self._agreeing[rows, strata] -= outcomes
        return self._drop_decided()

    def _drop_decided(self) -> int:
        up, down = self._paths.log_evidence[:, :, 0]
        low, high = self._paths.agreement_bounds
        left = self._paths.left.sum(axis=1)
        is_certified = (up >= self._threshold) | (low >= self._least_agreements)
        is_refuted = (down >= self._threshold) | (high + left < self._least_agreements)
        is_open = ~(is_certified | is_refuted) & (left > 0)
        self._paths.keep(is_open)
        self._agreeing = self._agreeing[is_open]
        return int(is_certified.sum())
