"""The events of a session in which a person builds specs: what a file of lines holds of it.

Each event holds the new state of the drafts that it changes, so that a session can be taken up
by any door and any person after any of them.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from kiln_mcp.spec_texts.spec_content import (
    Clause,
    Finding,
    SpecContent,
    SpecExample,
    SpecQuestion,
)

Step = Literal["open", "draft", "examine", "ask", "answer", "edit", "review", "save", "close"]


def _in_utc(at: datetime) -> datetime:
    return at if at.tzinfo else at.replace(tzinfo=UTC)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)


class Draft(_Part):
    """A spec that a session works on.

    Attributes:
        id: Stable within the session, as `d1`.
        content: Its clauses and examples.
        fields: Its fields if somebody wrote them so; they count while the clauses are unchanged.
        other_fields: Fields of Kiln's that are no clauses, such as the name of a tool.
        priority: From 0, the highest, to 3.
        tags: Its tags.
        omissions: What of the wish it does not cover.
        evidence: The ids of runs that show what the spec is about, all of them failures.
        spec_id: The record that it is saved as; None before.
        eval_id: The eval that measures it; None before.
        is_dropped: Whether the person wants it no more.
        is_saved: Whether the record holds it as it is.
    """

    id: str
    content: SpecContent
    fields: dict[str, str] = {}
    other_fields: dict[str, str] = {}
    priority: int = 1
    tags: tuple[str, ...] = ()
    omissions: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    spec_id: str | None = None
    eval_id: str | None = None
    is_dropped: bool = False
    is_saved: bool = False

    def replace(self, **changes: object) -> Self:
        """Return the draft with other values; one whose content changes is not saved so."""
        update = {"is_saved": False, **changes} if "content" in changes else changes
        return self.model_copy(update=update)


class ClauseEdit(_Part):
    """A change to one clause or example, side by side.

    Attributes:
        id: Stable within the session, as `x1`.
        draft: The draft's id.
        target: The id of the clause or example.
        old: Its text before; "" if it is new.
        new: Its text now; "" if it was removed.
        reason: Why.
        source: The id of the question that it answers, or who proposed it.
        state: Whether it holds, or the person took it back.
        old_clause: The clause before; None if it is new, or the target is no clause.
        old_example: The example before; None if it is new, or the target is no example.
    """

    id: str
    draft: str
    target: str
    old: str
    new: str
    reason: str = ""
    source: str = ""
    state: Literal["made", "restored"] = "made"
    old_clause: Clause | None = None
    old_example: SpecExample | None = None


class ModelStep(_Part):
    """What a step asked a model.

    Attributes:
        model: The model's name; "rules" if none was asked.
        prompt: The fingerprint of the prompt's file; "" for rules.
        calls: How many calls it took.
        cost_usd: What they cost; None if the price is unknown.
    """

    model: str = "rules"
    prompt: str = ""
    calls: int = 0
    cost_usd: float | None = None


class AnswerGiven(_Part):
    """A person's answer to a question.

    Attributes:
        question: The question's id.
        text: The words of the answer.
        clause: The clause that it became; "" if it changed none.
    """

    question: str
    text: str
    clause: str = ""


class AskedQuestion(_Part):
    """A question about a draft, and what its answer does.

    Attributes:
        draft: The draft's id.
        question: The question.
        effect: Whether the clause of an answer is added, or takes the place of the question's.
        other_clause: The clause that goes if the question's own clause is chosen; "" for none.
        clause_form: What an answer in a person's own words becomes; `{answer}` is its place.
        verdicts: The verdict of the shown output that each option means; "" if it means none.
        run: The id of the run whose output is shown; "" if none is.
    """

    draft: str
    question: SpecQuestion
    effect: Literal["add", "replace"] = "add"
    other_clause: str = ""
    clause_form: str = "{answer}"
    verdicts: tuple[str, ...] = ()
    run: str = ""


class SessionEvent(_Part):
    """One line of a session.

    Attributes:
        session: The session's id.
        step: What was done.
        by: Who did it.
        job: The job whose attempt wrote it; "" outside of jobs.
        wish: What the person wants, in their words.
        sources: The runs, evals and texts that the drafts come from.
        drafts: The drafts that it changes, as they are after it.
        examined_drafts: The drafts whose findings it holds.
        findings: What is weak about them, by the ids of the drafts.
        search_scope: What an examination looked for, and by whom.
        questions: What it asks.
        answers: What a person answered.
        edits: What it changes, side by side; a later state of an edit takes its place.
        unused_answers: Answers that changed nothing, with the reason.
        model: What it asked a model.
        goal: The agreement of judge and person that the person asks for; None if they said none.
        panel_repeats: How often a panel must judge to tell what it could not; 0 if it could, or if
            no number helps; None if no panel judged.
    """

    v: int = 1
    at: Annotated[datetime, AfterValidator(_in_utc)] = Field(
        default_factory=lambda: datetime.now(UTC)
    )
    session: str
    step: Step
    by: str = ""
    job: str = ""
    wish: str = ""
    sources: tuple[str, ...] = ()
    drafts: tuple[Draft, ...] = ()
    examined_drafts: tuple[str, ...] = ()
    findings: dict[str, tuple[Finding, ...]] = {}
    search_scope: tuple[str, ...] = ()
    questions: tuple[AskedQuestion, ...] = ()
    answers: tuple[AnswerGiven, ...] = ()
    edits: tuple[ClauseEdit, ...] = ()
    unused_answers: tuple[str, ...] = ()
    model: ModelStep | None = None
    goal: float | None = None
    panel_repeats: int | None = None


class SpecSession(_Part):
    """A session as its events left it.

    Attributes:
        id: Its id.
        wish: What the person wants.
        drafts: Its drafts, by id.
        findings: What is weak about each draft.
        search_scope: What the last examination looked for, and by whom.
        questions: All questions so far, by id.
        answers: The newest answer to each question.
        edits: All edits so far, by id.
        unused_answers: Answers of the last step that changed nothing.
        goal: The agreement of judge and person that the person asked for last; None for none.
        panel_repeats: How often the next panel has to judge, by what the last one could not tell;
            0 for the usual number.
        events: Its events, the oldest first.
    """

    id: str
    wish: str = ""
    sources: tuple[str, ...] = ()
    drafts: dict[str, Draft] = {}
    findings: dict[str, tuple[Finding, ...]] = {}
    search_scope: tuple[str, ...] = ()
    questions: dict[str, AskedQuestion] = {}
    answers: dict[str, AnswerGiven] = {}
    edits: dict[str, ClauseEdit] = {}
    unused_answers: tuple[str, ...] = ()
    goal: float | None = None
    panel_repeats: int = 0
    events: tuple[SessionEvent, ...] = ()

    @property
    def open_drafts(self) -> list[Draft]:
        """The drafts that the person has not dropped."""
        return [draft for draft in self.drafts.values() if not draft.is_dropped]

    @property
    def is_open(self) -> bool:
        """Whether a draft waits to be saved."""
        is_closed = bool(self.events) and self.events[-1].step == "close"
        return not is_closed and any(not draft.is_saved for draft in self.open_drafts)

    @property
    def open_questions(self) -> list[AskedQuestion]:
        """The questions without an answer, the oldest first."""
        ids = {draft.id for draft in self.open_drafts}
        return [
            entry
            for id, entry in self.questions.items()
            if id not in self.answers and entry.draft in ids
        ]

    def changed_at(self, draft: str, target: str) -> datetime | None:
        """Return when a clause or example was last changed; None if never in this session."""
        for event in reversed(self.events):
            if any((edit.draft, edit.target) == (draft, target) for edit in event.edits):
                return event.at
        return None

    def saved_draft(self, id: str) -> Draft | None:
        """Return a draft as its record last held it; None if it was never saved."""
        drafts = (draft for event in reversed(self.events) for draft in event.drafts)
        return next((draft for draft in drafts if draft.id == id and draft.is_saved), None)

    def has_job(self, job: str) -> bool:
        """Return whether an attempt of a job has written an event already."""
        return bool(job) and any(event.job == job for event in self.events)

    def has_step(self, job: str, step: Step) -> bool:
        """Return whether an attempt of a job has done a step already."""
        return bool(job) and any(e.job == job and e.step == step for e in self.events)

    def after(self, event: SessionEvent) -> Self:
        """Return the session after an event."""
        return self.model_copy(
            update={
                "wish": self.wish or event.wish,
                "sources": (*self.sources, *event.sources),
                "drafts": {**self.drafts, **{draft.id: draft for draft in event.drafts}},
                "findings": {
                    **{id: f for id, f in self.findings.items() if id not in event.examined_drafts},
                    **event.findings,
                },
                "search_scope": event.search_scope or self.search_scope,
                "questions": {
                    **self.questions,
                    **{entry.question.id: entry for entry in event.questions},
                },
                "answers": {**self.answers, **{a.question: a for a in event.answers}},
                "edits": {**self.edits, **{edit.id: edit for edit in event.edits}},
                "unused_answers": event.unused_answers,
                "goal": event.goal or self.goal,
                "panel_repeats": self.panel_repeats
                if event.panel_repeats is None
                else event.panel_repeats,
                "events": (*self.events, event),
            }
        )


def sessions_of(events: Sequence[SessionEvent]) -> list[SpecSession]:
    """Return the sessions that events tell of, the one with the newest event last."""
    sessions: dict[str, SpecSession] = {}
    for event in events:
        session = sessions.pop(event.session, None) or SpecSession(id=event.session)
        sessions[event.session] = session.after(event)
    return list(sessions.values())
