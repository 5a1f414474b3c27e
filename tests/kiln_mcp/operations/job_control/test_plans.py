import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiln_mcp.approvals.plan import Plan
from kiln_mcp.jobs import Job, JobState, Progress, Stop
from kiln_mcp.llm import BudgetLimit
from kiln_mcp.operations.job_control.answers import JobReport
from kiln_mcp.operations.job_control.limit_texts import amounts, sufficient_limit
from kiln_mcp.operations.job_control.plans import plan_with_limit, resume_plan
from kiln_mcp.workbench.call_options import LIMIT_KINDS, JobLimit


@pytest.mark.parametrize(
    ("limit", "sentence"),
    [
        (BudgetLimit(), ""),
        (BudgetLimit(cost_usd=1), r"Limit: \$1\.00\. It does at least about 24% .* higher"),
        (BudgetLimit(calls=41), "Limit: 41 calls. It will probably stop at about 5% of the work"),
        (BudgetLimit(cost_usd=1, calls=41), r"Limit: \$1\.00, 41 calls\. It will .* about 5%"),
        (BudgetLimit(cost_usd=0.001), r"Limit: \$0\.001\. It may stop there before 1% of"),
        (BudgetLimit(cost_usd=10), r"Limit: \$10\.00\. It stops where that is reached: what"),
        (BudgetLimit(tokens=5000, seconds=60), "Limit: 5,000 tokens, 60 s of work. It stops where"),
    ],
)
def test_a_plan_says_what_all_of_it_costs_and_where_its_limits_stop_it(
    limit: BudgetLimit, sentence: str
) -> None:
    plan = plan_with_limit(Plan("Judge.", calls=820, highest_cost_usd=4.1), limit)
    assert plan.highest_cost_usd == 4.1
    assert re.fullmatch(
        r"Judge\. About 820 model calls, at most about \$4\.1000\."
        + (f" {sentence}.*" if sentence else ""),
        plan.text,
    )


def test_a_limit_in_money_says_that_it_does_not_hold_what_has_no_price() -> None:
    plan = plan_with_limit(Plan("Judge.", calls=2, highest_cost_usd=None), BudgetLimit(cost_usd=1))
    assert "holds no model whose price is not known" in plan.text
    assert plan.needs_approval


def stopped_job(limit: BudgetLimit, stop: Stop, progress: Progress | None = None) -> Job:
    return Job(
        "a1", "judge", {}, limit, state=JobState.STOPPED, stop=stop, progress=progress or Progress()
    )


@given(
    kind=st.sampled_from(LIMIT_KINDS),
    limit=st.integers(0, 10**6),
    minimum=st.floats(0, 1e6),
    done=st.integers(0, 50),
    total=st.none() | st.integers(1, 100),
)
def test_what_is_proposed_to_go_on_with_is_more_than_before_and_enough(
    kind: str, limit: int, minimum: float, done: int, total: int | None
) -> None:
    job = stopped_job(BudgetLimit(**{kind: limit}), Stop(kind, minimum), Progress(done, total))
    proposed_limit = sufficient_limit(job, dict.fromkeys(LIMIT_KINDS, float(limit)))
    limits = JobLimit.model_validate(proposed_limit).override(BudgetLimit(cost_usd=1, calls=1))
    assert amounts(limits)[kind] == proposed_limit[kind] > limit
    assert proposed_limit[kind] >= minimum
    assert {k: v for k, v in amounts(limits).items() if k != kind} == {
        k: v
        for k, v in {**dict.fromkeys(LIMIT_KINDS), "cost_usd": 1, "calls": 1}.items()
        if k != kind
    }


@pytest.mark.parametrize(
    ("earlier", "after", "usage_values", "cost"),
    [
        (BudgetLimit(calls=10), BudgetLimit(calls=30), (10, 1.0, None), 2.0),
        (BudgetLimit(calls=10), BudgetLimit(calls=30), (10, 0.0, None), 0.0),
        (BudgetLimit(calls=10), BudgetLimit(calls=30), (10, 1.0, 2), None),
        (BudgetLimit(calls=10), BudgetLimit(calls=30), (0, 0.0, None), None),
        (BudgetLimit(calls=10), BudgetLimit(), (10, 1.0, None), None),
        (BudgetLimit(cost_usd=1, calls=10), BudgetLimit(cost_usd=1, calls=30), (10, 1.0, None), 0),
        (BudgetLimit(cost_usd=1), BudgetLimit(cost_usd=1.5), (10, 1.0, None), 0.5),
        (BudgetLimit(cost_usd=1), BudgetLimit(), (10, 1.0, None), None),
        (BudgetLimit(seconds=60), BudgetLimit(seconds=60), (10, 1.0, None), 0),
        (BudgetLimit(), BudgetLimit(calls=1), (10, 1.0, None), 0),
    ],
)
def test_going_on_with_higher_limits_costs_what_was_not_agreed_to(
    earlier: BudgetLimit,
    after: BudgetLimit,
    usage_values: tuple[int, float, int | None],
    cost: float | None,
) -> None:
    calls, usd, unpriced_calls = usage_values
    report = JobReport(
        job="a1",
        capability="judge",
        state="stopped",
        calls=calls,
        cost_usd=usd,
        unpriced_calls=unpriced_calls,
    )
    plan = resume_plan(stopped_job(earlier, Stop("calls", 11)), report, after)
    assert plan.highest_cost_usd == cost
