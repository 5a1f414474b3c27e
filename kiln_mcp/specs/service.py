"""Capability: build a spec: draft it, find its gaps, work in answers, save it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Final

from pydantic import Field

from kiln_mcp.approvals.plan import Plan
from kiln_mcp.evaluators.check_suggestions import check_steps
from kiln_mcp.llm import EMBEDDED
from kiln_mcp.projects.project_references import (
    ProjectReference,
    TaskReference,
    handle_of,
    task_of,
    told_apart,
)
from kiln_mcp.spec_texts.check_hints import rule_texts
from kiln_mcp.spec_texts.lint import Gap, find_gaps
from kiln_mcp.spec_texts.spec_kinds import SpecKind, definition, fields_of, kind_of, properties_of
from kiln_mcp.specs.answers import Question, RefinedSpec, SpecDraft, SpecFieldChange, SpecGaps
from kiln_mcp.specs.arguments import FieldEdit, QuestionAnswer
from kiln_mcp.specs.drafts import Draft, draft_by_rules, short_name
from kiln_mcp.specs.model_calls import (
    MOST_QUESTIONS,
    SpecWriter,
    draft_with_model,
    question_with_model,
    refine_with_model,
)
from kiln_mcp.specs.refinement import PersonAnswer, Refinement, SpecEdit, incorporate
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

_EVALUATE: Final = NextStep(tool="create_evaluator", reason="measure outputs by it")

Kind = Annotated[
    Annotated[SpecKind, OneOf(tuple(SpecKind))] | None,
    Field(
        description="tone, formatting, factual_correctness, completeness, desired_behaviour … Left "
        "out: by the wish's words."
    ),
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
    ),
)
async def build_spec(
    workspace: Workspace,
    project: ProjectReference,
    wish: Annotated[
        str | None, Field(min_length=1, description="What is a good output, in a sentence.")
    ] = None,
    spec: Annotated[str | None, Field(description="A saved one to question or change.")] = None,
    kind: Kind = None,
    fields: Annotated[
        dict[str, str] | None,
        Field(
            description="Your own text by field, with `kind`, whose fields an error names; usually "
            "the best draft."
        ),
    ] = None,
    name: Annotated[str | None, Field(description="With `fields`: 32 characters at most.")] = None,
    answers: Annotated[
        list[QuestionAnswer] | None, Field(description="What the person answered.")
    ] = None,
    edits: Annotated[
        list[FieldEdit] | None,
        Field(description="Your own changes; usually the best way."),
    ] = None,
    save: bool = False,
    task: TaskReference = None,
    model: Annotated[
        str | None,
        Field(description="Left out: the default one. Rules do it if that is the embedded one."),
    ] = None,
) -> Proposal[SpecDraft | SpecGaps | RefinedSpec]:
    """Write a spec of what a good output is: draft requirements, ask what is unclear, edit, save.

    A `wish` gets a draft, your `fields` are checked, a saved `spec` is questioned; `answers` or
    `edits` change it.
    """
    store = await workspace.open_project(project)
    owner = await task_of(store, task)
    text = _own_text(kind, fields, name, wish)
    if text is None and spec is None and wish is not None and not (answers or edits):
        writer = await _writer(workspace, owner, model)
        return await _draft(workspace, store, owner, writer, _Wish(wish, kind, save))
    current, saved = await _current(store, owner, spec, text)
    if answers or edits or save:
        replies = [PersonAnswer(item.question, item.answer) for item in answers or []]
        writer = await _writer(workspace, owner, model) if replies and not edits else None
        changes = _Changes(replies, tuple(edits or ()), save)
        return await _refine(workspace, store, _Subject(owner, current, saved), writer, changes)
    if saved is None and model is None:
        return Proposal(_plan("Check a spec.", None), partial(_check_own, owner, current))
    writer = await _writer(workspace, owner, model)
    return _question(store, _Subject(owner, current, saved), writer)


@dataclass(frozen=True, slots=True)
class _Wish:
    """What a spec is drafted from, and whether the draft is saved."""

    text: str
    kind: SpecKind | None
    save: bool


@dataclass(frozen=True, slots=True)
class _Subject:
    """The spec of a call; `saved` is its record if it has one."""

    task: Task
    current: Draft
    saved: Spec | None


@dataclass(frozen=True, slots=True)
class _Changes:
    """What changes a spec, and whether the result is saved."""

    replies: Sequence[PersonAnswer]
    edits: Sequence[FieldEdit]
    save: bool


def _own_text(
    kind: SpecKind | None, fields: Mapping[str, str] | None, name: str | None, wish: str | None
) -> Draft | None:
    """Return the caller's own text of a spec; None if there is none.

    Raises:
        Refusal: It has no kind, or its fields do not fit the kind.
    """
    if fields is None:
        return None
    if kind is None:
        raise InvalidValue(
            "Nothing was done: `fields` need a `kind`, one of: {kinds}.", kinds=list(SpecKind)
        )
    properties_of(kind, fields)
    texts = {field: value for field, value in fields.items() if value.strip()}
    return Draft(kind, name or short_name(wish or next(iter(texts.values()), "")), texts)


async def _draft(
    workspace: Workspace, store: ProjectStore, task: Task, writer: SpecWriter | None, wish: _Wish
) -> Proposal[SpecDraft]:
    """Propose to draft a spec from a wish; rules add nothing, they sort its words into fields."""
    if writer is not None and wish.save:
        await workspace.check_room(store, 1)

    async def write_draft() -> SpecDraft:
        if writer is not None:
            created, author = await draft_with_model(writer, wish.text, wish.kind), writer.model
        else:
            created, author = draft_by_rules(wish.text, wish.kind), "rules"
        saved = await _save(store, task, created, None) if wish.save else None
        handle = await handle_of(store, saved) if saved else None
        return _draft_answer(task, created, author).model_copy(
            update={"spec_id": saved.id if saved else None, "handle": handle}
        )

    return Proposal(_plan("Draft a spec.", writer), write_draft)


async def _check_own(task: Task, draft: Draft) -> SpecDraft:
    return _draft_answer(task, draft, "you")


def _draft_answer(task: Task, draft: Draft, author: str) -> SpecDraft:
    gaps = find_gaps(draft.kind, draft.fields, task.instruction)
    return SpecDraft(
        spec_id=None,
        handle=None,
        name=draft.name,
        kind=draft.kind,
        fields=dict(draft.fields),
        author=author,
        assumptions=list(draft.assumptions),
        omissions=list(draft.omissions),
        open_gaps=len(gaps),
        questions=_questions(gaps),
        next=_next_steps(gaps),
    )


def _question(
    store: ProjectStore, subject: _Subject, writer: SpecWriter | None
) -> Proposal[SpecGaps]:
    """Propose to ask where two careful reviewers could disagree.

    Rules find vague words, several requirements in one, missing examples, contradictions, and
    requirements that no output can show. A capable model adds cases that are undecided.
    """
    current = subject.current

    async def look() -> SpecGaps:
        gaps = find_gaps(current.kind, current.fields, subject.task.instruction)
        checker = "rules"
        if writer is not None:
            gaps = (*await question_with_model(writer, current, gaps), *gaps)
            checker = f"rules and {writer.model}"
        return SpecGaps(
            spec_id=subject.saved.id if subject.saved else None,
            handle=await handle_of(store, subject.saved) if subject.saved else None,
            name=current.name,
            kind=current.kind,
            checker=checker,
            open_gaps=len(gaps),
            questions=_questions(gaps),
            next=_next_steps(gaps),
        )

    return Proposal(_plan("Look for undecided cases in a spec.", writer), look)


async def _refine(
    workspace: Workspace,
    store: ProjectStore,
    subject: _Subject,
    writer: SpecWriter | None,
    changes: _Changes,
) -> Proposal[RefinedSpec]:
    """Propose to work changes into a spec, field by field."""
    if writer is not None and changes.save:
        await workspace.check_room(store, 1)
    current = subject.current

    async def refine() -> RefinedSpec:
        if changes.edits or not changes.replies:
            refinement, author = _own_edits(current, changes.edits, changes.replies), "you"
        else:
            gaps = find_gaps(current.kind, current.fields, subject.task.instruction)
            refinement, author = await _work_in(writer, current, changes.replies, gaps)
        fields = {name: text for name, text in refinement.apply(current.fields).items() if text}
        properties_of(current.kind, fields)
        new, record = Draft(current.kind, current.name, fields), subject.saved
        if changes.save:
            record = await _save(store, subject.task, new, record)
        open_gaps = find_gaps(new.kind, fields, subject.task.instruction)
        return RefinedSpec(
            spec_id=record.id if record else None,
            handle=await handle_of(store, record) if record else None,
            saved=changes.save,
            name=new.name,
            kind=new.kind,
            fields=fields,
            edits=[SpecFieldChange.of(edit) for edit in refinement.edits],
            unused_answers=list(refinement.unused_answers),
            author=author,
            open_gaps=len(open_gaps),
            questions=_questions(open_gaps),
            next=[*check_steps(rule_texts(new.kind, fields)), _EVALUATE]
            if changes.save
            else _next_steps(open_gaps),
        )

    return Proposal(_plan("Refine a spec.", writer), refine)


async def _work_in(
    writer: SpecWriter | None, draft: Draft, replies: Sequence[PersonAnswer], gaps: Sequence[Gap]
) -> tuple[Refinement, str]:
    """Work answers into a draft by a model, or by the rules; return who did it, too."""
    if writer is not None:
        return await refine_with_model(writer, draft, replies, gaps), writer.model
    return incorporate(draft.kind, draft.fields, gaps, replies), "rules"


def _own_edits(
    current: Draft, edits: Sequence[FieldEdit], replies: Sequence[PersonAnswer]
) -> Refinement:
    changes = tuple(
        SpecEdit(edit.field, current.fields.get(edit.field, ""), edit.text, edit.reason)
        for edit in edits
    )
    unused_answers = tuple(f"{item.question}: left to your own edits." for item in replies)
    return Refinement(changes, unused_answers)


async def _current(
    store: ProjectStore, task: Task, reference: str | None, text: Draft | None
) -> tuple[Draft, Spec | None]:
    """Return the spec of the call, and its record if it is saved."""
    if text is not None and reference is None:
        return text, None
    if text is not None or reference is None:
        specs = await store.children(task, Spec)
        raise InvalidValue(
            "Nothing was done. Say in one sentence as `wish` what a good output is. Or give either "
            "`spec` (saved: {names}) or a text of your own as `kind` and `fields`, not both.",
            names=told_apart(specs) or "none yet",
        )
    saved = await store.find(Spec, reference, parent=task)
    return Draft(kind_of(saved), saved.name, fields_of(saved)), saved


async def _save(store: ProjectStore, task: Task, draft: Draft, saved: Spec | None) -> Spec:
    properties = properties_of(draft.kind, draft.fields)
    text = definition(draft.kind, draft.fields)
    # A model may be paid for the text.
    if saved is not None:
        changed = saved.replace(definition=text, properties=properties)
        return await store.save(changed, is_patient=True)
    record = Spec(name=draft.name, definition=text, properties=properties)
    return await store.save(record, parent=task, is_patient=True)


async def _writer(workspace: Workspace, task: Task, model: str | None) -> SpecWriter | None:
    """Return the model to ask; None if the rules must do the work."""
    name = workspace.model_name(model)
    if name == EMBEDDED:
        return None
    await workspace.engine.check_ready({name: 1})
    return SpecWriter(workspace.engine, name, task.instruction)


def _plan(summary: str, writer: SpecWriter | None) -> Plan:
    if writer is None:
        return Plan(summary)
    return Plan(summary, calls=1, highest_cost_usd=writer.engine.price_of(writer.model, 1))


def _questions(gaps: Sequence[Gap]) -> list[Question]:
    return [Question.of(gap) for gap in gaps[:MOST_QUESTIONS]]


def _next_steps(gaps: Sequence[Gap]) -> list[NextStep]:
    if gaps:
        reason = "work in the person's answers; ask them the questions first"
        return [NextStep(tool="build_spec", reason=reason)]
    reason = "save it; the rules find no gap"
    return [NextStep(tool="build_spec", reason=reason, arguments={"save": True})]
