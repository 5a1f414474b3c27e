"""The answer of `build_spec`: where a session stands, and what comes next."""

from typing import Literal

from pydantic import Field

from kiln_mcp.spec_texts.session_events import ModelStep
from kiln_mcp.spec_texts.spec_content import ExampleVerdict, FindingKind, Polarity
from kiln_mcp.spec_texts.spec_kinds import SpecKind
from kiln_mcp.workbench.capability import JsonObject, Result
from kiln_mcp.workbench.person_questions import PersonQuestion
from storage.errors import NextStep


class ClauseOfDraft(Result):
    """One requirement."""

    id: str
    text: str
    polarity: Polarity
    by: str = Field(description="person, rules, file, or a model.")
    is_assumed: bool = Field(description="Nobody said it.")


class ExampleOfDraft(Result):
    """An output whose verdict is settled."""

    id: str
    verdict: ExampleVerdict
    input: str
    output: str
    why: str
    is_assumed: bool


class DraftOfSpec(Result):
    """One spec of the session."""

    id: str
    spec_id: str | None = Field(description="None while it is not saved.")
    handle: str | None = Field(description="What names it in calls, such as `spec/refunds`.")
    name: str
    kind: SpecKind
    priority: int
    tags: list[str]
    clauses: list[ClauseOfDraft]
    examples: list[ExampleOfDraft]
    assumptions: list[str]
    omissions: list[str] = Field(description="Parts of the wish that no spec covers.")
    is_saved: bool
    eval: str | None = None
    judge: str | None = Field(default=None, description="Compiled from it, and current.")
    fields: dict[str, str] | None = Field(default=None, description="As Kiln's format has them.")


class FindingInDraft(Result):
    """A weakness, apart from questions."""

    draft: str
    kind: FindingKind
    clause: str
    words: str
    why: str
    mend: str
    source: str


class Question(Result):
    """The question to ask the person now."""

    id: str
    draft: str
    question: str
    options: list[str] = Field(description="Or the person's own words.")
    input: str
    output: str = Field(description="A real output of the task, if one is at hand.")


class Edit(Result):
    """A change side by side; its id takes it back."""

    id: str
    draft: str
    target: str
    old: str
    new: str
    reason: str
    state: Literal["made", "restored"]


class SpecSessionReport(Result):
    """Where a session stands."""

    session: str
    specs: list[DraftOfSpec]
    author: str = Field(description="Who did this step: rules, you, or a model.")
    question: Question | None = Field(description="Ask the person; answer by its id.")
    open_questions: int
    findings: list[FindingInDraft]
    further_findings: int
    hints: list[FindingInDraft] = Field(description="Weak signs, by rules: often no fault.")
    search_scope: list[str] = Field(description="What was looked for, and by whom.")
    edits: list[Edit]
    unused_answers: list[str]
    saved: bool
    look_at: list[str] = Field(description="What a person should still look at.")
    model: ModelStep | None = Field(description="What this step asked a model.")
    message: str | None = None
    next: list[NextStep] = Field(default=[], description="Calls that help now.")

    @classmethod
    def person_question(cls, data: JsonObject) -> PersonQuestion | None:
        """Return the question to ask; None once all is saved, or if answers are assumed."""
        question = data.get("question")
        if not isinstance(question, dict) or data.get("saved") or data.get("look_at"):
            return None
        options = question.get("options")
        return PersonQuestion(
            id=str(question["id"]),
            text=_text_of(question),
            options=[str(text) for text in options] if isinstance(options, list) else [],
            tool="build_spec",
            arguments={"session": data["session"]},
        )


def _text_of(question: JsonObject) -> str:
    """Return what the person reads: the output in question, and the question."""
    texts = [f"{n.title()}: {text}" for n in ("input", "output") if (text := question.get(n))]
    return "\n\n".join([*texts, str(question["question"])])
