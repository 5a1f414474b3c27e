"""Ask a model for edits of a text in parts, after showing it where the text goes wrong."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from kiln_mcp.llm import CallCounter, Engine, JsonSchema, Message, ModelRequest
from kiln_mcp.llm.errors import BadAnswer
from kiln_mcp.workbench.prompt_templates import PromptTemplate
from storage.text.excerpts import excerpt

LONGEST_TEXT: Final = 1500
"""Characters of each text of a case."""

Operation = Literal["add", "replace", "delete"]


class _Edit(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    operation: Operation
    block: str | None
    text: str
    reason: str


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    failure: str
    edits: list[_Edit]


@dataclass(frozen=True, slots=True)
class TextEdit:
    """An edit of one part of a text.

    Attributes:
        operation: What is done.
        part: The id of the part; for a new one that of the part before it, None at the beginning.
        text: The whole new text of the part; "" for one that is deleted.
        reason: What it is meant to correct.
    """

    operation: Operation
    part: str | None
    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class Reflection:
    """What a model says of a text.

    Attributes:
        failure: What the cases have in common.
        edits: What would have prevented it; none if the model gave nothing usable.
        paid_calls: Calls that were sent: none for an answer from the response cache.
    """

    failure: str
    edits: Sequence[TextEdit]
    paid_calls: int


@dataclass(frozen=True, slots=True)
class Reflector:
    """Lets a model edit a text.

    Attributes:
        engine: Asks it.
        model: Its name.
        asker: Who asks, as the response cache names it.
        most_edits: The most edits of one answer.
        longest_answer: Tokens.
    """

    engine: Engine
    model: str
    asker: str
    most_edits: int
    longest_answer: int

    async def reflect(
        self, template: PromptTemplate, values: Mapping[str, str], number: int
    ) -> Reflection:
        """Return edits; none if the model gave nothing usable: its calls were sent all the same.

        Args:
            template: What it is asked; its slot `most_edits` is filled in here.
            values: The other slots.
            number: Which question it is: an equal one with another number gets a new answer.

        Raises:
            ModelError: The model gave no answer at all.
        """
        parts = template.messages(**values, most_edits=self.most_edits)
        question = ModelRequest(
            model=self.model,
            messages=tuple(Message(part.role, part.content) for part in parts),
            schema=_schema(self.most_edits),
            max_tokens=self.longest_answer,
            sample=number,
        )
        counter = CallCounter()
        try:
            answer = await self.engine.with_counter(counter).complete(question, asker=self.asker)
            read = _Answer.model_validate(answer.value)
        except (BadAnswer, ValidationError):
            return Reflection("", (), counter.calls)
        if len(read.edits) > self.most_edits:
            return Reflection(read.failure, (), counter.calls)
        edits = [TextEdit(e.operation, e.block, e.text, e.reason) for e in read.edits]
        return Reflection(read.failure, edits, counter.calls)


def parts_text(parts: Sequence[tuple[str, str]]) -> str:
    """Return the parts of a text, each below its id."""
    return "\n\n".join(f"[{name}]\n{text}" for name, text in parts)


def cases_text(cases: Sequence[Mapping[str, str]]) -> str:
    """Return cases, each as texts below their names; long texts are shortened."""
    return "\n\n".join(
        f"Case {number}\n"
        + "\n".join(f"{name}:\n{excerpt(text, LONGEST_TEXT)}" for name, text in case.items())
        for number, case in enumerate(cases, 1)
    )


def _schema(most_edits: int) -> JsonSchema:
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
            "edits": {"type": "array", "items": edit, "minItems": 1, "maxItems": most_edits},
        },
        "required": ["failure", "edits"],
        "additionalProperties": False,
    }
