"""What the capabilities answer about rates: of failures, by slice, and of numbers."""

from typing import Literal

from pydantic import Field

from kiln_mcp.evals.output_numbers import NumberLine, NumberName
from kiln_mcp.evals.rate_correction import CorrectedRate
from kiln_mcp.evals.rates import FailureRate
from kiln_mcp.evals.slices import SliceRate
from kiln_mcp.statistics import CannotTell, Interval
from kiln_mcp.workbench.capability import Result


class RateRow(Result):
    """How often stored outputs fail one score; low and high are ends of 95 % intervals."""

    evaluator: str
    score: str
    failures: int = Field(description="Outputs that fail, as the evaluator says.")
    n: int
    rate: float
    low: float
    high: float
    critical: int | None = Field(default=None, description="Critical failures among them.")
    mean: float | None = Field(default=None, description="Of a score with more than two values.")
    mean_low: float | None = None
    mean_high: float | None = None
    labels: int = Field(description="People's labels that were drawn at random among these.")
    corrected_rate: float | None = Field(default=None, description="The rate as labels correct it.")
    corrected_low: float | None = None
    corrected_high: float | None = None
    says: str

    @classmethod
    def of(
        cls,
        names: tuple[str, str],
        rate: FailureRate,
        correction: CorrectedRate,
        says: str,
    ) -> "RateRow":
        """Return the row of a rate, rounded for reading.

        Args:
            names: The evaluator's and the score's.
            rate: As the evaluator says.
            correction: As labels correct it.
            says: It in words.
        """
        low, high = interval_ends(correction.interval)
        return cls(
            evaluator=names[0],
            score=names[1],
            failures=rate.failures,
            n=rate.count,
            rate=round(rate.share, 4),
            low=round(rate.interval.low, 4),
            high=round(rate.interval.high, 4),
            labels=correction.counts.drawn,
            corrected_rate=None if correction.share is None else round(correction.share, 4),
            corrected_low=low,
            corrected_high=high,
            says=says,
        )


class SliceRow(Result):
    """The rate of failures in one slice of stored outputs, or of a run config's."""

    evaluator: str
    run_config: str | None = Field(default=None, description="None for stored outputs.")
    score: str
    slice: str
    failures: int
    n: int
    rate: float | None = Field(description="None if the slice is too small.")
    low: float | None
    high: float | None
    shrunken: float | None = Field(description="Drawn to the whole as far as chance goes.")
    p_value: float | None = Field(description="Of 'as the rest', after Holm; None if too few.")
    labels: int | None = Field(default=None, description="Drawn labels in it that correct it.")
    corrected_rate: float | None = None
    corrected_low: float | None = None
    corrected_high: float | None = None

    @classmethod
    def of(
        cls,
        names: tuple[str, str | None, str],
        rate: SliceRate,
        correction: CorrectedRate | None = None,
    ) -> "SliceRow":
        """Return the row of a slice, rounded for reading.

        Args:
            names: The evaluator's, the run config's and the score's.
            rate: Its rate.
            correction: As labels correct it, if they do.
        """
        low, high = (None, None) if correction is None else interval_ends(correction.interval)
        share = None if correction is None else correction.share
        is_small = rate.is_small
        return cls(
            evaluator=names[0],
            run_config=names[1],
            score=names[2],
            slice=rate.name,
            failures=rate.failures,
            n=rate.count,
            rate=None if is_small else round(rate.share, 4),
            low=None if is_small else round(rate.interval.low, 4),
            high=None if is_small else round(rate.interval.high, 4),
            shrunken=None if is_small else round(rate.shrunken, 4),
            p_value=None if rate.p_value is None else round(rate.p_value, 6),
            labels=None if correction is None or share is None else correction.counts.drawn,
            corrected_rate=None if share is None else round(share, 4),
            corrected_low=low,
            corrected_high=high,
        )


class NumberRow(Result):
    """What stored outputs took; low and high are the ends of the mean's 95 % interval."""

    name: NumberName
    n: int
    mean: float
    low: float | None
    high: float | None
    median: float
    percentile_95: float
    better: Literal["less"] = "less"

    @classmethod
    def of(cls, line: NumberLine) -> "NumberRow":
        """Return the row of a number, rounded for reading."""
        low, high = interval_ends(line.interval)
        return cls(
            name=line.name,
            n=line.count,
            mean=round(line.mean, 6),
            low=low,
            high=high,
            median=round(line.median, 6),
            percentile_95=round(line.high, 6),
        )


def interval_ends(interval: Interval | CannotTell) -> tuple[float | None, float | None]:
    """Return an interval's ends, rounded; nothing where it cannot be told."""
    if isinstance(interval, CannotTell):
        return None, None
    return round(interval.low, 6), round(interval.high, 6)
