"""Capabilities: draft a spec, find its gaps, refine it with answers."""

from collections.abc import Sequence
from typing import Annotated, Final

from pydantic import Field

from kiln_mcp.approvals.plan import Plan
from kiln_mcp.llm import EMBEDDED
from kiln_mcp.projects.project_references import (
    ProjectReference,
    TaskReference,
    handle_of,
    task_of,
    told_apart,
)
from kiln_mcp.spec_texts.lint import Gap, find_gaps
from kiln_mcp.spec_texts.spec_kinds import SpecKind, definition, fields_of, kind_of, properties_of
from kiln_mcp.specs.answers import Question, RefinedSpec, SpecDraft, SpecFieldChange, SpecGaps
from kiln_mcp.specs.arguments import FieldEdit, QuestionAnswer, SpecText
from kiln_mcp.specs.drafts import Draft, draft_by_rules, short_name
from kiln_mcp.specs.model_calls import (
    MOST_QUESTIONS,
    SpecWriter,
    draft_with_model,
    question_with_model,
    refine_with_model,
)
from kiln_mcp.specs.refinement import PersonAnswer, Refinement, SpecEdit, incorporate
from kiln_mcp.workbench.capability import Effect, Proposal, Runs, capability
from kiln_mcp.workbench.workspace import Workspace
from storage import ProjectStore, Spec, Task
from storage.errors import InvalidValue, NextStep

_EVALUATE: Final = NextStep(tool="create_evaluator", reason="judge outputs by it")

ModelChoice = Annotated[
    str | None,
    Field(
        description="The model to ask; left out: the default one. The embedded model is too small "
        "to write, so plain rules replace it."
    ),
]
SpecReference = Annotated[
    str | None, Field(description="A saved spec's name or id; or give `draft`.")
]
DraftText = Annotated[
    SpecText | None, Field(description="A spec that is not saved; or give `spec`.")
]


@capability(
    effect=Effect.SPENDS,
    title="Draft a spec",
    runs=Runs.AS_JOB,
    search_hint="write or define what good looks like, requirements, criteria, rubric, rules",
    always_load=True,
)
async def draft_spec(
    workspace: Workspace,
    project: ProjectReference,
    wish: Annotated[str, Field(min_length=1, description="What is a good output? One sentence.")],
    task: TaskReference = None,
    kind: Annotated[
        SpecKind | None, Field(description="Its kind; left out: chosen by the wish's words.")
    ] = None,
    draft: Annotated[
        SpecText | None,
        Field(description="Your own draft, which is then checked; usually the best way."),
    ] = None,
    model: ModelChoice = None,
    save: Annotated[bool, Field(description="Whether to save it right away.")] = False,
) -> Proposal[SpecDraft]:
    """Draft a spec from one sentence, and ask what it leaves open.

    Write the fields yourself in `draft` if you can: you know the conversation. Rules add nothing:
    their draft is the wish's own words, sorted into fields.
    """
    store = await workspace.open_project(project)
    owner = await task_of(store, task)
    writer = None if draft is not None else await _writer(workspace, owner, model)
    if writer is not None and save:
        await workspace.check_room(store, 1)

    async def write_draft() -> SpecDraft:
        if draft is not None:
            created, author = _own_draft(draft, wish), "you"
        elif writer is not None:
            created, author = await draft_with_model(writer, wish, kind), writer.model
        else:
            created, author = draft_by_rules(wish, kind), "rules"
        gaps = find_gaps(created.kind, created.fields, owner.instruction)
        saved = await _save(store, owner, created, None) if save else None
        return SpecDraft(
            spec_id=saved.id if saved else None,
            handle=await handle_of(store, saved) if saved else None,
            name=created.name,
            kind=created.kind,
            fields=dict(created.fields),
            author=author,
            assumptions=list(created.assumptions),
            omissions=list(created.omissions),
            open_gaps=len(gaps),
            questions=_questions(gaps),
            next=_next_steps(gaps),
        )

    return Proposal(_plan("Draft a spec.", writer), write_draft)


@capability(
    effect=Effect.SPENDS,
    title="Find a spec's gaps",
    runs=Runs.AS_JOB,
    search_hint="what is unclear, ambiguous, missing, contradictory; review requirements",
)
async def find_spec_gaps(
    workspace: Workspace,
    project: ProjectReference,
    task: TaskReference = None,
    spec: SpecReference = None,
    draft: DraftText = None,
    model: ModelChoice = None,
) -> Proposal[SpecGaps]:
    """Ask where two careful reviewers of a spec could disagree.

    Rules find vague words, several requirements in one, missing examples, contradictions, and
    requirements that no output can show. A capable model adds cases that are undecided.
    """
    store = await workspace.open_project(project)
    owner = await task_of(store, task)
    current, saved = await _current(store, owner, spec, draft)
    writer = await _writer(workspace, owner, model)

    async def look() -> SpecGaps:
        gaps = find_gaps(current.kind, current.fields, owner.instruction)
        checker = "rules"
        if writer is not None:
            gaps = (*await question_with_model(writer, current, gaps), *gaps)
            checker = f"rules and {writer.model}"
        return SpecGaps(
            spec_id=saved.id if saved else None,
            handle=await handle_of(store, saved) if saved else None,
            name=current.name,
            kind=current.kind,
            checker=checker,
            open_gaps=len(gaps),
            questions=_questions(gaps),
            next=_next_steps(gaps),
        )

    return Proposal(_plan("Look for undecided cases in a spec.", writer), look)


@capability(
    effect=Effect.SPENDS,
    title="Refine a spec",
    runs=Runs.AS_JOB,
    search_hint="edit, change, improve or save the requirements, rubric or criteria",
)
async def refine_spec(
    workspace: Workspace,
    project: ProjectReference,
    task: TaskReference = None,
    spec: SpecReference = None,
    draft: DraftText = None,
    answers: Annotated[
        list[QuestionAnswer] | None, Field(description="The person's answers to the questions.")
    ] = None,
    edits: Annotated[
        list[FieldEdit] | None,
        Field(description="Your own edits that work the answers in; usually the best way."),
    ] = None,
    model: ModelChoice = None,
    save: Annotated[bool, Field(description="Whether to save the result.")] = False,
) -> Proposal[RefinedSpec]:
    """Work answers into a spec, field by field; save it on request.

    Give `edits` of your own, or `answers` for a capable model or the rules to work in. Returns
    each change with its reason, and the answers that were not used.
    """
    store = await workspace.open_project(project)
    owner = await task_of(store, task)
    current, saved = await _current(store, owner, spec, draft)
    if not answers and not edits and not save:
        raise _no_change()
    replies = [PersonAnswer(item.question, item.answer) for item in answers or []]
    writer = await _writer(workspace, owner, model) if replies and not edits else None
    if writer is not None and save:
        await workspace.check_room(store, 1)

    async def refine() -> RefinedSpec:
        if edits:
            refinement, author = _own_edits(current, edits, replies), "you"
        else:
            gaps = find_gaps(current.kind, current.fields, owner.instruction)
            refinement, author = await _work_in(writer, current, replies, gaps)
        fields = {name: text for name, text in refinement.apply(current.fields).items() if text}
        properties_of(current.kind, fields)
        new = Draft(current.kind, current.name, fields)
        record = await _save(store, owner, new, saved) if save else saved
        open_gaps = find_gaps(new.kind, fields, owner.instruction)
        return RefinedSpec(
            spec_id=record.id if record else None,
            handle=await handle_of(store, record) if record else None,
            saved=save,
            name=new.name,
            kind=new.kind,
            fields=fields,
            edits=[SpecFieldChange.of(edit) for edit in refinement.edits],
            unused_answers=list(refinement.unused_answers),
            author=author,
            open_gaps=len(open_gaps),
            questions=_questions(open_gaps),
            next=[_EVALUATE] if save else _next_steps(open_gaps),
        )

    return Proposal(_plan("Refine a spec.", writer), refine)


def _no_change() -> InvalidValue:
    return InvalidValue(
        "The call changes nothing. Give `answers` or `edits`, or save=true to save the draft as "
        "it is.",
        next=[NextStep(tool="find_spec_gaps", reason="get the questions to answer")],
    )


async def _work_in(
    writer: SpecWriter | None, draft: Draft, replies: Sequence[PersonAnswer], gaps: Sequence[Gap]
) -> tuple[Refinement, str]:
    """Work answers into a draft by a model, or by the rules; return who did it, too."""
    if writer is not None:
        return await refine_with_model(writer, draft, replies, gaps), writer.model
    return incorporate(draft.kind, draft.fields, gaps, replies), "rules"


def _own_draft(text: SpecText, wish: str) -> Draft:
    properties_of(text.kind, text.fields)
    fields = {name: value for name, value in text.fields.items() if value.strip()}
    return Draft(text.kind, text.name or short_name(wish), fields)


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
    store: ProjectStore, task: Task, reference: str | None, text: SpecText | None
) -> tuple[Draft, Spec | None]:
    """Return the spec of the call, and its record if it is saved."""
    if text is not None and reference is None:
        core = next(iter(text.fields.values()), "")
        return _own_draft(text, core), None
    if text is not None or reference is None:
        specs = await store.children(task, Spec)
        raise InvalidValue(
            "Give either `spec` (saved: {names}) or `draft` with its kind and fields, not both.",
            names=told_apart(specs) or "none yet",
            next=[] if specs else [NextStep(tool="draft_spec", reason="draft one from a sentence")],
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
        return [NextStep(tool="refine_spec", reason=reason)]
    return [
        NextStep(
            tool="refine_spec", reason="save it; the rules find no gap", arguments={"save": True}
        )
    ]
