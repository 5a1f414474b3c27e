"""Capabilities: draft a specification, find its gaps, work answers in."""

from collections.abc import Sequence
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from kiln_mcp.approvals.plan import Plan
from kiln_mcp.llm import EMBEDDED
from kiln_mcp.projects.references import ProjectReference, TaskReference, task_of, told_apart
from kiln_mcp.spec_texts.kinds import SpecKind, definition, fields_of, kind_of, properties_of
from kiln_mcp.spec_texts.lint import Gap, find_gaps
from kiln_mcp.specs.drafts import Draft, draft_by_rules, short_name
from kiln_mcp.specs.errors import NothingToRefine, SpecNotNamed
from kiln_mcp.specs.model_calls import (
    MOST_QUESTIONS,
    Asked,
    draft_with_model,
    question_with_model,
    refine_with_model,
)
from kiln_mcp.specs.refinement import Answered, Edit, Refinement, incorporate
from kiln_mcp.workbench.capability import Effect, Proposal, Result, Runs, capability
from kiln_mcp.workbench.workspace import Workspace
from storage import ProjectStore, Spec, Task

MORE_QUESTIONS = "Ask the person the questions, then call refine_spec with their answers."
SAVE = "Nothing is open by the rules. Call refine_spec with save=true to keep it."


class SpecText(BaseModel):
    """A specification that is written out in the call instead of being saved."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: SpecKind = Field(description="What it is about.")
    fields: dict[str, str] = Field(
        description="Text by field name; every kind has its own fields, and an error names them."
    )
    name: str | None = Field(default=None, description="Two to five words, 32 characters at most.")


class Answer(BaseModel):
    """What the person answered to one question."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    question: str = Field(description="The question's id, or a question of your own in words.")
    answer: str = Field(description="One of its options, or free text.")


class FieldEdit(BaseModel):
    """A change that you make yourself to one field."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    field: str = Field(description="The field's name.")
    text: str = Field(description="The field's whole new text.")
    reason: str = Field(description="What the person said that calls for it.")


class Question(Result):
    """A question whose answer closes a gap."""

    id: str
    question: str
    options: list[str]
    why: str

    @classmethod
    def of(cls, gap: Gap) -> Self:
        """Return the question of a gap."""
        return cls(id=gap.id, question=gap.question, options=list(gap.options), why=gap.why)


class SpecDraft(Result):
    """A drafted specification and what is still open."""

    spec_id: str | None = Field(description="None while it is not saved.")
    name: str
    kind: SpecKind
    fields: dict[str, str]
    drafted_by: str = Field(description="`rules`, `you`, or the model's name.")
    assumptions: list[str]
    left_out: list[str]
    open_gaps: int
    questions: list[Question] = Field(description="The gravest, five at most.")
    next_step: str


class SpecGaps(Result):
    """What is open in a specification."""

    spec_id: str | None
    name: str
    kind: SpecKind
    checked_by: str
    open_gaps: int
    questions: list[Question] = Field(description="The gravest, five at most.")
    next_step: str


class EditMade(Result):
    """One change to a field."""

    field: str
    before: str
    after: str
    reason: str


class SpecRefined(Result):
    """A refined specification: what changed, what did not, and what is still open."""

    spec_id: str | None
    saved: bool
    name: str
    kind: SpecKind
    fields: dict[str, str]
    edits: list[EditMade]
    not_incorporated: list[str]
    refined_by: str
    open_gaps: int
    questions: list[Question]
    next_step: str


ModelChoice = Annotated[
    str | None,
    Field(
        description="The model to ask; left out: the default one. With the embedded model, which "
        "is too small to write, plain rules do the work."
    ),
]
SpecReference = Annotated[
    str | None, Field(description="A saved specification's name or id; or give `draft`.")
]
DraftText = Annotated[
    SpecText | None, Field(description="A specification that is not saved; or give `spec`.")
]


@capability(effect=Effect.SPENDS, title="Draft a specification", runs=Runs.AS_JOB)
async def draft_spec(
    workspace: Workspace,
    project: ProjectReference,
    wish: Annotated[
        str, Field(min_length=1, description="What outputs must be like, one sentence.")
    ],
    task: TaskReference = None,
    kind: Annotated[
        SpecKind | None, Field(description="What it is about; left out: chosen by the wish.")
    ] = None,
    draft: Annotated[
        SpecText | None,
        Field(description="Your own draft, which is then checked; usually the best way."),
    ] = None,
    model: ModelChoice = None,
    save: Annotated[bool, Field(description="Whether to save it right away.")] = False,
) -> Proposal[SpecDraft]:
    """Draft a specification from one sentence and say what it leaves open.

    Write the fields yourself in `draft` where you can: you know the conversation. Nothing is
    invented by rules; with rules alone the draft says what the wish says, sorted into fields.
    """
    store = await workspace.open_project(project)
    owner = await task_of(store, task)
    asked = None if draft is not None else await _asked(workspace, owner, model)
    if asked is not None and save:
        await workspace.check_room(store, 1)

    async def write_draft() -> SpecDraft:
        if draft is not None:
            made, author = _own_draft(draft, wish), "you"
        elif asked is not None:
            made, author = await draft_with_model(asked, wish, kind), asked.model
        else:
            made, author = draft_by_rules(wish, kind), "rules"
        gaps = find_gaps(made.kind, made.fields, owner.instruction)
        saved = await _save(store, owner, made, None) if save else None
        return SpecDraft(
            spec_id=saved.id if saved else None,
            name=made.name,
            kind=made.kind,
            fields=dict(made.fields),
            drafted_by=author,
            assumptions=list(made.assumptions),
            left_out=list(made.left_out),
            open_gaps=len(gaps),
            questions=_questions(gaps),
            next_step=_next_step(gaps),
        )

    return Proposal(_plan("Draft a specification.", asked), write_draft)


@capability(effect=Effect.SPENDS, title="Find a specification's gaps", runs=Runs.AS_JOB)
async def find_spec_gaps(
    workspace: Workspace,
    project: ProjectReference,
    task: TaskReference = None,
    spec: SpecReference = None,
    draft: DraftText = None,
    model: ModelChoice = None,
) -> Proposal[SpecGaps]:
    """Say where two careful reviewers could disagree about a specification, as questions.

    Rules find vague words, several requirements in one, missing examples, contradictions and
    what cannot be seen in an output; a capable model adds cases that are left undecided.
    """
    store = await workspace.open_project(project)
    owner = await task_of(store, task)
    found, saved = await _given(store, owner, spec, draft)
    asked = await _asked(workspace, owner, model)

    async def look() -> SpecGaps:
        gaps = find_gaps(found.kind, found.fields, owner.instruction)
        checker = "rules"
        if asked is not None:
            gaps = (*await question_with_model(asked, found, gaps), *gaps)
            checker = f"rules and {asked.model}"
        return SpecGaps(
            spec_id=saved.id if saved else None,
            name=found.name,
            kind=found.kind,
            checked_by=checker,
            open_gaps=len(gaps),
            questions=_questions(gaps),
            next_step=_next_step(gaps),
        )

    return Proposal(_plan("Look for undecided cases in a specification.", asked), look)


@capability(effect=Effect.SPENDS, title="Refine a specification", runs=Runs.AS_JOB)
async def refine_spec(
    workspace: Workspace,
    project: ProjectReference,
    task: TaskReference = None,
    spec: SpecReference = None,
    draft: DraftText = None,
    answers: Annotated[
        list[Answer] | None, Field(description="What the person answered to the questions.")
    ] = None,
    edits: Annotated[
        list[FieldEdit] | None,
        Field(description="Your own edits that work the answers in; usually the best way."),
    ] = None,
    model: ModelChoice = None,
    save: Annotated[bool, Field(description="Whether to save the result.")] = False,
) -> Proposal[SpecRefined]:
    """Work answers into a specification, field by field, and save it when asked.

    Give `edits` that you wrote yourself, or `answers` for a capable model or the rules to work
    in. Says what changed and why, and which answers were not used.
    """
    store = await workspace.open_project(project)
    owner = await task_of(store, task)
    found, saved = await _given(store, owner, spec, draft)
    if not answers and not edits and not save:
        raise NothingToRefine
    said = [Answered(item.question, item.answer) for item in answers or []]
    asked = await _asked(workspace, owner, model) if said and not edits else None
    if asked is not None and save:
        await workspace.check_room(store, 1)

    async def refine() -> SpecRefined:
        gaps = find_gaps(found.kind, found.fields, owner.instruction)
        if edits:
            refinement, author = _own_edits(found, edits, said), "you"
        elif asked is not None:
            refinement, author = await refine_with_model(asked, found, said, gaps), asked.model
        else:
            refinement, author = incorporate(found.kind, found.fields, gaps, said), "rules"
        fields = {name: text for name, text in refinement.applied_to(found.fields).items() if text}
        properties_of(found.kind, fields)
        refined = Draft(found.kind, found.name, fields)
        kept = await _save(store, owner, refined, saved) if save else None
        left = find_gaps(refined.kind, fields, owner.instruction)
        return SpecRefined(
            spec_id=kept.id if kept else (saved.id if saved else None),
            saved=kept is not None,
            name=refined.name,
            kind=refined.kind,
            fields=fields,
            edits=[
                EditMade(field=edit.field, before=edit.before, after=edit.after, reason=edit.reason)
                for edit in refinement.edits
            ],
            not_incorporated=list(refinement.not_incorporated),
            refined_by=author,
            open_gaps=len(left),
            questions=_questions(left),
            next_step="create_evaluator: judge outputs by it." if kept else _next_step(left),
        )

    return Proposal(_plan("Refine a specification.", asked), refine)


def _own_draft(text: SpecText, wish: str) -> Draft:
    properties_of(text.kind, text.fields)
    fields = {name: value for name, value in text.fields.items() if value.strip()}
    return Draft(text.kind, text.name or short_name(wish), fields)


def _own_edits(found: Draft, edits: Sequence[FieldEdit], said: Sequence[Answered]) -> Refinement:
    made = tuple(
        Edit(edit.field, found.fields.get(edit.field, ""), edit.text, edit.reason) for edit in edits
    )
    unused = tuple(f"{item.question}: left to your own edits." for item in said)
    return Refinement(made, unused)


async def _given(
    store: ProjectStore, task: Task, reference: str | None, text: SpecText | None
) -> tuple[Draft, Spec | None]:
    """Return the specification that is meant, and its record where it is saved."""
    if text is not None and reference is None:
        core = next(iter(text.fields.values()), "")
        return _own_draft(text, core), None
    if text is not None or reference is None:
        specs = await store.children(task, Spec)
        raise SpecNotNamed(told_apart(specs))
    saved = await store.find(Spec, reference, parent=task)
    return Draft(kind_of(saved), saved.name, fields_of(saved)), saved


async def _save(store: ProjectStore, task: Task, draft: Draft, saved: Spec | None) -> Spec:
    properties = properties_of(draft.kind, draft.fields)
    text = definition(draft.kind, draft.fields)
    if saved is not None:
        return await store.save(saved.replace(definition=text, properties=properties))
    return await store.save(
        Spec(name=draft.name, definition=text, properties=properties), parent=task
    )


async def _asked(workspace: Workspace, task: Task, model: str | None) -> Asked | None:
    """Return the model to ask; None where rules must do."""
    name = workspace.model_name(model)
    if name == EMBEDDED:
        return None
    await workspace.engine.check_ready({name: 1})
    return Asked(workspace.engine, name, task.instruction)


def _plan(summary: str, asked: Asked | None) -> Plan:
    if asked is None:
        return Plan(summary)
    return Plan(summary, calls=1, highest_cost_usd=asked.engine.price_of(asked.model, 1))


def _questions(gaps: Sequence[Gap]) -> list[Question]:
    return [Question.of(gap) for gap in gaps[:MOST_QUESTIONS]]


def _next_step(gaps: Sequence[Gap]) -> str:
    return MORE_QUESTIONS if gaps else SAVE
