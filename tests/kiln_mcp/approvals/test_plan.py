"""What a plan says to a person, and what of it they agree to."""

import math
from dataclasses import replace

import pytest

from kiln_mcp.approvals.plan import Consequence, Plan

PAID = Plan("Judge 40 items.", calls=40, highest_cost_usd=0.5)


@pytest.mark.parametrize(
    ("plan", "consequences"),
    [
        (Plan("Look."), set[Consequence]()),
        (Plan("Ask the embedded model.", calls=40), set[Consequence]()),
        (PAID, {Consequence.SPENDS}),
        (Plan("Ask.", calls=1, highest_cost_usd=None), {Consequence.SPENDS}),
        (Plan("Empty the trash.", irreversible=True), {Consequence.DESTROYS}),
        (Plan("Undo ten changes.", far_reaching=True), {Consequence.DESTROYS}),
        (Plan("Share.", destination="git@example.org:x.git"), {Consequence.SENDS}),
        (replace(PAID, destination="/mnt/x"), {Consequence.SPENDS, Consequence.SENDS}),
    ],
)
def test_a_plan_needs_approval_exactly_when_it_costs_destroys_or_sends(
    plan: Plan, consequences: set[Consequence]
) -> None:
    assert plan.consequences == consequences
    assert plan.needs_approval == bool(consequences)


@pytest.mark.parametrize("cost", [math.nan, math.inf])
def test_a_cost_that_is_no_number_counts_as_not_known(cost: float) -> None:
    plan = Plan("Ask.", calls=1, highest_cost_usd=cost)
    assert plan.highest_cost_usd is None
    assert plan.needs_approval


def test_the_highest_cost_is_never_below_the_expected_one() -> None:
    plan = Plan("Ask.", calls=1, expected_cost_usd=2.0)
    assert plan.highest_cost_usd == 2.0
    assert plan.needs_approval


def test_the_text_says_cost_destination_and_limits() -> None:
    plan = replace(PAID, destination="ssh://example.org", limits="Limit: $1.00.")
    assert plan.text == (
        "Judge 40 items. About 40 model calls, at most about $0.5000. "
        "Data is sent to ssh://example.org. Limit: $1.00."
    )


def test_the_text_says_both_what_is_expected_and_what_is_possible() -> None:
    plan = replace(PAID, expected_cost_usd=0.1, earlier_calls=12)
    assert plan.text.endswith("$0.1000, from 12 earlier calls, at most about $0.5000.")


@pytest.mark.parametrize(
    "other",
    [
        replace(PAID, summary="Judge 41 items."),
        replace(PAID, calls=41),
        replace(PAID, highest_cost_usd=0.6),
        replace(PAID, highest_cost_usd=None),
        replace(PAID, irreversible=True),
        replace(PAID, far_reaching=True),
        replace(PAID, destination="/mnt/x"),
        replace(PAID, limits="Limit: $1.00."),
    ],
)
def test_a_plan_that_does_more_has_another_fingerprint(other: Plan) -> None:
    assert other.fingerprint != PAID.fingerprint


def test_new_experience_with_costs_leaves_the_fingerprint_alone() -> None:
    later = replace(PAID, expected_cost_usd=0.2, earlier_calls=90, tokens=4000)
    assert later.fingerprint == PAID.fingerprint
