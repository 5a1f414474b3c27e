"""What the capabilities of this room answer."""

from pydantic import Field

from kiln_mcp.judging.measurement import Agreement
from kiln_mcp.labels.values import label_text
from kiln_mcp.statistics import CannotTell, Interval
from kiln_mcp.workbench.capability import Result


class ItemToLabel(Result):
    """An item to be labelled, without what the judge says of it."""

    item: str
    input: str
    output: str


class LabellingBatch(Result):
    """Items to be labelled next."""

    eval: str
    scores: list[str] = Field(description="Each with its valid labels.")
    items: list[ItemToLabel]
    unlabelled_left: int = Field(description="Items without a label, these included.")
    ledger: str
    seed: int
    warnings: list[str] = Field(default=[], description="Lines of the ledger that are damaged.")
    next_step: str


class LabelsSaved(Result):
    """Labels that were saved."""

    eval: str
    saved: int
    repeated: int = Field(default=0, description="Of them, as the rater's last labels already.")
    certificate: int = Field(description="Of them, in the certificate ledger.")
    development: int
    passed_on: int = Field(
        default=0,
        description="Of them, drawn for the certificate and not confirmed by the person: they "
        "measure nothing.",
    )
    labelled_items: int = Field(description="Items of the golden set that have a label now.")
    unlabelled_items: int
    warnings: list[str]
    next_step: str


class AgreementRow(Result):
    """A judge beside people's labels, for one score; each pair of ends is a 95 % interval."""

    evaluator: str
    score: str
    n: int
    agreement: float
    low: float
    high: float
    constant_answer: str
    constant_agreement: float
    kappa: float | None
    kappa_low: float | None
    kappa_high: float | None
    passes_found: float | None = Field(description="Share of labelled passes that it passes.")
    fails_found: float | None = Field(description="Share of labelled fails that it fails.")
    tau_b: float | None
    mean_error: float
    bias: float

    @classmethod
    def of(cls, evaluator: str, score: str, kind: str, measured: Agreement) -> "AgreementRow":
        """Return the row of a measurement, rounded for reading."""
        interval = measured.kappa_interval
        known = interval if isinstance(interval, Interval) else None
        rates = measured.rates
        return cls(
            evaluator=evaluator,
            score=score,
            n=measured.count,
            agreement=round(measured.agreement, 4),
            low=round(measured.interval.low, 4),
            high=round(measured.interval.high, 4),
            constant_answer=label_text(measured.constant.label, kind),
            constant_agreement=round(measured.constant.agreement, 4),
            kappa=_known(measured.kappa),
            kappa_low=_known(known.low) if known else None,
            kappa_high=_known(known.high) if known else None,
            passes_found=_known(rates.true_positive_rate) if rates else None,
            fails_found=_known(rates.true_negative_rate) if rates else None,
            tau_b=_known(measured.tau_b),
            mean_error=round(measured.mean_error, 4),
            bias=round(measured.bias, 4),
        )


class Ceiling(Result):
    """How far two people agree: no judge can be shown to agree further."""

    score: str
    raters: list[str]
    n: int
    agreement: float
    low: float
    high: float
    kappa: float | None
    kappa_low: float | None
    kappa_high: float | None


class AgreementReport(Result):
    """What an eval's judges are worth, measured on people's labels."""

    eval: str
    labelled_items: int
    ledger: str
    rows: list[AgreementRow]
    says: list[str] = Field(description="What each row means, in the same order.")
    human_ceiling: list[Ceiling]
    newly_judged: int
    failed: int
    warnings: list[str]
    next_step: str


def _known(value: float | CannotTell) -> float | None:
    return None if isinstance(value, CannotTell) else round(value, 4)
