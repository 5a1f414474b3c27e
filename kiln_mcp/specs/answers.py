"""The results of the capabilities of this room."""

from typing import Self

from pydantic import Field

from kiln_mcp.spec_texts.lint import Gap
from kiln_mcp.spec_texts.spec_kinds import SpecKind
from kiln_mcp.specs.refinement import SpecEdit
from kiln_mcp.workbench.capability import Result
from storage.errors import NextStep


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
    """A draft of a spec, and its open questions."""

    spec_id: str | None = Field(description="None while it is not saved.")
    handle: str | None = Field(description="What names it in calls, such as `spec/refunds`.")
    name: str
    kind: SpecKind
    fields: dict[str, str]
    author: str = Field(description="`rules`, `you`, or the model's name.")
    assumptions: list[str]
    omissions: list[str] = Field(description="Parts of the wish that it does not cover.")
    open_gaps: int
    questions: list[Question] = Field(description="The gravest, five at most.")
    next: list[NextStep] = Field(default=[], description="Calls that help now.")


class SpecGaps(Result):
    """The gaps of a spec."""

    spec_id: str | None
    handle: str | None
    name: str
    kind: SpecKind
    checker: str = Field(description="`rules`, or the rules and the model's name.")
    open_gaps: int
    questions: list[Question] = Field(description="The gravest, five at most.")
    next: list[NextStep] = Field(default=[], description="Calls that help now.")


class SpecFieldChange(Result):
    """One change to a field."""

    field: str
    old: str
    new: str
    reason: str

    @classmethod
    def of(cls, edit: SpecEdit) -> Self:
        """Return an edit as part of an answer."""
        return cls(field=edit.field, old=edit.old, new=edit.new, reason=edit.reason)


class RefinedSpec(Result):
    """A refined spec: its changes, the answers without use, and its open questions."""

    spec_id: str | None
    handle: str | None
    saved: bool
    name: str
    kind: SpecKind
    fields: dict[str, str]
    edits: list[SpecFieldChange]
    unused_answers: list[str]
    author: str = Field(description="`rules`, `you`, or the model's name.")
    open_gaps: int
    questions: list[Question]
    next: list[NextStep] = Field(default=[], description="Calls that help now.")
