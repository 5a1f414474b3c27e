"""Ask a capable model to draft specs, to question them and to work answers in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from kiln_mcp.llm import Engine, Message, ModelRequest
from kiln_mcp.spec_texts.content_fields import one_line, polarity_of
from kiln_mcp.spec_texts.session_events import AskedQuestion, Draft, ModelStep
from kiln_mcp.spec_texts.spec_content import (
    Clause,
    ExampleVerdict,
    Finding,
    Origin,
    QuestionOption,
    SpecContent,
    SpecExample,
    SpecQuestion,
)
from kiln_mcp.spec_texts.spec_kinds import SpecKind, forms_text
from kiln_mcp.specs.drafts import acceptable, distinct_names, short_name
from kiln_mcp.specs.questions import MOST_QUESTIONS
from kiln_mcp.specs.real_outputs import RealOutput
from kiln_mcp.workbench.prompt_templates import PromptTemplate, load_prompt
from storage.text.excerpts import excerpt
from storage.text.schema_references import inline_references

MOST_DRAFTS: Final = 4
OUTPUTS_SHOWN: Final = 12
"""Real outputs that a model sees when it looks for questions."""
_LONGEST_OUTPUT: Final = 600
_LONGEST_MATERIAL: Final = 40_000
_LONGEST_ANSWER: Final = 4000
_NOTHING: Final = "None."


@dataclass(frozen=True, slots=True)
class SpecWriter:
    """A model that drafts, questions and refines, and the instruction of the spec's task.

    Attributes:
        engine: How it is asked.
        model: Its name.
        instruction: The task's instruction.
        steps: What it was asked so far in this call.
    """

    engine: Engine
    model: str
    instruction: str
    steps: list[ModelStep] = field(default_factory=list[ModelStep], compare=False)

    def step(self) -> ModelStep:
        """Return all that was asked in this call, as one record."""
        costs = [step.cost_usd for step in self.steps]
        return ModelStep(
            model=self.model,
            prompt=" ".join(dict.fromkeys(step.prompt for step in self.steps)),
            calls=len(self.steps),
            cost_usd=None if None in costs else sum(cost or 0.0 for cost in costs),
        )


@dataclass(frozen=True, slots=True)
class DraftRequest:
    """What specs are drafted from.

    Attributes:
        wish: What the person wants; "" if only the material says it.
        material: Runs, evals and texts, in words.
        kind: The kind of all specs; None lets the model choose.
        name: The name of the first one; None lets the model choose.
    """

    wish: str
    material: str = ""
    kind: SpecKind | None = None
    name: str | None = None


class ModelReply(BaseModel):
    """An answer of a model, which must fit its schema."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class _ClauseReply(ModelReply):
    text: str
    is_assumed: bool


class _ExampleReply(ModelReply):
    input: str
    output: str
    verdict: Literal["pass", "fail"]
    reason: str


class _SpecReply(ModelReply):
    kind: SpecKind
    name: str
    priority: int = Field(ge=0, le=3)
    tags: list[str]
    clauses: list[_ClauseReply] = Field(min_length=1)
    examples: list[_ExampleReply]
    assumptions: list[str]


class _DraftsReply(ModelReply):
    specs: list[_SpecReply] = Field(min_length=1, max_length=MOST_DRAFTS)
    omissions: list[str]


class _OptionReply(ModelReply):
    text: str
    clause: str


class _QuestionReply(ModelReply):
    clause: str
    output: str
    question: str
    options: list[_OptionReply]


class _QuestionsReply(ModelReply):
    questions: list[_QuestionReply] = Field(max_length=MOST_QUESTIONS)


class _EditReply(ModelReply):
    clause: str
    text: str
    reason: str
    question: str


class _EditsReply(ModelReply):
    edits: list[_EditReply]
    unused_answers: list[str]


@dataclass(frozen=True, slots=True)
class ProposedEdit:
    """A change that a model proposes for an answer; `clause` is "" for a new one."""

    clause: str
    text: str
    reason: str
    question: str


ReplyT = TypeVar("ReplyT", bound=ModelReply)


async def draft_with_model(writer: SpecWriter, request: DraftRequest) -> tuple[Draft, ...]:
    """Ask the model for the specs that a wish needs, one for each criterion.

    Raises:
        ModelError: The model gave no usable answer.
    """
    kinds = forms_text()
    if request.kind is not None:
        kinds = next(line for line in kinds.split("\n") if line.startswith(f"- {request.kind}:"))
    reply = await ask_writer(
        writer,
        load_prompt("specs", "draft"),
        {
            "task_instruction": writer.instruction,
            "wish": request.wish or _NOTHING,
            "material": excerpt(request.material, _LONGEST_MATERIAL) or _NOTHING,
            "kinds": kinds,
            "most": MOST_DRAFTS,
        },
        _DraftsReply,
    )
    specs = reply.specs
    draft_names = [acceptable(spec.name) or short_name(spec.clauses[0].text) for spec in specs]
    if request.name and acceptable(request.name):
        draft_names[0] = acceptable(request.name)
    names = distinct_names(draft_names)
    return tuple(
        Draft(
            id=f"d{number}",
            content=_content(writer.model, spec, request.kind or spec.kind, name),
            priority=spec.priority,
            tags=tuple("_".join(tag.split()) for tag in spec.tags if tag.strip()),
            omissions=tuple(reply.omissions) if number == 1 else (),
        )
        for number, (spec, name) in enumerate(zip(specs, names, strict=True), 1)
    )


def _content(model: str, spec: _SpecReply, kind: SpecKind, name: str) -> SpecContent:
    texts = {one_line(clause.text): clause.is_assumed for clause in spec.clauses}
    return SpecContent(
        kind,
        name,
        tuple(
            Clause(
                f"c{number}",
                text,
                polarity_of(kind, text),
                Origin(model, "wish", is_assumed=is_assumed),
            )
            for number, (text, is_assumed) in enumerate(texts.items(), 1)
            if text
        ),
        tuple(
            SpecExample(
                f"e{number}",
                example.output,
                ExampleVerdict(example.verdict),
                Origin(model, "wish", is_assumed=True),
                example.input,
                "",
                example.reason,
            )
            for number, example in enumerate(spec.examples, 1)
            if example.output.strip()
        ),
        tuple(spec.assumptions),
    )


async def question_with_model(
    writer: SpecWriter,
    draft: Draft,
    findings: Sequence[Finding],
    outputs: Sequence[RealOutput],
) -> list[AskedQuestion]:
    """Ask the model for cases that careful readers decide differently, on real outputs.

    Raises:
        ModelError: The model gave no usable answer.
    """
    first_outputs = outputs[:OUTPUTS_SHOWN]
    outputs_by_id = {f"o{number}": output for number, output in enumerate(first_outputs, 1)}
    reply = await ask_writer(
        writer,
        load_prompt("specs", "questions"),
        {
            "task_instruction": writer.instruction,
            "kind": str(draft.content.kind),
            "clauses": clauses_text(draft.content),
            "examples": examples_text(draft.content),
            "findings": "\n".join(f"- {finding.why}" for finding in findings) or _NOTHING,
            "outputs": _outputs_text(outputs_by_id) or _NOTHING,
            "most": MOST_QUESTIONS,
        },
        _QuestionsReply,
    )
    ids = {clause.id for clause in draft.content.clauses}
    questions = [item for item in reply.questions if item.question.strip()]
    return [_entry(draft, item, outputs_by_id, ids) for item in questions]


def _entry(
    draft: Draft, item: _QuestionReply, outputs_by_id: Mapping[str, RealOutput], ids: set[str]
) -> AskedQuestion:
    output = outputs_by_id.get(item.output)
    text = one_line(item.question)
    return AskedQuestion(
        draft=draft.id,
        question=SpecQuestion(
            "",
            text,
            tuple(
                QuestionOption(one_line(option.text), one_line(option.clause))
                for option in item.options
            ),
            item.clause if item.clause in ids else "",
            output.input if output else "",
            output.output if output else "",
        ),
        clause_form=f"{text} {{answer}}",
        run=output.id if output else "",
    )


async def refine_with_model(
    writer: SpecWriter, draft: Draft, answers: Sequence[tuple[SpecQuestion, str]]
) -> tuple[list[ProposedEdit], list[str]]:
    """Ask the model for the edits that answers in own words call for, and for those left unused.

    Raises:
        ModelError: The model gave no usable answer.
    """
    lines = [f"- {question.id}: {question.text}\n  {answer}" for question, answer in answers]
    reply = await ask_writer(
        writer,
        load_prompt("specs", "refine"),
        {
            "task_instruction": writer.instruction,
            "kind": str(draft.content.kind),
            "clauses": clauses_text(draft.content),
            "examples": examples_text(draft.content),
            "answers": "\n".join(lines),
        },
        _EditsReply,
    )
    ids = {clause.id for clause in draft.content.clauses}
    edits = [
        ProposedEdit(
            item.clause if item.clause in ids else "",
            one_line(item.text),
            item.reason,
            item.question,
        )
        for item in reply.edits
        if item.text.strip()
    ]
    return edits, list(reply.unused_answers)


def clauses_text(content: SpecContent) -> str:
    """Return the clauses of a spec for a model, each with its id and whether it forbids."""
    return "\n".join(f"- {c.id} ({c.polarity}): {c.text}" for c in content.clauses)


def examples_text(content: SpecContent) -> str:
    """Return the examples of a spec for a model."""
    lines = [
        f"- {example.id}, {example.verdict}: input {example.input!r}, output {example.output!r}"
        + (f", because {example.reason}" if example.reason else "")
        for example in content.examples
    ]
    return "\n".join(lines) or _NOTHING


def _outputs_text(outputs_by_id: Mapping[str, RealOutput]) -> str:
    return "\n".join(
        f"- {id}: input {excerpt(output.input, _LONGEST_OUTPUT)!r}, "
        f"output {excerpt(output.output, _LONGEST_OUTPUT)!r}"
        for id, output in outputs_by_id.items()
    )


async def ask_writer(
    writer: SpecWriter,
    prompt: PromptTemplate,
    values: Mapping[str, str | int],
    shape: type[ReplyT],
) -> ReplyT:
    """Ask the model one thing, and note which prompt it was and what it cost.

    Raises:
        ModelError: The model gave no usable answer.
    """
    request = ModelRequest(
        model=writer.model,
        messages=tuple(Message(part.role, part.content) for part in prompt.messages(**values)),
        schema=inline_references(shape.model_json_schema()),
        max_tokens=_LONGEST_ANSWER,
    )
    answer = await writer.engine.complete(request, asker=prompt.name)
    writer.steps.append(
        ModelStep(
            model=writer.model,
            prompt=prompt.fingerprint,
            calls=1,
            cost_usd=0.0 if answer.is_cached else answer.usage.cost_usd,
        )
    )
    return shape.model_validate(answer.value)
