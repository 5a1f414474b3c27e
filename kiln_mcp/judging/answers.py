"""The results of the capabilities of this room."""

from typing import Final

from pydantic import Field

from kiln_mcp.judging.execution import ExecutionRow
from kiln_mcp.judging.judge_agreement import Agreement, JudgeStanding
from kiln_mcp.judging.label_bases import BasisKind
from kiln_mcp.judging.label_doubts import LabelDoubts
from kiln_mcp.judging.review_questions import (
    after_label,
    after_reason,
    reason_question,
    review_question,
)
from kiln_mcp.labels.label_words import label_text
from kiln_mcp.statistics import CannotTell, Interval, Measure
from kiln_mcp.workbench.capability import JsonObject, Result
from kiln_mcp.workbench.person_questions import PersonQuestion
from storage.errors import NextStep

_STAR_NUMBERS: Final = frozenset(
    {Measure.WEIGHTED_KAPPA, Measure.SPEARMAN, Measure.PEARSON, Measure.SQUARED_ERROR}
)
"""Numbers that say nothing more of passes and fails."""
_NUMBERS: Final = _STAR_NUMBERS | {
    Measure.TRUE_PASS_RATE,
    Measure.TRUE_FAIL_RATE,
    Measure.TAU_B,
    Measure.MEAN_ERROR,
    Measure.BIAS,
}


class ItemToLabel(Result):
    """An item to be labelled, without its verdicts."""

    item: str
    input: str
    output: str
    labelled_scores: list[str] = Field(default=[], description="The person has labelled these.")


class LabellingBatch(Result):
    """Items to be labelled next."""

    eval: str
    scores: dict[str, list[str]] = Field(description="The valid labels of each.")
    items: list[ItemToLabel]
    unlabelled_items: int = Field(description="Items without a label, these included.")
    new_items: int = Field(default=0, description="Outputs that were added to the golden set.")
    purpose: str
    seed: int
    rater: str = Field(default="", description="Who labels them.")
    warnings: list[str] = Field(default=[], description="What was left out or passed over.")
    message: str | None = None
    next: list[NextStep] = Field(default=[], description="Calls that help now.")

    @classmethod
    def person_question(cls, data: JsonObject) -> PersonQuestion | None:
        """Return the next label of a review to ask for; None for other purposes, or at its end."""
        return review_question(data)

    @classmethod
    def after_answer(
        cls, data: JsonObject, question: PersonQuestion, answer: str, reply: JsonObject
    ) -> tuple[JsonObject, PersonQuestion | None]:
        """Return the batch less what was labelled, and the question why if the judge differs."""
        return after_label(data, question, answer, reply)


class SavedLabels(Result):
    """Labels that were saved."""

    eval: str
    saved: int
    repeats: int = Field(default=0, description="Of them, equal to the rater's last labels.")
    certificate: int = Field(description="Of them, for the certificate.")
    development: int
    unconfirmed_labels: int = Field(
        default=0,
        description="Of them, drawn for the certificate and not confirmed by the person: they "
        "measure nothing.",
    )
    differences: list[str] = Field(
        default=[], description="Items where a judge differs and nobody said why."
    )
    labelled_items: int = Field(description="Items of the golden set that have a label now.")
    unlabelled_items: int
    warnings: list[str]
    message: str | None = Field(default=None, description="What the person must do, if anything.")
    next: list[NextStep] = Field(default=[], description="Calls that help now.")


class AgreementRow(Result):
    """A judge's agreement with people's labels, for one score.

    Each pair of ends is a 95 % interval.
    """

    evaluator: str
    score: str
    basis: BasisKind = Field(description="Whether the items were drawn at random, or picked.")
    n: int
    skips: int = Field(description="Drawn items without a label: they count as disagreements.")
    agreement: float
    low: float
    high: float
    constant_answer: str
    constant_agreement: float
    beats_constant: bool = Field(description="Whether it is shown to beat the constant answer.")
    kappa: float | None
    kappa_low: float | None
    kappa_high: float | None
    true_pass_rate: float | None = Field(description="Share of labelled passes that it passes.")
    true_fail_rate: float | None = Field(description="Share of labelled fails that it fails.")
    tau_b: float | None
    mean_error: float
    bias: float
    other_numbers: dict[str, float] = Field(default={}, description="Of a scale with stars.")
    intervals: dict[str, tuple[float, float]] = Field(
        description="The 95 % interval of each other number that has one."
    )

    @classmethod
    def of(cls, evaluator: str, score: str, kind: str, agreement: Agreement) -> "AgreementRow":
        """Return the row of a measurement, rounded for reading."""
        numbers = {
            measure: round(estimate.value, 4)
            for measure, estimate in agreement.estimates.measures.items()
            if isinstance(estimate.value, float)
        }
        ends = {
            str(measure): (round(estimate.interval.low, 4), round(estimate.interval.high, 4))
            for measure, estimate in agreement.estimates.measures.items()
            if isinstance(estimate.interval, Interval) and measure in numbers
        }
        kappa_ends = ends.get(Measure.KAPPA)
        names = _NUMBERS if kind == "five_star" else _NUMBERS - _STAR_NUMBERS
        return cls(
            evaluator=evaluator,
            score=score,
            basis=agreement.kind,
            n=agreement.count,
            skips=agreement.skips,
            agreement=numbers[Measure.AGREEMENT],
            low=round(agreement.interval.low, 4),
            high=round(agreement.interval.high, 4),
            constant_answer=label_text(agreement.constant.label, kind),
            constant_agreement=round(agreement.constant.agreement, 4),
            beats_constant=agreement.standing is JudgeStanding.BETTER,
            kappa=numbers.get(Measure.KAPPA),
            kappa_low=kappa_ends[0] if kappa_ends else None,
            kappa_high=kappa_ends[1] if kappa_ends else None,
            true_pass_rate=numbers.get(Measure.TRUE_PASS_RATE),
            true_fail_rate=numbers.get(Measure.TRUE_FAIL_RATE),
            tau_b=numbers.get(Measure.TAU_B),
            mean_error=numbers[Measure.MEAN_ERROR],
            bias=numbers[Measure.BIAS],
            other_numbers={
                str(measure): numbers[measure]
                for measure in sorted(_STAR_NUMBERS & numbers.keys())
                if kind == "five_star"
            },
            intervals={name: ends[name] for name in sorted(names) if name in ends},
        )


class JudgeComparison(Result):
    """Several judges on the same labels; all intervals hold together at 95 %."""

    score: str
    conclusion: str
    labels: int = Field(description="Those of one way of drawing that all judges have judged.")
    best: str = Field(description="The judge that agrees most on these labels.")
    may_be_best: list[str] = Field(description="Judges than which none is shown to agree more.")
    corrected_agreement: float = Field(description="Of the best, less the bias of the choice.")
    at_least: float = Field(description="Its 95 % limit in spite of the choice.")
    against_best: dict[str, str] = Field(description="Each other judge's agreement less its own.")


class Ceiling(Result):
    """The agreement of two people: no judge can be shown to agree further."""

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
    """The agreement of an eval's judges with people's labels."""

    eval: str
    labelled_items: int
    purpose: str
    rows: list[AgreementRow]
    conclusions: list[str] = Field(
        description="What the labels can tell; then what each row means, in the same order."
    )
    doubts: LabelDoubts = Field(default=LabelDoubts(), description="Labels to look at again.")
    comparisons: list[JudgeComparison] = Field(
        default=[], description="Which judges may be the best, if several were measured."
    )
    bias_checks: list[str] = Field(
        default=[], description="Whether a judge favours long outputs or its own model family."
    )
    cascade: str | None = Field(
        default=None, description="Cheap judges before a better one, if that pays."
    )
    execution: list[ExecutionRow] = Field(
        default=[], description="Judges and labels against checks that execute the outputs."
    )
    human_ceiling: list[Ceiling]
    new_verdicts: int = Field(description="Verdicts that this call asked of judges.")
    failed: int
    warnings: list[str]
    next: list[NextStep] = Field(default=[], description="Calls that help now.")


class DisagreementCount(Result):
    """How often a judge differs from development labels, for one score."""

    evaluator: str
    score: str
    labels: int = Field(description="Development labels that have a verdict.")
    disagreements: int
    too_strict: int = Field(description="Verdicts below their label.")
    too_lenient: int = Field(description="Verdicts above their label.")
    without_verdict: int = Field(description="Development labels without a verdict.")


class ShownDisagreement(Result):
    """One score of one item on which a judge and a person differ."""

    item: str
    evaluator: str | None = Field(default=None, description="If several are shown.")
    score: str | None = Field(default=None, description="If the eval has several.")
    verdict: str = Field(description="The judge's.")
    label: str = Field(description="The person's.")
    input: str
    output: str
    judge_reason: str | None
    label_reason: str | None = None
    rater: str | None = None
    wants_reason: bool = Field(default=False, description="Ask the person why: nobody said.")
    panel: str | None = Field(default=None, description="The other verdicts of this output.")
    label_doubt: str | None = Field(
        default=None, description="Why the label may be wrong: the person looks again."
    )


class DisagreementReport(Result):
    """Where judges differ from people's development labels."""

    eval: str
    summary: str
    counts: list[DisagreementCount]
    disagreements: list[ShownDisagreement] = Field(description="The worst first.")
    total: int
    hidden_items: int = Field(description="Those with labels for a certificate.")
    new_verdicts: int = Field(description="Verdicts that this call asked of judges.")
    warnings: list[str]
    next: list[NextStep] = Field(default=[], description="Calls that help now.")

    @classmethod
    def person_question(cls, data: JsonObject) -> PersonQuestion | None:
        """Return the question why a label of a review differs from the judge; None for none."""
        return reason_question(data)

    @classmethod
    def after_answer(
        cls, data: JsonObject, question: PersonQuestion, answer: str, reply: JsonObject
    ) -> tuple[JsonObject, PersonQuestion | None]:
        """Return the report with the reason that the person gave."""
        return after_reason(data, question, answer), None


def round_if_known(value: float | CannotTell) -> float | None:
    """Return a number with four digits; None if it cannot be told."""
    return None if isinstance(value, CannotTell) else round(value, 4)
