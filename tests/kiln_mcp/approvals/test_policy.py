"""What a person allowed beforehand, and that a damaged policy allows nothing."""

from dataclasses import replace
from pathlib import Path

import pytest

from kiln_mcp.approvals.plan import Consequence, Effect, Plan
from kiln_mcp.approvals.policy import (
    ALWAYS_ASKED,
    STRICTEST,
    DailyAllowance,
    Policy,
    policy_file,
    read_policy,
    write_policy,
)

SPENDING = Plan("Judge.", calls=40, highest_cost_usd=0.5)
GENEROUS = Policy(DailyAllowance(usd=5, calls=1000))


def test_without_a_policy_nothing_is_allowed_beforehand(tmp_path: Path) -> None:
    policy = read_policy(tmp_path)
    assert policy == Policy()
    assert policy.daily_allowance == DailyAllowance(0, 0)
    assert policy.never_without_me >= {Consequence.DESTROYS, Consequence.SENDS}


def test_a_policy_is_read_as_it_was_written_and_is_for_its_owner_alone(tmp_path: Path) -> None:
    policy = replace(GENEROUS, never_without_me=ALWAYS_ASKED | {Consequence.SPENDS})
    write_policy(tmp_path / "home", policy)
    assert read_policy(tmp_path / "home") == policy
    assert policy_file(tmp_path / "home").stat().st_mode & 0o777 == 0o600
    assert list((tmp_path / "home").iterdir()) == [policy_file(tmp_path / "home")]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "Invalid JSON"),
        ('{"daily_allowance_usd": 5', "Invalid JSON"),
        ("[]", "should be an object"),
        ('{"daily_allowance_usd": -1}', "daily_allowance_usd"),
        ('{"daily_allowance_usd": Infinity, "daily_allowance_calls": 9}', "daily_allowance_usd"),
        ('{"daily_allowance_usd": NaN}', "daily_allowance_usd"),
        ('{"daily_allowance_calls": 1e300}', "daily_allowance_calls"),
        ('{"never_without_me": ["everything"]}', "never_without_me"),
        ('{"daily_allowance_usd": 5, "approve_all": true}', "approve_all"),
    ],
)
def test_a_damaged_policy_is_the_strictest_and_says_why(
    tmp_path: Path, content: str, reason: str
) -> None:
    policy_file(tmp_path).write_text(content)
    policy_file(tmp_path).chmod(0o600)
    policy = read_policy(tmp_path)
    assert reason in policy.damage
    assert "Set it again with kiln-mcp allow." in policy.damage
    assert replace(policy, damage="") == STRICTEST


def test_a_policy_that_others_may_write_is_not_believed(tmp_path: Path) -> None:
    write_policy(tmp_path, GENEROUS)
    policy_file(tmp_path).chmod(0o666)
    assert "others may write it" in read_policy(tmp_path).damage
    assert read_policy(tmp_path).daily_allowance.usd == 0


def test_a_policy_that_cannot_be_read_is_the_strictest(tmp_path: Path) -> None:
    policy_file(tmp_path).mkdir(mode=0o700)
    assert replace(read_policy(tmp_path), damage="") == STRICTEST


def test_a_policy_cannot_let_destroying_or_sending_pass(tmp_path: Path) -> None:
    policy_file(tmp_path).write_text('{"never_without_me": []}')
    policy_file(tmp_path).chmod(0o600)
    assert read_policy(tmp_path).never_without_me == ALWAYS_ASKED


@pytest.mark.parametrize(
    ("plan", "allowed"),
    [
        (SPENDING, True),
        (replace(SPENDING, highest_cost_usd=None), False),
        (replace(SPENDING, irreversible=True), False),
        (replace(SPENDING, far_reaching=True), False),
        (replace(SPENDING, destination="/mnt/x"), False),
        (Plan("Empty the trash.", irreversible=True), False),
        (Plan("Share.", destination="git@example.org:x.git"), False),
    ],
)
def test_the_allowance_covers_what_only_spends_at_a_known_price(plan: Plan, allowed: bool) -> None:
    assert GENEROUS.allows(plan, Effect.SPENDS) is allowed


@pytest.mark.parametrize("consequence", [Consequence.SPENDS, Consequence.WRITES])
def test_what_is_never_done_without_the_person_is_asked_despite_the_allowance(
    consequence: Consequence,
) -> None:
    policy = replace(GENEROUS, never_without_me=ALWAYS_ASKED | {consequence})
    assert not policy.allows(SPENDING, Effect.SPENDS)


def test_a_plain_write_is_asked_about_only_if_the_person_wants_that() -> None:
    plan = Plan("Save a prompt.")
    strict = replace(GENEROUS, never_without_me=ALWAYS_ASKED | {Consequence.WRITES})
    assert not GENEROUS.asks_about(plan, Effect.WRITES)
    assert strict.asks_about(plan, Effect.WRITES)
    assert not strict.asks_about(plan, Effect.READS)
