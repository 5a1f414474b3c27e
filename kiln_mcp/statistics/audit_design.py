"""What an audit is made of: the strata of its pool, and the results of its draws."""

from dataclasses import dataclass
from typing import Final

LEAST_PRIOR: Final = 0.5
MOST_PRIOR: Final = 0.95


@dataclass(frozen=True, slots=True)
class AuditDesign:
    """The strata of a pool, fixed before the first draw.

    Attributes:
        sizes: The items of each stratum, at least 1.
        priors: The share of each that is expected to agree. Validity does not depend on it.
    """

    sizes: tuple[int, ...]
    priors: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.sizes or min(self.sizes) < 1 or len(self.sizes) != len(self.priors):
            raise ValueError("An audit has at least one stratum, each with items and a prior.")
        if not all(0 < prior < 1 for prior in self.priors):
            raise ValueError(f"Priors lie between 0 and 1: {self.priors}.")

    @property
    def total(self) -> int:
        """Return the number of items."""
        return sum(self.sizes)


@dataclass(frozen=True, slots=True)
class AuditResult:
    """The result of one draw.

    Attributes:
        stratum: The place of the stratum in the design.
        probabilities: Of all strata, as stored with the draw.
        agrees: Whether the verdict equals the label; None for an item that was skipped.
    """

    stratum: int
    probabilities: tuple[float, ...]
    agrees: bool | None


def prior_of(disagreement: float) -> float:
    """Return the prior of a stratum from the mean share of a panel that differs from the judge."""
    return min(max(1 - disagreement, LEAST_PRIOR), MOST_PRIOR)
