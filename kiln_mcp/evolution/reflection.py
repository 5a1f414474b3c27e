"""Edits that a capable model proposes after looking at what goes wrong."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kiln_mcp.evolution.engine import Answer, Block, BlockEdit, Case, ProposalRequest
from kiln_mcp.evolution.engine.values import Lesson
from kiln_mcp.llm import Engine, JsonSchema, Message, ModelRequest
from kiln_mcp.llm.errors import BadAnswer
from kiln_mcp.workbench.prompt_templates import load_prompt
from storage.text.excerpts import excerpt

MOST_EDITS: Final = 3
LONGEST_ANSWER: Final = 1500
LONGEST_TEXT: Final = 1500


class _EditAnswer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    operation: Literal["add", "replace", "delete"]
    block: str | None
    text: str
    reason: str


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    failure: str
    edits: list[_EditAnswer] = Field(min_length=1, max_length=MOST_EDITS)


def _schema() -> JsonSchema:
    """Return the JSON schema of an answer, written out: not every server follows references."""
    text = {"type": "string"}
    edit = {
        "type": "object",
        "properties": {
            "operation": {"type": "string", "enum": ["add", "replace", "delete"]},
            "block": {"type": ["string", "null"]},
            "text": text,
            "reason": text,
        },
        "required": ["operation", "block", "text", "reason"],
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {
            "failure": text,
            "edits": {"type": "array", "items": edit, "minItems": 1, "maxItems": MOST_EDITS},
        },
        "required": ["failure", "edits"],
        "additionalProperties": False,
    }


@dataclass(frozen=True, slots=True)
class ModelReflector:
    """Lets a model edit a prompt.

    Attributes:
        engine: Asks it.
        model: Its name.
        goal: What the task is, in the person's words.
    """

    engine: Engine
    model: str
    goal: str

    async def propose(self, request: ProposalRequest) -> Answer | None:
        """Return edits; None if the model gave nothing usable."""
        parts = load_prompt("evolution", "reflect").messages(
            task_description=self.goal,
            instruction_blocks=_block_list(request.candidate.blocks_of(request.component)),
            failures=_case_list(request.failures),
            successes=_case_list(request.successes) or "None of those looked at.",
            earlier_edits=_lesson_list(request.lessons) or "None.",
            most_edits=MOST_EDITS,
        )
        question = ModelRequest(
            model=self.model,
            messages=tuple(Message(part.role, part.content) for part in parts),
            schema=_schema(),
            max_tokens=LONGEST_ANSWER,
            # The same question is asked again to get another answer, not the cached one.
            sample=request.number,
        )
        try:
            answer = await self.engine.complete(question, asker="evolution/reflect")
            read = _Answer.model_validate(answer.value)
        except (BadAnswer, ValidationError):
            return None
        edits = [
            BlockEdit(edit.operation, edit.block, edit.text, edit.reason, request.component)
            for edit in read.edits
        ]
        return Answer(edits, reason="; ".join(edit.reason for edit in edits))


def _block_list(blocks: Sequence[Block]) -> str:
    return "\n\n".join(f"[{block.id}]\n{block.text}" for block in blocks)


def _case_list(cases: Sequence[Case]) -> str:
    return "\n\n".join(
        f"Input:\n{_cut(case.item.text)}\n"
        f"Output:\n{_cut(case.evaluation.output) or 'none'}\n"
        f"Right output:\n{_cut(case.item.reference)}\n"
        f"Evaluator: {_cut(case.evaluation.remarks)}"
        for case in cases
    )


def _lesson_list(lessons: Sequence[Lesson]) -> str:
    return "\n\n".join(
        f"{'Accepted' if lesson.accepted else 'Rejected'}: {_cut(lesson.text)}\n{lesson.outcome}"
        for lesson in lessons
    )


def _cut(text: str) -> str:
    return excerpt(text, LONGEST_TEXT)
