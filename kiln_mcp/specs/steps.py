"""The steps of a session: draft, examine and ask; take answers and edits in; save.

Each step is one event, written once even if the process is killed and its job starts again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Final

import anyio

from kiln_mcp.llm.errors import ModelError
from kiln_mcp.spec_texts.findings import RULES
from kiln_mcp.spec_texts.session_events import (
    AskedQuestion,
    Draft,
    ModelStep,
    SessionEvent,
    SpecSession,
    Step,
)
from kiln_mcp.spec_texts.session_files import append_event, read_sessions
from kiln_mcp.spec_texts.spec_content import Finding
from kiln_mcp.specs.answer_clauses import (
    assume_answers,
    needs_words,
    take_answer,
    take_proposal,
)
from kiln_mcp.specs.arguments import DraftEdit, QuestionAnswer
from kiln_mcp.specs.draft_findings import (
    DraftFindings,
    Surroundings,
    find_by_rules,
    find_with_model,
    findings_that_stay,
)
from kiln_mcp.specs.drafts import draft_by_rules
from kiln_mcp.specs.examination import search_scope
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
from storage import ProjectStore, Task, new_id

YOU: Final = "you"
CALLS_OF_DRAFT: Final = 3
"""The most that a model is asked about one draft: what is weak, whether that holds, questions."""
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
    """

    store: ProjectStore
    task: Task
    author: str
    job: str = ""
    writer: SpecWriter | None = None
    by: str = RULES
    notes: list[str] = field(default_factory=list[str])
    is_batch: bool = False
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
    place = Surroundings(work.store, work.task, start.sources.texts)
    result = await examine(work, session, place, asks_model=start.asks_model)
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
    work: SessionWork, session: SpecSession, place: Surroundings, *, asks_model: bool
) -> Mapping[str, object]:
    """Return what is weak about the open drafts, and what to ask: parts of an event."""
    drafts = [draft for draft in session.open_drafts if not draft.is_saved] or session.open_drafts
    outputs = await real_outputs(work.store, work.task)
    result = DraftFindings(
        dict(await find_by_rules(place, drafts)),
        search_scope([draft.content for draft in drafts], None),
    )
    questions: list[AskedQuestion] = []
    if asks_model and work.writer is not None:
        result = await _look_with_model(work, place, (drafts, outputs), questions)
    findings = result.by_draft
    pool = QuestionPool(outputs, [*session.questions.values(), *questions])
    for draft in drafts:
        questions += questions_about(draft, findings[draft.id], pool)
        pool = replace(pool, entry=[*pool.entry, *questions])
    room = max(0, MOST_QUESTIONS - len(session.questions))
    return {
        "examined_drafts": tuple(draft.id for draft in drafts),
        "findings": findings,
        "search_scope": result.search_scope,
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


async def _look_with_model(
    work: SessionWork,
    place: Surroundings,
    material: tuple[Sequence[Draft], Sequence[RealOutput]],
    questions: list[AskedQuestion],
) -> DraftFindings:
    """Let a model examine drafts and, at the same time, add what it would ask."""
    assert work.writer is not None, "only a model examines"
    writer, (drafts, outputs) = work.writer, material
    by_rules = await find_by_rules(place, drafts)
    result = DraftFindings(dict(by_rules))
    scope: list[str] = []

    async def ask() -> None:
        try:
            questions.extend(await _model_questions(writer, drafts, by_rules, outputs))
        except ModelError as error:
            work.notes.append(f"The model found no questions: {error}")
        else:
            scope.append(
                f"{writer.model}: cases that two careful readers decide differently, on "
                f"{min(len(outputs), OUTPUTS_SHOWN)} real outputs"
            )

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        result = await find_with_model(writer, place, drafts)
    work.notes += dict.fromkeys(result.notes)
    result.search_scope = (*result.search_scope, *scope)
    return result


async def _model_questions(
    writer: SpecWriter,
    drafts: Sequence[Draft],
    findings: Mapping[str, Sequence[Finding]],
    outputs: Sequence[RealOutput],
) -> list[AskedQuestion]:
    questions: list[AskedQuestion] = []
    for draft in drafts:
        questions += await question_with_model(writer, draft, findings[draft.id], outputs)
    return questions


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
    by_rules = await find_by_rules(
        Surroundings(work.store, work.task), list(revision.drafts.values())
    )
    findings = {
        id: (*findings_that_stay(session.findings.get(id, ()), draft.content), *by_rules[id])
        for id, draft in revision.drafts.items()
    }
    event = event.model_copy(update={"examined_drafts": tuple(findings), "findings": findings})
    await work.write(event)
    return session.after(event)


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
