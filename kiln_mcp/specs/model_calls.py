"""Ask a capable model to draft, question and refine a spec, and check its answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from kiln_mcp.llm import Engine, Message, ModelRequest
from kiln_mcp.spec_texts.lint import Gap, Rule
from kiln_mcp.spec_texts.spec_kinds import FORMS, SpecKind, definition, forms_text, properties_of
from kiln_mcp.specs.drafts import LONGEST_NAME, Draft, short_name
from kiln_mcp.specs.refinement import PersonAnswer, Refinement, SpecEdit
from kiln_mcp.workbench.prompt_templates import PromptPart, load_prompt
from storage.records.names import acceptable_name
from storage.text.schema_references import inline_references

MOST_QUESTIONS: Final = 5
_LONGEST_ANSWER: Final = 2000


@dataclass(frozen=True, slots=True)
class SpecWriter:
    """A model that drafts, questions and refines, and the instruction of the spec's task."""

    engine: Engine
    model: str
    instruction: str


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class _FieldText(_Answer):
    field: str
    text: str


class _DraftAnswer(_Answer):
    kind: SpecKind
    name: str
    fields: list[_FieldText]
    assumptions: list[str]
    omissions: list[str]


class _QuestionAnswer(_Answer):
    field: str
    question: str
    why: str
    options: list[str]


class _QuestionsAnswer(_Answer):
    questions: list[_QuestionAnswer] = Field(max_length=MOST_QUESTIONS)


class _EditAnswer(_Answer):
    field: str
    text: str
    reason: str


class _EditsAnswer(_Answer):
    edits: list[_EditAnswer]
    unused_answers: list[str]


AnswerT = TypeVar("AnswerT", bound=_Answer)


async def draft_with_model(
    writer: SpecWriter, wish: str, kind: SpecKind | None = None, name: str | None = None
) -> Draft:
    """Ask the model for a draft of a wish.

    Raises:
        ModelError: The model gave no usable answer.
        storage.errors.Refusal: Its fields are not those of the kind that it chose.
    """
    prompt = load_prompt("specs", "draft")
    kinds = forms_text()
    if kind is not None:
        kinds = next(line for line in kinds.split("\n") if line.startswith(f"- {kind}:"))
    parts = prompt.messages(task_instruction=writer.instruction, wish=wish, kinds=kinds)
    answer = await _ask(writer, parts, _DraftAnswer, "specs/draft")
    fields = {item.field: item.text for item in answer.fields if item.text.strip()}
    spec_kind = kind or answer.kind
    properties_of(spec_kind, fields)
    return Draft(
        kind=spec_kind,
        name=acceptable_name(name or answer.name, LONGEST_NAME) or short_name(wish),
        fields={field: fields[field] for field in FORMS[spec_kind].fields if field in fields},
        assumptions=tuple(answer.assumptions),
        omissions=tuple(answer.omissions),
    )


async def question_with_model(
    writer: SpecWriter, draft: Draft, gaps: Sequence[Gap]
) -> tuple[Gap, ...]:
    """Ask the model for gaps beyond those that the rules find.

    Raises:
        ModelError: The model gave no usable answer.
    """
    parts = load_prompt("specs", "questions").messages(
        task_instruction=writer.instruction,
        kind=str(draft.kind),
        spec=definition(draft.kind, draft.fields),
        field_names=", ".join(FORMS[draft.kind].fields),
        open_questions="\n".join(f"- {gap.question}" for gap in gaps) or "None.",
        most=MOST_QUESTIONS,
    )
    answer = await _ask(writer, parts, _QuestionsAnswer, "specs/questions")
    form = FORMS[draft.kind]
    return tuple(
        Gap(
            rule=Rule.UNDECIDED,
            field=item.field if item.field in form.fields else form.detail,
            quote=item.question,
            why=item.why,
            question=item.question,
            options=tuple(item.options),
        )
        for item in answer.questions
    )


async def refine_with_model(
    writer: SpecWriter, draft: Draft, answers: Sequence[PersonAnswer], gaps: Sequence[Gap]
) -> Refinement:
    """Ask the model for the edits that a person's answers call for.

    Raises:
        ModelError: The model gave no usable answer.
        storage.errors.Refusal: Its edits do not fit the kind.
    """
    questions = {gap.id: gap.question for gap in gaps}
    lines = "\n".join(
        f"- {questions.get(item.question, item.question)}\n  {item.answer}" for item in answers
    )
    parts = load_prompt("specs", "refine").messages(
        task_instruction=writer.instruction,
        kind=str(draft.kind),
        spec=definition(draft.kind, draft.fields),
        field_names=", ".join(FORMS[draft.kind].fields),
        answers=lines,
    )
    answer = await _ask(writer, parts, _EditsAnswer, "specs/refine")
    edits = tuple(
        SpecEdit(item.field, draft.fields.get(item.field, ""), item.text, item.reason)
        for item in answer.edits
        if item.text != draft.fields.get(item.field, "")
    )
    refinement = Refinement(edits, tuple(answer.unused_answers))
    properties_of(draft.kind, refinement.apply(draft.fields))
    return refinement


async def _ask(
    writer: SpecWriter, parts: Sequence[PromptPart], shape: type[AnswerT], asker: str
) -> AnswerT:
    request = ModelRequest(
        model=writer.model,
        messages=tuple(Message(part.role, part.content) for part in parts),
        schema=inline_references(shape.model_json_schema()),
        max_tokens=_LONGEST_ANSWER,
    )
    answer = await writer.engine.complete(request, asker=asker)
    return shape.model_validate(answer.value)
