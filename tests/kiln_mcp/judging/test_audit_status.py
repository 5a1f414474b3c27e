"""What an audit says of its judge, from its draws and labels alone."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from kiln_mcp.judging.certificates.audit_labels import LabelledAudit, match_labels
from kiln_mcp.judging.certificates.audit_status import (
    AuditCircumstances,
    AuditStatus,
    CertificateState,
    audit_status,
    percent,
)
from kiln_mcp.labels.audit_lines import AuditDraw, AuditOpening, AuditRecord, AuditStratum
from kiln_mcp.labels.ledger import Label
from storage import EvalOutputScore

START = datetime(2026, 1, 1, tzinfo=UTC)
SCORE = EvalOutputScore(name="Right", type="pass_fail")
POOL = tuple(f"item {number}" for number in range(8))


def label(place: int, value: float | None = 1.0, rater: str = "ann", state: str = "value") -> Label:
    """Return the label of one item of the pool, given as long after the start as its place."""
    return Label.model_validate(
        {
            "at": START + timedelta(minutes=place),
            "item": POOL[place],
            "score": SCORE.json_key,
            "value": value,
            "rater": rater,
            "purpose": "certificate",
            "state": state,
            "confirmed": True,
        }
    )


def audit_of(labels: Sequence[Label], rater: str = "ann", drawn: int = len(POOL)) -> LabelledAudit:
    """Return an audit of a pool of eight passes, of which the first were drawn."""
    opening = AuditOpening(
        at=START,
        id="audit",
        score=SCORE.json_key,
        fingerprint={},
        pool="",
        strata=(AuditStratum(name="pass", verdict=1.0, prior=0.9, items=POOL),),
        rater=rater,
    )
    draws = tuple(
        AuditDraw(
            at=START,
            audit="audit",
            draw="draw",
            item=item,
            stratum=0,
            probabilities=(1.0,),
            left=(len(POOL) - place,),
        )
        for place, item in enumerate(POOL[:drawn])
    )
    verdicts = dict.fromkeys(POOL, 1.0)
    return match_labels(AuditRecord(opening, draws), SCORE, verdicts, labels)


def status_of(
    audit: LabelledAudit,
    target: float | None = 0.8,
    changed: Sequence[str] = (),
    faults: Sequence[str] = (),
) -> AuditStatus:
    circumstances = AuditCircumstances("llm judge", target, changed=changed, faults=faults)
    return audit_status(audit, circumstances)


def test_a_part_that_changed_makes_an_audit_stale_whatever_its_labels_show() -> None:
    audit = audit_of([label(place) for place in range(8)])
    status = status_of(audit, changed=["the rubric", "the spec"], faults=["They are few."])
    assert status.state is CertificateState.STALE
    assert status.sentence.startswith("Stale: the rubric and the spec changed after")


def test_labels_with_a_fault_certify_no_judge_that_they_all_agree_with() -> None:
    status = status_of(audit_of([label(n) for n in range(8)]), faults=["Ann differs from Ann."])
    assert status.state is CertificateState.LABELS_CONTRADICT
    assert "can certify no judge. Ann differs from Ann. Look again" in status.sentence


def test_an_audit_without_labels_asks_for_draws_and_claims_nothing() -> None:
    status = status_of(audit_of([], drawn=0), target=None)
    assert (status.state, status.claim, status.estimates) == ("not_yet", None, None)
    assert status.sentence.startswith("Not yet: no drawn item has a label.")


def test_without_a_target_labels_that_show_no_limit_name_no_goal() -> None:
    audit = audit_of([label(0, 0.0)], drawn=1)
    status = status_of(audit, target=None)
    assert (status.state, status.claim) == ("not_yet", None)
    assert status.sentence.endswith("of these 8 outputs.")


def test_a_pool_that_is_labelled_whole_refutes_a_claim_above_its_agreement() -> None:
    labels = [label(place, float(place < 4)) for place in range(8)]
    status = status_of(audit_of(labels))
    assert status.state is CertificateState.NOT_REACHABLE
    assert "on at most 50 % of these 8 outputs, so 80 % cannot" in status.sentence


def test_agreement_on_one_common_verdict_is_no_information() -> None:
    status = status_of(audit_of([label(place) for place in range(8)]))
    assert status.state is CertificateState.NO_INFORMATION
    assert "because one verdict is common" in status.sentence


def test_labels_of_other_raters_are_counted_apart_and_certify_nothing() -> None:
    labels = [label(0), label(1), label(2, rater="bob"), label(3, rater="bob")]
    audit = audit_of(labels, drawn=4)
    assert audit.of_others == 2
    status = status_of(audit)
    assert status.standing.labels == 2
    assert "2 labels of other raters do not count: the audit is about ann." in status.sentence


def test_an_item_with_two_defensible_verdicts_agrees_with_the_judge() -> None:
    labels = [label(0), label(1, None, state="both"), label(2), label(3)]
    audit = audit_of(labels, drawn=4)
    (stratum,) = audit.pair_strata()
    assert list(stratum.pairs) == [(1.0, 1.0)] * 4
    assert "For 25% of the labels both verdicts can be defended." in status_of(audit).sentence


def test_an_item_that_waits_counts_against_the_judge_only_once_a_later_one_is_labelled() -> None:
    before = audit_of([label(0), label(1)], drawn=3)
    assert (len(before.skipped), len(before.waiting)) == (0, 1)
    after = audit_of([label(0), label(1), label(3)], drawn=4)
    status = status_of(after)
    assert (status.standing.labels, status.standing.skips) == (3, 1)
    assert "1 drawn items before the last label wait for theirs" in status.sentence
    pairs = {doubt: list(after.pair_strata(doubt)[0].pairs) for doubt in ("for", "against")}
    assert pairs["for"].count((1.0, 0.0)) == 0
    assert pairs["against"].count((1.0, 0.0)) == 1
    assert len(after.pair_strata()[0].pairs) == 3, "without a doubt it is left out"


def test_an_item_that_nobody_can_judge_counts_against_every_claim() -> None:
    labels = [label(0), label(1, None, state="cannot_judge"), label(2)]
    sentence = status_of(audit_of(labels, drawn=3)).sentence
    assert "1 drawn items were passed over or cannot be judged" in sentence


def test_a_share_in_percent_has_a_decimal_only_if_it_needs_one() -> None:
    assert [percent(0.025), percent(0.8), percent(None)] == ["2.5 %", "80 %", "0 %"]
