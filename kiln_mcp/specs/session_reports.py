"""The answer of a call: where its session stands, what to ask, and what comes next."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

from kiln_mcp.evaluators.check_suggestions import check_steps
from kiln_mcp.projects.project_references import handles
from kiln_mcp.spec_texts.findings import is_alarm
from kiln_mcp.spec_texts.session_events import AskedQuestion, ClauseEdit, Draft, SpecSession
from kiln_mcp.spec_texts.spec_content import Finding, Polarity
from kiln_mcp.specs.answers import (
    ClauseOfDraft,
    DraftOfSpec,
    Edit,
    ExampleOfDraft,
    FindingInDraft,
    Question,
    SpecSessionReport,
)
from kiln_mcp.specs.draft_fields import fields_of_draft
from kiln_mcp.specs.real_outputs import real_outputs
from kiln_mcp.specs.session_work import SessionWork
from storage import Eval, EvalConfig, ProjectStore, Spec
from storage.errors import NextStep
from storage.text.excerpts import excerpt

_LONGEST_OUTPUT: Final = 1200
_LONGEST_EXAMPLE: Final = 200
_MOST_FINDINGS: Final = 6
_MOST_HINTS: Final = 4
_MOST_EDITS: Final = 8
_MOST_EXAMPLES: Final = 4


@dataclass(frozen=True, slots=True)
class ReportView:
    """How much an answer shows.

    Attributes:
        first_event: The first event of the session that this call wrote.
        is_whole: Whether everything is shown, as for Python and the command line.
    """

    first_event: int = 0
    is_whole: bool = False


async def session_report(
    work: SessionWork, session: SpecSession, view: ReportView
) -> SpecSessionReport:
    """Return where a session stands."""
    drafts = session.open_drafts
    questions = session.open_questions
    by_draft = [
        (draft.id, finding)
        for draft in drafts
        for finding in sorted(session.findings.get(draft.id, ()), key=lambda f: -f.confidence)
    ]
    findings = [_finding(draft, item) for draft, item in by_draft if is_alarm(item)]
    hints = [_finding(draft, item) for draft, item in by_draft if not is_alarm(item)]
    limit = len(findings) if view.is_whole else _MOST_FINDINGS
    edits = _edits(session, view)
    is_saved = bool(drafts) and all(draft.is_saved for draft in drafts)
    return SpecSessionReport(
        session=session.id,
        specs=[await _draft(work.store, draft, view) for draft in drafts],
        author=work.by,
        question=_question(questions[0], view) if questions else None,
        open_questions=len(questions),
        findings=findings[:limit],
        further_findings=len(findings[limit:]),
        hints=hints[: len(hints) if view.is_whole else _MOST_HINTS],
        search_scope=list(session.search_scope),
        edits=[_edit(edit) for edit in edits],
        unused_answers=list(session.unused_answers) if len(session.events) > 1 else [],
        saved=is_saved,
        look_at=[*work.look_at, *_look_at(drafts, questions)] if work.is_batch else [],
        model=work.model_step,
        message=" ".join(work.notes) or None,
        next=await _next(work, session, drafts),
    )


def _finding(draft: str, finding: Finding) -> FindingInDraft:
    return FindingInDraft(
        draft=draft,
        kind=finding.kind,
        clause=finding.clause,
        words=excerpt(finding.words),
        why=finding.why,
        mend=finding.mend,
        source=finding.source,
    )


def _edits(session: SpecSession, view: ReportView) -> list[ClauseEdit]:
    """Return the changes of this call, the newest state of each.

    A call that changes nothing takes the session up: it gets the session's last changes.
    """
    changed: dict[str, ClauseEdit] = {}
    events = session.events[view.first_event :]
    for event in events:
        changed.update({edit.id: edit for edit in event.edits})
    edits = list(changed.values()) if events else list(session.edits.values())
    if view.is_whole:
        return edits
    return edits[:_MOST_EDITS] if events else edits[-_MOST_EDITS:]


def _edit(edit: ClauseEdit) -> Edit:
    return Edit(
        id=edit.id,
        draft=edit.draft,
        target=edit.target,
        old=edit.old,
        new=edit.new,
        reason=edit.reason,
        state=edit.state,
    )


def _question(entry: AskedQuestion, view: ReportView) -> Question:
    longest = 100_000 if view.is_whole else _LONGEST_OUTPUT
    question = entry.question
    return Question(
        id=question.id,
        draft=entry.draft,
        question=question.text,
        options=[option.text for option in question.options],
        input=excerpt(question.input, longest),
        output=excerpt(question.output, longest),
    )


async def _draft(store: ProjectStore, draft: Draft, view: ReportView) -> DraftOfSpec:
    content = draft.content
    longest = 100_000 if view.is_whole else _LONGEST_EXAMPLE
    limit = len(content.examples) if view.is_whole else _MOST_EXAMPLES
    eval_name, judge = await _measures(store, draft)
    spec_handles = await handles(store, Spec) if draft.spec_id else {}
    return DraftOfSpec(
        id=draft.id,
        spec_id=draft.spec_id,
        handle=spec_handles.get(draft.spec_id or ""),
        name=content.name,
        kind=content.kind,
        priority=draft.priority,
        tags=list(draft.tags),
        clauses=[
            ClauseOfDraft(
                id=clause.id,
                text=clause.text,
                polarity=clause.polarity,
                by=clause.origin.author,
                is_assumed=clause.origin.is_assumed,
            )
            for clause in content.clauses
        ],
        examples=[
            ExampleOfDraft(
                id=example.id,
                verdict=example.verdict,
                input=excerpt(example.input, longest),
                output=excerpt(example.output, longest),
                why=example.reason,
                is_assumed=example.origin.is_assumed,
            )
            for example in content.examples[:limit]
        ],
        assumptions=list(content.assumptions),
        omissions=list(draft.omissions),
        is_saved=draft.is_saved,
        eval=eval_name,
        judge=judge,
        fields=fields_of_draft(draft) if view.is_whole else None,
    )


async def _measures(store: ProjectStore, draft: Draft) -> tuple[str | None, str | None]:
    """Return the names of a draft's eval and of its current judge."""
    if draft.eval_id is None:
        return None, None
    eval_record = await store.find(Eval, draft.eval_id)
    for judge in await store.children(eval_record, EvalConfig):
        if judge.id == eval_record.current_config_id:
            return eval_record.name, judge.name
    return eval_record.name, None


def _look_at(drafts: Sequence[Draft], questions: Sequence[AskedQuestion]) -> list[str]:
    """Return what nobody has decided: assumed clauses and examples, and open questions."""
    notes: list[str] = []
    for draft in drafts:
        content = draft.content
        guesses = [
            clause.id
            for clause in (*content.clauses, *content.examples)
            if clause.origin.is_assumed
        ]
        if guesses:
            notes.append(f"{draft.id}: nobody said {', '.join(guesses)}.")
        notes += [f"{draft.id}: {text}" for text in content.assumptions]
    return [*notes, *(f"{entry.question.id}: {entry.question.text}" for entry in questions)]


async def _next(work: SessionWork, session: SpecSession, drafts: Sequence[Draft]) -> list[NextStep]:
    steps: list[NextStep] = []
    questions = session.open_questions
    if questions:
        form = f'[{{"question": "{questions[0].question.id}", "answer": "their words"}}]'
        reason = f"ask the person the question, and pass their answer on as answers: {form}"
        steps.append(NextStep(tool="build_spec", reason=reason, arguments={"session": session.id}))
    if work.label_count and work.judge_model:
        reason = f"see which of {work.label_count} labels the change would flip, for its cost"
        steps.append(_measure_step(session, work.judge_model, reason))
    elif not questions and work.writer is not None and any(not d.is_saved for d in drafts):
        reason = "measure on real outputs where readers of its clauses part, and ask about that"
        if session.panel_repeats:
            reason = f"ask the panel {session.panel_repeats} times: it could not tell before"
        steps.append(_measure_step(session, work.writer.model, reason))
    if any(not draft.is_saved for draft in drafts):
        reason = "save it once the person agrees" if questions else "save it if the person agrees"
        arguments: dict[str, str | bool] = {"session": session.id, "save": True}
        steps.append(NextStep(tool="build_spec", reason=reason, arguments=dict(arguments)))
        return steps
    return [*steps, *await _after_saving(work, drafts)]


def _measure_step(session: SpecSession, model: str, reason: str) -> NextStep:
    arguments: dict[str, JsonValue] = {"session": session.id, "model": model}
    return NextStep(tool="build_spec", reason=reason, arguments=arguments)


async def _after_saving(work: SessionWork, drafts: Sequence[Draft]) -> list[NextStep]:
    """Return what follows once all is saved: checks, labels, a judge."""
    texts = [
        clause.text
        for draft in drafts
        for clause in draft.content.clauses
        if clause.polarity in Polarity
    ]
    suggestions = check_steps(texts)
    if drafts and all(draft.id in work.agreed_drafts for draft in drafts):
        return [*suggestions, NextStep(tool="run_eval", reason="measure: the judges are agreed on")]
    evals = [
        draft.eval_id for draft in drafts if draft.eval_id and draft.id not in work.agreed_drafts
    ]
    if not evals:
        names: list[JsonValue] = [draft.content.name for draft in drafts if draft.eval_id is None]
        arguments: dict[str, JsonValue] = {"eval": names[0], "spec": names[0]} if names else {}
        step = NextStep(
            tool="create_evaluator", reason="measure outputs by it", arguments=arguments
        )
        return [*suggestions, step]
    if await real_outputs(work.store, work.task):
        label = NextStep(
            tool="draw_items_to_label",
            reason="let the person judge real outputs blind, for all these specs at once",
            arguments={"eval": list(evals), "outputs": "all", "purpose": "review"},
        )
        return [*suggestions, label]
    return [*suggestions, NextStep(tool="generate_data", reason="make items to measure it on")]
