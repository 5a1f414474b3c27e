"""Results that a gate makes before it checks: models are asked within limits."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final
from uuid import uuid4

from kiln_mcp.approvals.approval import ProposedCall
from kiln_mcp.approvals.decision import Consent
from kiln_mcp.approvals.plan import Effect, Plan
from kiln_mcp.catalogue import open_own_workspace
from kiln_mcp.doors.cli.handover import show_progress
from kiln_mcp.doors.cli.local_call import TerminalPerson
from kiln_mcp.evals.gate.anchors import DriftRequest, anchor_items
from kiln_mcp.evals.gate.fresh_results import (
    FreshResults,
    make_results,
    plan_anchors,
    plan_missing,
)
from kiln_mcp.evals.gate.gate_report import GateRequest, open_gate
from kiln_mcp.llm import BudgetLimit
from kiln_mcp.operations.job_control.plans import plan_with_limit
from kiln_mcp.run_configs.cost_estimates import estimate_cost
from kiln_mcp.settings import Settings
from kiln_mcp.workbench.workspace import Workspace
from storage.errors import Refusal

_TRUE: Final = frozenset({"true", "1", "yes"})


async def make_gate_results(
    folder: Path, request: GateRequest, limit: BudgetLimit, drift: DriftRequest | None
) -> Sequence[str]:
    """Make the results that a gate lacks; return a sentence for each kind of failure.

    Args:
        folder: The project's folder.
        request: What is gated.
        limit: The most that may be spent.
        drift: How drift is looked for; None for not at all.

    Raises:
        Refusal: Nobody agreed to what it may cost.
    """
    settings = replace(Settings.from_environment(os.environ), does_jobs=False)
    async with open_own_workspace(settings) as base_workspace:
        workspace = base_workspace.with_progress(_report)
        store = await workspace.open_project(str(folder))
        candidates = await open_gate(store, request)
        plans = [] if drift else await plan_missing(workspace, candidates)
        for candidate in candidates if drift else ():
            anchors = await anchor_items(candidate, drift.tag if drift else "")
            since = (drift or DriftRequest()).since_of(candidate)
            plans.append(await plan_anchors(workspace, candidate, anchors, since))
        results = FreshResults(plans)
        calls = results.calls_by_model
        await workspace.check_ready(store, calls)
        plan = await estimate_cost(workspace.engine, results.summary, calls, "evals")
        plan = plan_with_limit(plan, limit)
        await _check_consent(workspace, folder, plan, limit)
        budget = await workspace.engine.budget(f"gate/{uuid4().hex}", limit)
        own = replace(workspace, engine=workspace.engine.within(budget))
        return await make_results(own, results)


async def _check_consent(
    workspace: Workspace, folder: Path, plan: Plan, limit: BudgetLimit
) -> None:
    """Refuse a plan that neither the person, their allowance nor the pipeline's limits allow.

    Raises:
        Refusal: Nobody agreed.
    """
    if is_allowed_in_pipeline(plan, limit, os.environ):
        return
    call = ProposedCall("run_eval", {"project": str(folder)}, plan, "Run an eval")
    person = TerminalPerson() if sys.stdin.isatty() else None
    own = replace(workspace, person=person, caller="kiln-mcp gate")
    if not isinstance(await own.decide(call, Effect.SPENDS), Consent):
        raise Refusal(
            "{plan} Nobody agreed to this. In a pipeline (CI=true) give --most-usd and "
            "--most-calls; elsewhere run it in a terminal, or set kiln-mcp allow.",
            plan=plan.text,
        )


def is_allowed_in_pipeline(plan: Plan, limit: BudgetLimit, environment: Mapping[str, str]) -> bool:
    """Return whether the limits of a pipeline's command allow a plan.

    The author of the pipeline agreed to them. A plan whose price is not known needs a limit of
    calls, and only that holds it.
    """
    if environment.get("CI", "").casefold() not in _TRUE:
        return False
    if limit.cost_usd is None and limit.calls is None:
        return False
    if plan.highest_cost_usd is None:
        return limit.calls is not None
    return True


async def _report(done: float, total: float | None, message: str | None) -> None:
    show_progress(done, total, message)
