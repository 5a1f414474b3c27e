"""Ask a capable model to draft, question and refine; its answers are checked like anyone's."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from kiln_mcp.llm import Engine, Message, ModelRequest
from kiln_mcp.spec_texts.kinds import FORMS, SpecKind, definition, forms_text, properties_of
from kiln_mcp.spec_texts.lint import Gap, Rule
from kiln_mcp.specs.drafts import Draft, short_name
from kiln_mcp.specs.refinement import Answered, Edit, Refinement
from kiln_mcp.workbench.prompts import PromptPart, load_prompt
from storage.records.names import acceptable_name
from storage.text.schema_references import inline_references

MOST_QUESTIONS: Final = 5
_LONGEST_ANSWER: Final = 2000


@dataclass(frozen=True, slots=True)
class Asked:
    """The model that is asked, and the task that it is about."""

    engine: Engine
    model: str
    instruction: str


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _FieldText(_Answer):
    field: str
    text: str


class _DraftAnswer(_Answer):
    kind: SpecKind
    name: str
    fields: list[_FieldText]
    assumptions: list[str]
    left_out: list[str]


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
    not_incorporated: list[str]


AnswerT = TypeVar("AnswerT", bound=_Answer)


async def draft_with_model(
    asked: Asked, wish: str, kind: SpecKind | None = None, name: str | None = None
) -> Draft:
    """Return a model's draft of a wish.

    Raises:
        ModelError: The model gave no usable answer.
        FieldsMismatch: Its fields are not those of the kind that it chose.
    """
    prompt = load_prompt("specs", "draft")
    kinds = forms_text()
    if kind is not None:
        kinds = next(line for line in kinds.split("\n") if line.startswith(f"- {kind}:"))
    parts = prompt.messages(task_instruction=asked.instruction, wish=wish, kinds=kinds)
    answer = await _ask(asked, parts, _DraftAnswer, "specs/draft")
    fields = {item.field: item.text for item in answer.fields if item.text.strip()}
    chosen = kind or answer.kind
    properties_of(chosen, fields)
    return Draft(
        kind=chosen,
        name=acceptable_name(name or answer.name, 32) or short_name(wish),
        fields={field: fields[field] for field in FORMS[chosen].fields if field in fields},
        assumptions=tuple(answer.assumptions),
        left_out=tuple(answer.left_out),
    )


async def question_with_model(asked: Asked, draft: Draft, known: Sequence[Gap]) -> tuple[Gap, ...]:
    """Return what a model would ask beyond the gaps that are known.

    Raises:
        ModelError: The model gave no usable answer.
    """
    parts = load_prompt("specs", "questions").messages(
        task_instruction=asked.instruction,
        kind=str(draft.kind),
        specification=definition(draft.kind, draft.fields),
        field_names=", ".join(FORMS[draft.kind].fields),
        known="\n".join(f"- {gap.question}" for gap in known) or "None.",
        most=MOST_QUESTIONS,
    )
    answer = await _ask(asked, parts, _QuestionsAnswer, "specs/questions")
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
    asked: Asked, draft: Draft, answers: Sequence[Answered], gaps: Sequence[Gap]
) -> Refinement:
    """Return the edits that a model makes of a person's answers.

    Raises:
        ModelError: The model gave no usable answer.
        FieldsMismatch: Its edits do not fit the kind.
    """
    questions = {gap.id: gap.question for gap in gaps}
    said = "\n".join(
        f"- {questions.get(item.question, item.question)}\n  {item.answer}" for item in answers
    )
    parts = load_prompt("specs", "refine").messages(
        task_instruction=asked.instruction,
        kind=str(draft.kind),
        specification=definition(draft.kind, draft.fields),
        field_names=", ".join(FORMS[draft.kind].fields),
        answers=said,
    )
    answer = await _ask(asked, parts, _EditsAnswer, "specs/refine")
    edits = tuple(
        Edit(item.field, draft.fields.get(item.field, ""), item.text, item.reason)
        for item in answer.edits
        if item.text != draft.fields.get(item.field, "")
    )
    refinement = Refinement(edits, tuple(answer.not_incorporated))
    properties_of(draft.kind, refinement.applied_to(draft.fields))
    return refinement


async def _ask(
    asked: Asked, parts: Sequence[PromptPart], shape: type[AnswerT], asker: str
) -> AnswerT:
    request = ModelRequest(
        model=asked.model,
        messages=tuple(Message(part.role, part.content) for part in parts),
        schema=_schema(shape),
        max_tokens=_LONGEST_ANSWER,
    )
    answer = await asked.engine.complete(request, asker=asker)
    return shape.model_validate(answer.value)


def _schema(shape: type[BaseModel]) -> dict[str, JsonValue]:
    """Return the JSON schema of an answer, references put in place for servers without them."""
    return inline_references(shape.model_json_schema())
