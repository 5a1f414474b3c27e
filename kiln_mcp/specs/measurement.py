"""Have a panel judge the clauses of a session's drafts, and ask where its readings part."""

from collections.abc import Sequence
from dataclasses import replace

from kiln_mcp.approvals.plan import Plan
from kiln_mcp.spec_texts.session_events import Draft, SpecSession
from kiln_mcp.spec_texts.spec_content import Finding
from kiln_mcp.specs.clause_panel import ClausePanel, PanelRequest, propose_panel
from kiln_mcp.specs.measured_questions import (
    ambiguity_findings,
    measured_drafts,
    next_questions,
)
from kiln_mcp.specs.panel_storage import store_panel
from kiln_mcp.specs.questions import with_ids
from kiln_mcp.specs.steps import SessionWork
from kiln_mcp.workbench.capability import Proposal
from kiln_mcp.workbench.workspace import Workspace


async def propose_measurement(
    workspace: Workspace, work: SessionWork, drafts: Sequence[Draft], model: str
) -> tuple[Plan, Sequence[Proposal[ClausePanel]]]:
    """Return the plan of asking a panel about all drafts, and the work on each.

    Raises:
        NothingToEvaluate: The task has no output.
        ModelError: The model cannot answer.
    """
    request = PanelRequest(models=[model])
    proposals = [
        await propose_panel(workspace, work.store, work.task, draft.content.clauses, request)
        for draft in drafts
    ]
    first = proposals[0].plan
    plans = [proposal.plan for proposal in proposals]
    highest = [plan.highest_cost_usd for plan in plans]
    expected = [plan.expected_cost_usd for plan in plans]
    plan = replace(
        first,
        summary=" ".join(plan.summary for plan in plans),
        calls=sum(plan.calls for plan in plans),
        tokens=sum(plan.tokens for plan in plans),
        highest_cost_usd=None if None in highest else sum(cost or 0.0 for cost in highest),
        expected_cost_usd=None if None in expected else sum(cost or 0.0 for cost in expected),
    )
    return plan, proposals


async def measure_session(
    work: SessionWork, session: SpecSession, proposals: Sequence[Proposal[ClausePanel]]
) -> SpecSession:
    """Ask the panel, note what it found, and ask the person where its readings part."""
    if session.has_step(work.job, "examine"):
        return session
    for proposal in proposals:
        panel = await proposal.carry_out()
        await store_panel(work.store, work.task, panel)
        work.notes.append(panel.statement)
        work.notes += panel.failures
    drafts = session.open_drafts
    panels = await measured_drafts(work.store, work.task, drafts)
    findings: dict[str, tuple[Finding, ...]] = {}
    for item in panels:
        rest = session.findings.get(item.draft.id, ())
        own = ambiguity_findings(item)
        findings[item.draft.id] = (*own, *(f for f in rest if not f.id.startswith("measured:")))
        if not own:
            work.notes.append(
                f"{item.draft.id}: no clause splits the readings beyond the noise of the judges."
            )
    questions = await next_questions(session, panels, work.writer)
    first = len(session.questions) + 1
    event = work.event(session, "examine").model_copy(
        update={
            "examined_drafts": tuple(findings),
            "findings": findings,
            "questions": tuple(with_ids(questions, first)),
            "search_scope": (*session.search_scope, *(item.panel.statement for item in panels)),
            "model": work.model_step,
        }
    )
    await work.write(event)
    return session.after(event)
