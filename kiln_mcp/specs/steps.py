"""The steps of a session: draft, examine and ask; take answers and edits in; save.

Each step is one event, written once even if the process is killed and its job starts again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Final

import anyio

from kiln_mcp.llm.errors import ModelError
from kiln_mcp.spec_texts.content_files import clauses_of
from kiln_mcp.spec_texts.findings import RULES, findings_that_stay
from kiln_mcp.spec_texts.session_events import (
    AskedQuestion,
    Draft,
    ModelStep,
    SessionEvent,
    SpecSession,
    Step,
)
from kiln_mcp.spec_texts.session_files import append_event, read_sessions
from kiln_mcp.spec_texts.spec_checks import CheckContext, check_content
from kiln_mcp.spec_texts.spec_content import Finding
from kiln_mcp.specs.answer_clauses import (
    assume_answers,
    needs_words,
    take_answer,
    take_proposal,
)
from kiln_mcp.specs.arguments import DraftEdit, QuestionAnswer
from kiln_mcp.specs.drafts import draft_by_rules
from kiln_mcp.specs.examination import examination_note, task_context
from kiln_mcp.specs.examination import examine as examine_with_model
from kiln_mcp.specs.measured_questions import measured_drafts, next_questions
from kiln_mcp.specs.model_calls import (
    OUTPUTS_SHOWN,
    DraftRequest,
    SpecWriter,
    draft_with_model,
    question_with_model,
    refine_with_model,
)
from kiln_mcp.specs.questions import MOST_QUESTIONS, QuestionPool, questions_about, with_ids
from kiln_mcp.specs.real_outputs import RealOutput, real_outputs
from kiln_mcp.specs.revisions import PERSON, Reason, Revision, edit_draft
from kiln_mcp.specs.sources import Sources, with_evidence
from kiln_mcp.specs.spec_storage import SaveRequest, save_session
from storage import ProjectStore, Spec, Task, new_id

YOU: Final = "you"
_ID_DIGITS: Final = 12


@dataclass(slots=True)
class SessionWork:
    """What the steps of one call work with.

    Attributes:
        store: The project.
        task: The task of the session.
        author: The person, and the assistant that passed it on.
        job: The job of the call; "" outside of jobs.
        writer: The model; None if rules do it.
        by: Who did the last step: rules, you, or the model.
        notes: What the person should know, as sentences.
        is_batch: Whether answers are assumed, so that a person has still to look at them.
        look_at: What was assumed.
        texts: Source texts that the drafts may rest on.
    """

    store: ProjectStore
    task: Task
    author: str
    job: str = ""
    writer: SpecWriter | None = None
    by: str = RULES
    notes: list[str] = field(default_factory=list[str])
    is_batch: bool = False
    texts: Sequence[str] = ()
    look_at: list[str] = field(default_factory=list[str])

    async def write(self, event: SessionEvent) -> None:
        """Save an event."""
        async with self.store.transaction(is_patient=True) as change:
            append_event(change, self.task, event)

    def event(self, session: SpecSession, step: Step) -> SessionEvent:
        """Return an event of this call, still empty."""
        return SessionEvent(session=session.id, step=step, by=self.author, job=self.job)

    @property
    def model_step(self) -> ModelStep | None:
        """What this call entry a model; None if it entry nothing."""
        return self.writer.step() if self.writer is not None and self.writer.steps else None

    async def read(self, session_id: str) -> SpecSession:
        """Return a session as it is saved now."""
        sessions = await read_sessions(self.store, self.task)
        return next((s for s in sessions if s.id == session_id), SpecSession(id=session_id))


@dataclass(frozen=True, slots=True)
class SessionStart:
    """What a new session begins with.

    Attributes:
        request: What a model or rules draft from.
        references: The sources, as the caller named them.
        sources: What these are.
        drafts: Drafts that are there already: the caller's own, or a saved spec.
        asks_model: Whether a model looks for questions, if one is at hand.
    """

    request: DraftRequest
    references: Sequence[str] = ()
    sources: Sources = field(default_factory=Sources)
    drafts: Sequence[Draft] = ()
    asks_model: bool = True


def session_id(job: str) -> str:
    """Return the id of a new session; a second attempt of a job gets the same one."""
    if not job:
        return new_id()
    number = int.from_bytes(blake2b(job.encode(), digest_size=8).digest(), "big")
    return str(number % 10**_ID_DIGITS).zfill(_ID_DIGITS)


async def open_session(work: SessionWork, start: SessionStart) -> SpecSession:
    """Draft, examine and ask: the first step of a session."""
    id = session_id(work.job)
    session = await work.read(id)
    if session.has_job(work.job):
        return session
    drafts = list(start.drafts) or await _drafts(work, start)
    if start.sources.runs:
        drafts = [with_evidence(drafts[0], start.sources.runs), *drafts[1:]]
    event = work.event(session, "draft").model_copy(
        update={
            "wish": start.request.wish,
            "sources": tuple(start.references),
            "drafts": tuple(drafts),
        }
    )
    session = session.after(event)
    work.texts = start.sources.texts
    result = await examine(work, session, asks_model=start.asks_model)
    event = event.model_copy(update={**result, "model": work.model_step})
    await work.write(event)
    return await work.read(id)


async def _drafts(work: SessionWork, start: SessionStart) -> list[Draft]:
    request = start.request
    if work.writer is not None:
        work.by = work.writer.model
        return list(await draft_with_model(work.writer, request))
    if start.sources.drafts and not request.wish:
        return list(start.sources.drafts)
    wish = request.wish or start.sources.wish
    return list(draft_by_rules(wish, request.kind, request.name))


async def examine(
    work: SessionWork, session: SpecSession, *, asks_model: bool
) -> Mapping[str, object]:
    """Return what is weak about the open drafts, and what to ask: parts of an event."""
    drafts = [draft for draft in session.open_drafts if not draft.is_saved] or session.open_drafts
    outputs = await real_outputs(work.store, work.task)
    contexts = await _contexts(work, drafts)
    findings = {draft.id: check_content(draft.content, contexts[draft.id]) for draft in drafts}
    result = _ModelFindings()
    if asks_model and work.writer is not None:
        result = await _ask_model(work, drafts, contexts, (findings, outputs))
    search_scope = [_scope(work, draft, result.findings) for draft in drafts]
    search_scope += result.scope
    questions, findings = result.questions, findings | result.findings
    pool = QuestionPool(outputs, [*session.questions.values(), *questions])
    for draft in drafts:
        questions += questions_about(draft, findings[draft.id], pool)
        pool = replace(pool, entry=[*pool.entry, *questions])
    room = max(0, MOST_QUESTIONS - len(session.questions))
    return {
        "examined_drafts": tuple(draft.id for draft in drafts),
        "findings": findings,
        "search_scope": tuple(dict.fromkeys(search_scope)),
        "questions": tuple(with_ids(_in_turn(questions), len(session.questions) + 1, room)),
    }


def _in_turn(questions: Sequence[AskedQuestion]) -> list[AskedQuestion]:
    """Return questions so that each draft gets its turn."""
    by_draft: dict[str, list[AskedQuestion]] = {}
    for entry in questions:
        by_draft.setdefault(entry.draft, []).append(entry)
    longest = max(map(len, by_draft.values()), default=0)
    return [
        own[number] for number in range(longest) for own in by_draft.values() if number < len(own)
    ]


def _scope(work: SessionWork, draft: Draft, by_model: Mapping[str, object]) -> str:
    """Return what was looked for in a draft, and by whom."""
    model = work.writer.model if work.writer is not None and draft.id in by_model else None
    return examination_note(draft.content, model)


async def _contexts(work: SessionWork, drafts: Sequence[Draft]) -> dict[str, CheckContext]:
    """Return what binds each draft beside itself: the task, the other specs, the other drafts."""
    specs = {
        spec.id: await clauses_of(work.store, spec)
        for spec in await work.store.children(work.task, Spec)
    }
    documents = {f"Source {number}": text for number, text in enumerate(work.texts, 1)}
    contexts: dict[str, CheckContext] = {}
    for draft in drafts:
        saved = {id: content for id, content in specs.items() if id != draft.spec_id}
        rest = {item.spec_id or item.id: item.content for item in drafts if item is not draft}
        contexts[draft.id] = task_context(work.task, [*{**saved, **rest}.values()], documents)
    return contexts


@dataclass(slots=True)
class _ModelFindings:
    """What a model found in drafts, what it asks about them, and what it looked for."""

    findings: dict[str, tuple[Finding, ...]] = field(default_factory=dict[str, tuple[Finding, ...]])
    questions: list[AskedQuestion] = field(default_factory=list[AskedQuestion])
    scope: list[str] = field(default_factory=list[str])


async def _ask_model(
    work: SessionWork,
    drafts: Sequence[Draft],
    contexts: Mapping[str, CheckContext],
    rules: tuple[Mapping[str, tuple[Finding, ...]], Sequence[RealOutput]],
) -> _ModelFindings:
    """Let the model examine all drafts and ask about them, side by side.

    Args:
        work: The call.
        drafts: The drafts.
        contexts: What binds each of them.
        rules: What the rules found in each, and real outputs of the task.
    """
    writer, (findings, outputs) = work.writer, rules
    assert writer is not None, "a model is asked"
    result = _ModelFindings()
    by_draft: dict[str, list[AskedQuestion]] = {}

    async def look(draft: Draft) -> None:
        try:
            result.findings[draft.id] = await examine_with_model(
                writer, draft.content, contexts[draft.id], findings[draft.id]
            )
        except ModelError as error:
            work.notes.append(f"The model did not examine {draft.id}: {error}")

    async def ask(draft: Draft) -> None:
        try:
            by_draft[draft.id] = await question_with_model(
                writer, draft, findings[draft.id], outputs
            )
        except ModelError as error:
            work.notes.append(f"The model found no questions about {draft.id}: {error}")

    async with anyio.create_task_group() as group:
        for draft in drafts:
            group.start_soon(look, draft)
            group.start_soon(ask, draft)
    result.questions = [entry for draft in drafts for entry in by_draft.get(draft.id, [])]
    if by_draft:
        count = min(len(outputs), OUTPUTS_SHOWN)
        result.scope.append(f"{writer.model} looked for questions on {count} real outputs.")
    return result


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
    return await _write_revision(work, session, revision)


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
    return await _write_revision(work, session, revision, "answer")


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


async def _write_revision(
    work: SessionWork, session: SpecSession, revision: Revision, step: Step = "edit"
) -> SpecSession:
    event = work.event(session, step).model_copy(
        update={
            "drafts": tuple(revision.drafts.values()),
            "edits": tuple(revision.edits),
            "answers": tuple(revision.answers),
            "unused_answers": tuple(revision.unused_answers),
            "model": work.model_step,
        }
    )
    changed = [draft for draft in revision.drafts.values() if not draft.is_dropped]
    contexts = await _contexts(work, [revision.draft(id) for id in revision.draft_ids])
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
            "questions": tuple(await _next_questions(work, session.after(event))),
        }
    )
    await work.write(event)
    return session.after(event)


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
