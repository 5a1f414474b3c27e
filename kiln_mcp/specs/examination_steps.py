"""What is weak about the drafts of a session, and what to ask: by checks and by a model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import anyio

from kiln_mcp.llm.errors import ModelError
from kiln_mcp.spec_texts.content_files import clauses_of
from kiln_mcp.spec_texts.session_events import (
    AskedQuestion,
    Draft,
    SpecSession,
)
from kiln_mcp.spec_texts.spec_checks import CheckContext, check_content
from kiln_mcp.spec_texts.spec_content import Finding
from kiln_mcp.specs.examination import examination_note, task_context
from kiln_mcp.specs.examination import examine as examine_with_model
from kiln_mcp.specs.model_calls import (
    OUTPUTS_SHOWN,
    question_with_model,
)
from kiln_mcp.specs.questions import MOST_QUESTIONS, QuestionPool, questions_about, with_ids
from kiln_mcp.specs.real_outputs import RealOutput, real_outputs
from kiln_mcp.specs.session_work import SessionWork
from storage import Spec


async def examine(
    work: SessionWork, session: SpecSession, *, asks_model: bool
) -> Mapping[str, object]:
    """Return what is weak about the open drafts, and what to ask: parts of an event."""
    drafts = [draft for draft in session.open_drafts if not draft.is_saved] or session.open_drafts
    outputs = await real_outputs(work.store, work.task)
    contexts = await contexts_of(work, drafts)
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
        pool = replace(pool, earlier_questions=[*pool.earlier_questions, *questions])
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


async def contexts_of(work: SessionWork, drafts: Sequence[Draft]) -> dict[str, CheckContext]:
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
