"""Have a panel judge the clauses of a session's drafts, and ask where its readings part."""

from collections.abc import Sequence
from dataclasses import dataclass

from kiln_mcp.approvals.plan import Plan
from kiln_mcp.llm import Engine
from kiln_mcp.run_configs.cost_estimates import estimate_cost
from kiln_mcp.spec_texts.clause_readings import describes_fault
from kiln_mcp.spec_texts.session_events import SpecSession
from kiln_mcp.spec_texts.spec_content import Finding
from kiln_mcp.specs.clause_panel import REPEATS, ClausePanel, PanelRequest, propose_panel
from kiln_mcp.specs.label_trials import LabelTrial, plan_trials
from kiln_mcp.specs.measured_questions import (
    ambiguity_findings,
    measured_drafts,
    next_questions,
    panel_clause,
)
from kiln_mcp.specs.panel_calls import KIND
from kiln_mcp.specs.panel_storage import store_panel
from kiln_mcp.specs.questions import with_ids
from kiln_mcp.specs.session_work import SessionWork
from kiln_mcp.workbench.capability import Proposal
from kiln_mcp.workbench.workspace import Workspace


@dataclass(frozen=True, slots=True)
class MeasurementWork:
    """What a measurement asks: a panel about clauses, and changed judges about labelled outputs."""

    engine: Engine
    panel: Proposal[ClausePanel]
    trials: Sequence[LabelTrial]


async def propose_measurement(
    workspace: Workspace, work: SessionWork, session: SpecSession, model: str
) -> tuple[Plan, MeasurementWork]:
    """Plan to ask one panel about the clauses of all drafts, and changed judges about labels.

    One panel costs less than one for each draft, and the more clauses it has, the better it tells
    an ambiguous one from what its readings always disagree on.

    Raises:
        NothingToEvaluate: The task has no output.
        ModelError: The model cannot answer.
    """
    drafts = session.open_drafts
    faults = {
        panel_clause(draft, clause).id
        for draft in drafts
        for clause in draft.content.clauses
        if describes_fault(draft.content.kind, clause)
    }
    clauses = [panel_clause(draft, clause) for draft in drafts for clause in draft.content.clauses]
    repeats = session.panel_repeats or REPEATS
    request = PanelRequest(models=[model], faults=faults, repeats=repeats)
    panel = await propose_panel(workspace, work.store, work.task, clauses, request)
    trials = await plan_trials(work.store, work.task, session, model)
    result = MeasurementWork(workspace.engine, panel, trials)
    if not trials:
        return panel.plan, result
    items = sum(len(trial.items) for trial in trials)
    summary = f"{panel.plan.summary} Ask the changed judges about {items} labelled outputs."
    calls = {model: panel.plan.calls + sum(trial.calls for trial in trials)}
    return await estimate_cost(workspace.engine, summary, calls, KIND), result


def _repeats_that_tell(panel: ClausePanel) -> int | None:
    """Return how many repeats would tell of each clause; None if more of them do not help.

    The earlier verdicts come from the response cache, so that only the new ones are paid for.
    """
    return max((entry.repeats for entry in panel.ambiguities if entry.repeats), default=None)


async def measure_session(
    work: SessionWork, session: SpecSession, measurement: MeasurementWork
) -> SpecSession:
    """Ask the models, note what they found, and ask the person where readings part."""
    if session.has_step(work.job, "examine"):
        return session
    panel = await measurement.panel.carry_out()
    await store_panel(work.store, work.task, panel)
    flips = [await trial.run(measurement.engine, work.task) for trial in measurement.trials]
    work.notes += [*flips, panel.statement, *panel.failures]
    drafts = session.open_drafts
    panels = await measured_drafts(work.store, work.task, drafts)
    findings: dict[str, tuple[Finding, ...]] = {}
    for item in panels:
        rest = session.findings.get(item.draft.id, ())
        own = ambiguity_findings(item)
        findings[item.draft.id] = (*own, *(f for f in rest if not f.id.startswith("measured:")))
        if not own:
            work.notes.append(item.statement)
    questions = await next_questions(session, panels, work.writer)
    first = len(session.questions) + 1
    event = work.event(session, "examine").model_copy(
        update={
            "examined_drafts": tuple(findings),
            "findings": findings,
            "questions": tuple(with_ids(questions, first)),
            "search_scope": tuple(dict.fromkeys((*session.search_scope, *flips, panel.statement))),
            "model": work.model_step,
            "panel_repeats": _repeats_that_tell(panel) or 0,
        }
    )
    await work.write(event)
    return session.after(event)
