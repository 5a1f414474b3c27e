"""The steps of a session: draft, examine and ask; take answers and edits in; save.

Each step is one event, written once even if the process is killed and its job starts again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Final

from kiln_mcp.llm.errors import ModelError
from kiln_mcp.spec_texts.content_fields import one_line
from kiln_mcp.spec_texts.findings import RULES, findings_that_stay
from kiln_mcp.spec_texts.session_events import (
    AnswerGiven,
    AskedQuestion,
    Draft,
    SpecSession,
    Step,
)
from kiln_mcp.spec_texts.session_files import read_sessions
from kiln_mcp.spec_texts.spec_checks import check_content
from kiln_mcp.spec_texts.spec_content import Origin
from kiln_mcp.specs.answer_clauses import (
    assume_answers,
    needs_words,
    take_answer,
    take_proposal,
)
from kiln_mcp.specs.arguments import DraftEdit, QuestionAnswer
from kiln_mcp.specs.draft_edits import edit_draft
from kiln_mcp.specs.drafts import acceptable, draft_by_rules
from kiln_mcp.specs.examination_steps import contexts_of, examine
from kiln_mcp.specs.measured_questions import measured_drafts, next_questions
from kiln_mcp.specs.model_calls import (
    DraftRequest,
    draft_with_model,
    refine_with_model,
)
from kiln_mcp.specs.questions import with_ids
from kiln_mcp.specs.revisions import PERSON, Reason, Revision
from kiln_mcp.specs.session_work import SessionWork
from kiln_mcp.specs.sources import Sources, with_evidence
from kiln_mcp.specs.spec_storage import SaveRequest, save_session
from storage import new_id

YOU: Final = "you"
_ID_DIGITS: Final = 12


@dataclass(frozen=True, slots=True)
class SessionStart:
    """What a new session begins with.

    Attributes:
        request: What a model or rules draft from.
        references: The sources, as the caller named them.
        sources: What these are.
        drafts: Drafts that are there already: the caller's own, or a saved spec.
        asks_model: Whether a model looks for questions, if one is at hand.
        goal: The agreement of judge and person that the person asks for; None for no word on it.
    """

    request: DraftRequest
    references: Sequence[str] = ()
    sources: Sources = field(default_factory=Sources)
    drafts: Sequence[Draft] = ()
    asks_model: bool = True
    goal: float | None = None


def session_id(job: str) -> str:
    """Return the id of a new session; a second attempt of a job gets the same one."""
    if not job:
        return new_id()
    number = int.from_bytes(blake2b(job.encode(), digest_size=8).digest(), "big")
    return str(number % 10**_ID_DIGITS).zfill(_ID_DIGITS)


async def open_session(work: SessionWork, start: SessionStart) -> SpecSession:
    """Draft, examine and ask: the first step of a session.

    A call that is repeated goes on with the session that it opened, unless somebody worked on it.
    """
    id = session_id(work.job)
    session = await work.read(id)
    if session.has_job(work.job):
        return session
    if (same := await _same_beginning(work, start)) is not None:
        return same
    drafts = list(start.drafts) or await _drafts(work, start)
    if start.sources.runs:
        drafts = [with_evidence(drafts[0], start.sources.runs), *drafts[1:]]
    event = work.event(session, "draft").model_copy(
        update={
            "wish": start.request.wish,
            "sources": tuple(start.references),
            "drafts": tuple(drafts),
            "goal": start.goal,
        }
    )
    session = session.after(event)
    work.texts = start.sources.texts
    result = await examine(work, session, asks_model=start.asks_model)
    event = event.model_copy(update={**result, "model": work.model_step})
    await work.write(event)
    return await work.read(id)


async def _same_beginning(work: SessionWork, start: SessionStart) -> SpecSession | None:
    """Return the newest session if the same call opened it and nothing came after."""
    sessions = await read_sessions(work.store, work.task)
    if not sessions or len(sessions[-1].events) != 1:
        return None
    (event,) = sessions[-1].events
    request = start.request
    names = [request.name] if request.name else []
    model = work.writer.model if work.writer is not None and start.asks_model else None
    is_same = (
        event.step == "draft"
        and event.wish == request.wish
        and (event.sources, event.goal) == (tuple(start.references), start.goal)
        and (event.model.model if event.model else None) == model
        and {acceptable(name) for name in names} <= {d.content.name for d in event.drafts}
        and all(request.kind in {None, draft.content.kind} for draft in event.drafts)
        and (not start.drafts or event.drafts == tuple(start.drafts))
    )
    return sessions[-1] if is_same else None


async def _drafts(work: SessionWork, start: SessionStart) -> list[Draft]:
    request = start.request
    if work.writer is not None:
        work.by = work.writer.model
        return list(await draft_with_model(work.writer, request))
    if start.sources.drafts and not request.wish:
        return list(start.sources.drafts)
    wish = request.wish or start.sources.wish
    return list(draft_by_rules(wish, request.kind, request.name))


async def state_goal(work: SessionWork, session: SpecSession, goal: float | None) -> SpecSession:
    """Record the agreement of judge and person that the person asks for, if it is another one."""
    if goal is None or goal == session.goal:
        return session
    event = work.event(session, "open").model_copy(update={"goal": goal})
    await work.write(event)
    return session.after(event)


async def change_session(
    work: SessionWork,
    session: SpecSession,
    answers: Sequence[QuestionAnswer],
    edits: Sequence[DraftEdit],
) -> SpecSession:
    """Take a person's answers and edits in, and examine what changed again."""
    if session.has_step(work.job, "edit"):
        return session
    revision = Revision(session)
    if answers:
        work.by = RULES
        await _take_answers(work, revision, answers)
    for edit in edits:
        work.by = YOU
        reason = Reason(edit.reason, PERSON, YOU)
        edit_draft(revision, edit.target, edit.text, reason)
    if revision.changes_nothing and not revision.unused_answers:
        return session  # the answer of an earlier call was lost
    return await write_revision(work, session, revision)


async def assume(work: SessionWork, session: SpecSession) -> SpecSession:
    """Answer the open questions by the plainest reading; what was assumed stays marked."""
    if session.has_step(work.job, "answer"):
        return session
    work.is_batch = True
    revision = Revision(session)
    assumptions = assume_answers(revision)
    for id in dict.fromkeys(answer.question for answer in revision.answers):
        entry = session.questions[id]
        draft = revision.draft(entry.draft)
        line = next(a for a in assumptions if entry.question.text in a)
        content = replace(draft.content, assumptions=(*draft.content.assumptions, line))
        revision.drafts[draft.id] = draft.replace(content=content)
    work.look_at += assumptions
    return await write_revision(work, session, revision, "answer")


async def _take_answers(
    work: SessionWork, revision: Revision, answers: Sequence[QuestionAnswer]
) -> None:
    """Take answers in: options by rules, own words by the model if one is at hand."""
    own_words: dict[str, list[tuple[AskedQuestion, QuestionAnswer]]] = {}
    for item in answers:
        entry = needs_words(revision, item.question, item.answer) if work.writer else None
        if entry is None:
            take_answer(revision, item.question, item.answer)
        else:
            own_words.setdefault(entry.draft, []).append((entry, item))
    for draft_id, items in own_words.items():
        await _word_answers(work, revision, draft_id, items)


async def _word_answers(
    work: SessionWork,
    revision: Revision,
    draft_id: str,
    items: Sequence[tuple[AskedQuestion, QuestionAnswer]],
) -> None:
    assert work.writer is not None, "only a model words answers"
    pairs = [(entry.question, item.answer) for entry, item in items]
    try:
        draft = revision.draft(draft_id)
        proposals, unused_answers = await refine_with_model(work.writer, draft, pairs)
    except ModelError as error:
        work.notes.append(f"The answers stand in the person's own words: {error}")
        proposals, unused_answers = [], []
    else:
        work.by = work.writer.model
    revision.unused_answers += unused_answers
    for entry, item in items:
        own = [edit for edit in proposals if edit.question == entry.question.id]
        for edit in own:
            reason = Reason(
                f"{entry.question.text} {item.answer} ({edit.reason})",
                work.writer.model,
                entry.question.id,
            )
            take_proposal(revision, entry, item.answer, (edit.clause, edit.text, reason))
        if not own and not unused_answers:
            take_answer(revision, item.question, item.answer)
        elif not own and entry.question.text.casefold() in revision.own_questions:
            # Nothing followed from it: kept, so that a repeated call does not ask the model again.
            answer = AnswerGiven(question=entry.question.id, text=one_line(item.answer))
            revision.answers.append(answer)


async def write_revision(
    work: SessionWork, session: SpecSession, revision: Revision, step: Step = "edit"
) -> SpecSession:
    """Save the changes of a call, with what the rules find in them and the next questions."""
    drafts = [_saved_again(session, draft) for draft in revision.drafts.values()]
    event = work.event(session, step).model_copy(
        update={
            "drafts": tuple(drafts),
            "edits": tuple(revision.edits),
            "questions": tuple(revision.answered_questions),
            "answers": tuple(revision.answers),
            "unused_answers": tuple(revision.unused_answers),
            "model": work.model_step,
        }
    )
    changed = [draft for draft in revision.drafts.values() if not draft.is_dropped]
    contexts = await contexts_of(work, [revision.draft(id) for id in revision.draft_ids])
    findings = {
        draft.id: (
            *findings_that_stay(session.findings.get(draft.id, ()), draft.content),
            *check_content(draft.content, contexts[draft.id]),
        )
        for draft in changed
    }
    event = event.model_copy(
        update={
            "examined_drafts": tuple(findings),
            "findings": findings,
            "questions": (*event.questions, *await _next_questions(work, session.after(event))),
        }
    )
    await work.write(event)
    return session.after(event)


def _saved_again(session: SpecSession, draft: Draft) -> Draft:
    """Return a draft whose changes were all undone as it was saved; else as it is."""
    saved = session.saved_draft(draft.id)
    if saved is None or draft.is_dropped or (draft.fields and draft.fields != saved.fields):
        return draft
    return saved if _substance(draft) == _substance(saved) else draft


def _substance(draft: Draft) -> Draft:
    """Return a draft without what an edit and its undo leave: order, and who said it last."""
    content = draft.content
    clauses = (
        replace(clause, origin=Origin("", is_assumed=clause.origin.is_assumed))
        for clause in sorted(content.clauses, key=lambda clause: clause.id)
    )
    examples = sorted(content.examples, key=lambda example: example.id)
    parts = replace(
        content,
        clauses=tuple(clauses),
        examples=tuple(examples),
        assumptions=tuple(content.assumptions),
    )
    return draft.model_copy(update={"content": parts, "fields": {}, "is_saved": False})


async def _next_questions(work: SessionWork, session: SpecSession) -> list[AskedQuestion]:
    """Return the next questions where the readings of an earlier panel part."""
    panels = await measured_drafts(work.store, work.task, session.open_drafts)
    questions = await next_questions(session, panels, None)
    return with_ids(questions, len(session.questions) + 1)


async def save_drafts(
    work: SessionWork, session: SpecSession, judge_model: str | None
) -> SpecSession:
    """Save the drafts that wait, all or nothing."""
    if session.has_step(work.job, "save"):
        return session
    request = SaveRequest(work.author, judge_model, work.job)
    outcome = await save_session(work.store, work.task, session, request)
    work.notes += outcome.notes
    return await work.read(session.id)
