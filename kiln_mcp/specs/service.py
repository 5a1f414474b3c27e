"""Capability: build specs in a session: draft, examine, ask, refine, save."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Final

from pydantic import BeforeValidator, Field

from kiln_mcp.approvals.plan import Plan
from kiln_mcp.llm import EMBEDDED, HOST
from kiln_mcp.projects.project_references import (
    ProjectReference,
    TaskReference,
    task_of,
    told_apart,
)
from kiln_mcp.spec_texts.content_files import clauses_of
from kiln_mcp.spec_texts.session_events import Draft, SpecSession
from kiln_mcp.spec_texts.session_files import read_sessions
from kiln_mcp.spec_texts.spec_content import SpecContent
from kiln_mcp.spec_texts.spec_kinds import SpecKind, fields_of
from kiln_mcp.specs.answer_clauses import needs_words
from kiln_mcp.specs.answers import SpecSessionReport
from kiln_mcp.specs.arguments import ASSUMPTION, DraftEdit, QuestionAnswer, read_assumption
from kiln_mcp.specs.draft_fields import fields_of_draft, with_fields
from kiln_mcp.specs.drafts import acceptable, short_name
from kiln_mcp.specs.measurement import measure_session, propose_measurement
from kiln_mcp.specs.model_calls import MOST_DRAFTS, DraftRequest, SpecWriter
from kiln_mcp.specs.review_steps import note_flips, review_labels
from kiln_mcp.specs.revisions import Revision
from kiln_mcp.specs.session_reports import ReportView, session_report
from kiln_mcp.specs.session_work import SessionWork
from kiln_mcp.specs.sources import Sources, read_sources
from kiln_mcp.specs.steps import (
    YOU,
    SessionStart,
    assume,
    change_session,
    open_session,
    save_drafts,
    state_goal,
)
from kiln_mcp.workbench.capability import (
    Discovery,
    Effect,
    Heading,
    Proposal,
    Runs,
    capability,
)
from kiln_mcp.workbench.unlisted_values import OneOf
from kiln_mcp.workbench.workspace import Workspace
from storage import ProjectStore, Spec, Task
from storage.errors import InvalidValue, NextStep

_CALLS_A_DRAFT: Final = 3
"""The most calls that examine a draft and ask about it."""
_EMBEDDED_NOTE: Final = (
    "Rules did this: the embedded model drafts no specs, finds no questions and judges nothing "
    "reliably. Name a capable `model`, or `host` for the assistant's own."
)

Kind = Annotated[
    Annotated[SpecKind, OneOf(tuple(SpecKind))] | None,
    Field(description="tone, formatting, issue..."),
]


@capability(
    effect=Effect.SPENDS,
    title="Build a spec",
    runs=Runs.AS_JOB,
    discovery=Discovery(
        Heading.SPECS,
        "define, describe, specify, criteria, acceptance criteria, rubric, rules, guidelines, "
        "policy, standards, expectations, quality bar, agree, good looks like, must, must not, "
        "never, always, allowed, forbidden, ambiguous, vague, contradictions, gaps, holes, "
        "questions, review, refine, tighten, edge cases, goal, behaviour, want it to, don't want, "
        "ever, may, should, need, requirement, change a requirement, testable, measurable, "
        "friendly, short, tone, polite, safe, safety, advice, legal, medical, misunderstood, "
        "wrong, too strict, first version, document, success, mean, what is good, definition, "
        "mean by, correct, helpful, wish, requirements, sentences, spec, requirements from a "
        "wish, ask me, formulate, have to contain, figure out what quality means, write "
        "requirements, define a failure",
        always_load=True,
        alternatives=("wish", "sources", "spec", "fields", "session", "answers"),
    ),
)
async def build_spec(
    workspace: Workspace,
    project: ProjectReference,
    wish: Annotated[str | None, Field(min_length=1, description="What is good, or wrong.")] = None,
    sources: Annotated[
        list[str] | None, Field(description="Failing runs, evals, a policy's text.")
    ] = None,
    spec: Annotated[str | None, Field(description="A saved one.")] = None,
    kind: Kind = None,
    fields: Annotated[
        dict[str, str] | None,
        Field(description="Your own, with `kind`; an error names them."),
    ] = None,
    name: str | None = None,
    session: Annotated[str | None, Field(description="Left out: the last open one.")] = None,
    answers: Annotated[list[QuestionAnswer] | None, BeforeValidator(read_assumption)] = None,
    edits: list[DraftEdit] | None = None,
    save: bool = False,
    goal: Annotated[float | None, Field(gt=0, le=1, description="Agreement to reach.")] = None,
    task: TaskReference = None,
    model: Annotated[str | None, Field(description="Left out: the default.")] = None,
) -> Proposal[SpecSessionReport]:
    """Write specs of what a good output is: draft requirements, ask what is unclear, edit, save.

    A `wish` opens a session. Ask the person its question, pass on `answers`; `save` adds an eval
    and judge. answers="assume" decides for them.
    """
    store = await workspace.open_project(project)
    owner = await task_of(store, task)
    changes = _Changes(read_assumption(answers) or (), tuple(edits or ()), save)
    beginning = _Beginning(wish, sources, kind, fields, name, model)
    start = await _start(store, owner, beginning, spec)
    call = _SessionReference(spec, session, workspace.job)
    previous = None if start else await _session(store, owner, call)
    if previous is None and start is None:
        start = await _saved_spec(store, owner, spec)
    if start is not None:
        asks_model = start.asks_model and not (changes.own_answers or changes.edits)
        start = replace(start, asks_model=asks_model, goal=goal)
    is_asked = _is_asked(start, previous, changes, workspace.model_name(model))
    writer = await _writer(workspace, owner, model) if is_asked or (start and model) else None
    if writer is not None and save:
        await workspace.check_room(store, 1)
    judge = _judge_model(workspace, model) if save else None
    work = SessionWork(store, owner, workspace.author, workspace.job, writer)

    if previous is not None and model is not None and changes.is_empty and goal is None:
        return await _measure(work, previous, workspace, model)

    async def carry_out() -> SpecSessionReport:
        if start is not None:
            current, first = await open_session(work, start), 0
            if start.drafts and not start.references:
                work.by = work.writer.model if work.writer and work.model_step else YOU
        else:
            assert previous is not None, "a call without a start has a session"
            current, first = await state_goal(work, previous, goal), len(previous.events)
        return await _go_on(work, current, changes, _View(first, judge, workspace))

    return Proposal(_plan(start, changes, writer), carry_out)


async def _measure(
    work: SessionWork, session: SpecSession, workspace: Workspace, model: str
) -> Proposal[SpecSessionReport]:
    """Propose to measure where readings of the drafts' clauses part, on the task's outputs."""
    work.writer = await _writer(workspace, work.task, model)
    plan, measurement = await propose_measurement(workspace, work, session, model)

    async def measure() -> SpecSessionReport:
        later = await measure_session(work, session, measurement)
        work.by = model
        view = ReportView(len(session.events), workspace.answer_tokens is None)
        return await session_report(work, later, view)

    return Proposal(plan, measure)


@dataclass(frozen=True, slots=True)
class _Beginning:
    """What a new session begins with, as the caller gave it."""

    wish: str | None
    sources: Sequence[str] | None
    kind: SpecKind | None
    fields: dict[str, str] | None
    name: str | None
    model: str | None


@dataclass(frozen=True, slots=True)
class _Changes:
    """What changes a session, and whether it is saved."""

    answers: Sequence[QuestionAnswer]
    edits: Sequence[DraftEdit]
    save: bool

    @property
    def is_empty(self) -> bool:
        """Whether a call changes no draft."""
        return not (self.answers or self.edits or self.save)

    @property
    def own_answers(self) -> Sequence[QuestionAnswer]:
        """The person's answers, without the word that asks to assume the others."""
        return [item for item in self.answers if item not in ASSUMPTION]

    @property
    def assumes(self) -> bool:
        """Whether the other questions are answered by the plainest reading."""
        return len(self.own_answers) < len(self.answers)


@dataclass(frozen=True, slots=True)
class _SessionReference:
    """What says which session a call goes on with."""

    spec: str | None
    session: str | None
    job: str


@dataclass(frozen=True, slots=True)
class _View:
    """The first event of the call, the judge's model, and how much is shown."""

    first_event: int
    judge_model: str | None
    workspace: Workspace


async def _go_on(
    work: SessionWork, session: SpecSession, changes: _Changes, view: _View
) -> SpecSessionReport:
    """Carry out the other steps of a call, and tell where the session stands."""
    if changes.own_answers or changes.edits:
        session = await change_session(work, session, changes.own_answers, changes.edits)
        await note_flips(work, session)
    if changes.is_empty:
        session = await review_labels(work, session)
    if changes.assumes:
        session = await assume(work, session)
    if changes.save:
        session = await save_drafts(work, session, view.judge_model)
    if work.writer is None and view.workspace.settings.default_model == EMBEDDED:
        work.notes.append(_EMBEDDED_NOTE)
    is_whole = view.workspace.answer_tokens is None
    return await session_report(work, session, ReportView(view.first_event, is_whole))


async def _start(
    store: ProjectStore, task: Task, beginning: _Beginning, spec: str | None
) -> SessionStart | None:
    """Return what a new session begins with; None if the call goes on with one.

    Raises:
        InvalidValue: Fields come without a kind, or with a saved spec.
    """
    wish, kind, fields = beginning.wish or "", beginning.kind, beginning.fields
    if spec is not None and (fields is not None or wish):
        raise await _two_specs(store, task)
    request = DraftRequest(wish, "", kind, beginning.name)
    sources = await read_sources(store, task, beginning.sources or ())
    if fields is not None:
        if kind is None:
            raise InvalidValue(
                "Nothing was done: `fields` need a `kind`, one of: {kinds}.", kinds=list(SpecKind)
            )
        draft = _own_draft(kind, fields, beginning.name, wish)
        asks_model = beginning.model is not None
        texts = Sources(texts=sources.texts)
        return SessionStart(request, sources=texts, drafts=[draft], asks_model=asks_model)
    if wish and not any(character.isalnum() for character in wish):
        raise InvalidValue(
            "Nothing was done: the wish has no words. Say in one sentence what a good output is, "
            "or what is wrong."
        )
    if not wish and beginning.sources and not sources.say_something:
        raise InvalidValue(
            "Nothing was done: these runs do not say what is wrong with them. Say it in a sentence "
            "as `wish`."
        )
    if not wish and not beginning.sources:
        return None
    request = DraftRequest(wish, sources.material, kind, beginning.name)
    return SessionStart(request, tuple(beginning.sources or ()), sources)


def _own_draft(kind: SpecKind, fields: dict[str, str], name: str | None, wish: str) -> Draft:
    """Return the caller's own draft.

    Raises:
        Refusal: Its fields do not fit the kind.
    """
    texts = {field: value for field, value in fields.items() if value.strip()}
    title = acceptable(name or "") or short_name(wish or next(iter(texts.values()), ""))
    return with_fields(Draft(id="d1", content=SpecContent(kind, title, ())), texts)


async def _saved_spec(store: ProjectStore, task: Task, spec: str | None) -> SessionStart | None:
    """Return the start of a session about a saved spec."""
    if spec is None:
        return None
    record = await store.find(Spec, spec, parent=task)
    content = await clauses_of(store, record)
    draft = with_fields(Draft(id="d1", content=content), fields_of(record))
    draft = draft.replace(
        spec_id=record.id,
        eval_id=record.eval_id,
        priority=record.priority,
        tags=record.tags,
        is_saved=True,
    )
    return SessionStart(DraftRequest("", "", content.kind, record.name), drafts=[draft])


async def _session(
    store: ProjectStore, task: Task, call: "_SessionReference"
) -> SpecSession | None:
    """Return the session that a call goes on with; None if it is about a saved spec without one.

    Raises:
        InvalidValue: There is no such session.
    """
    sessions = await read_sessions(store, task)
    spec = call.spec
    if own := [current for current in sessions if current.has_job(call.job)]:
        return own[-1]  # another attempt of the same job
    if call.session is not None:
        for current in sessions:
            if current.id == call.session.strip():
                return current
        raise InvalidValue(
            "There is no session '{session}'. Open: {ids}.",
            session=call.session,
            ids=[s.id for s in sessions if s.is_open] or "none",
        )
    if spec is not None:
        record = await store.find(Spec, spec, parent=task)
        return next((s for s in reversed(sessions) if _is_about(s, record)), None)
    open_sessions = [current for current in sessions if current.is_open]
    if open_sessions:
        return open_sessions[-1]
    if sessions and any(draft.is_saved for draft in sessions[-1].open_drafts):
        return sessions[-1]
    raise await _two_specs(store, task)


def _is_about(session: SpecSession, spec: Spec) -> bool:
    """Return whether a session has a saved spec as it is now, and something about it is open."""
    drafts = [draft for draft in session.open_drafts if draft.spec_id == spec.id]
    if not drafts or not (session.open_questions or session.is_open):
        return False
    base = session.saved_draft(drafts[0].id)
    return base is not None and fields_of_draft(base) == fields_of(spec)


async def _two_specs(store: ProjectStore, task: Task) -> InvalidValue:
    specs = await store.children(task, Spec)
    return InvalidValue(
        "Nothing was done. Say in one sentence as `wish` what a good output is. Or give either "
        "`spec` (saved: {names}) or a text of your own as `kind` and `fields`, not both. "
        "No session is open.",
        names=told_apart(specs) or "none yet",
        next=[NextStep(tool="build_spec", reason="draft one from a sentence, as `wish`")],
    )


def _is_asked(
    start: SessionStart | None, previous: SpecSession | None, changes: _Changes, model: str
) -> bool:
    """Return whether a call asks a model: to draft, to find questions, to word an answer.

    The assistant words the answers by itself if it is the model.
    """
    if start is not None and (start.asks_model or not start.drafts):
        return True
    if model == HOST:
        return False
    revision = Revision(previous or SpecSession(id=""))
    return any(
        start is not None or needs_words(revision, item.question, item.answer) is not None
        for item in changes.own_answers
    )


async def _writer(workspace: Workspace, task: Task, model: str | None) -> SpecWriter | None:
    """Return the model to ask; None if the rules must do the work."""
    name = workspace.model_name(model)
    if name == EMBEDDED:
        return None
    await workspace.engine.check_ready({name: 1})
    return SpecWriter(workspace.engine, name, task.instruction)


def _judge_model(workspace: Workspace, model: str | None) -> str | None:
    """Return the model of a judge; None if only the embedded one is at hand."""
    name = workspace.model_name(model)
    if name == EMBEDDED:
        return None
    workspace.engine.check_name(name)
    return name


def _plan(start: SessionStart | None, changes: _Changes, writer: SpecWriter | None) -> Plan:
    summary = "Draft and question specs" if start else "Go on with a session about specs"
    summary = f"{summary}, and save them." if changes.save else f"{summary}."
    if writer is None:
        return Plan(summary)
    calls = len(changes.own_answers)
    if start is not None and start.asks_model:
        calls += _CALLS_A_DRAFT * len(start.drafts) or _CALLS_A_DRAFT * MOST_DRAFTS + 1
    return Plan(summary, calls=calls, highest_cost_usd=writer.engine.price_of(writer.model, calls))
