"""Changes of a session's drafts, collected until they are saved together."""

from dataclasses import dataclass, field, replace
from typing import Final

from kiln_mcp.spec_texts.content_fields import next_id, one_line, polarity_of
from kiln_mcp.spec_texts.session_events import (
    AnswerGiven,
    AskedQuestion,
    ClauseEdit,
    Draft,
    SpecSession,
)
from kiln_mcp.spec_texts.spec_content import (
    Clause,
    Origin,
    SpecContent,
    SpecExample,
    SpecQuestion,
)

PERSON: Final = "person"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a draft changes.

    Attributes:
        text: In words.
        author: Who says so: the person, rules or a model.
        source: The id of the question or edit that it comes from.
        is_assumed: Whether nobody said it.
    """

    text: str
    author: str
    source: str
    is_assumed: bool = False


@dataclass(slots=True)
class Revision:
    """The changes of one call, on top of a session.

    Attributes:
        session: The session as it is saved.
        drafts: The drafts that change, by id.
        edits: The changes, side by side; an edit that is changed again takes its own place.
        answers: The answers that were taken.
        unused_answers: Answers and edits that changed nothing, with the reason.
        own_questions: Questions that the person answered unasked, by their text.
    """

    session: SpecSession
    drafts: dict[str, Draft] = field(default_factory=dict[str, Draft])
    edits: list[ClauseEdit] = field(default_factory=list[ClauseEdit])
    answers: list[AnswerGiven] = field(default_factory=list[AnswerGiven])
    unused_answers: list[str] = field(default_factory=list[str])
    own_questions: dict[str, AskedQuestion] = field(default_factory=dict[str, AskedQuestion])

    @property
    def changes_nothing(self) -> bool:
        """Whether there is nothing to save."""
        return not (self.drafts or self.edits or self.answers)

    def draft(self, id: str) -> Draft:
        """Return a draft as the call has left it so far."""
        return self.drafts.get(id) or self.session.drafts[id]

    @property
    def draft_ids(self) -> list[str]:
        """The drafts that the person has not dropped."""
        ids = self.session.drafts
        return [id for id in ids if not self.draft(id).is_dropped]

    def own_question(self, text: str) -> AskedQuestion | None:
        """Return a question of the person's own words about the first draft; None without one."""
        key, ids = text.casefold(), self.draft_ids
        if key not in self.own_questions and ids:
            used_ids = [
                *self.session.questions,
                *self.session.answers,
                *(entry.question.id for entry in self.own_questions.values()),
            ]
            question = SpecQuestion(next_id("q", used_ids), text, ())
            entry = AskedQuestion(draft=ids[0], question=question, clause_form=f"{text} {{answer}}")
            self.own_questions[key] = entry
        return self.own_questions.get(key)

    @property
    def answered_questions(self) -> list[AskedQuestion]:
        """The person's own questions that have an answer, which are kept with it."""
        ids = {answer.question for answer in self.answers}
        return [entry for entry in self.own_questions.values() if entry.question.id in ids]

    def set_clause(self, draft_id: str, target: str, text: str, reason: Reason) -> str:
        """Give a clause another text, remove it with "", or add one; return its id.

        A clause that says so already stays as it is, so that a repeated call changes nothing.
        """
        draft, line = self.draft(draft_id), one_line(text)
        content = draft.content
        old = next((clause for clause in content.clauses if clause.id == target), None)
        for clause in [old] if old else content.clauses:
            if clause.text == line and not clause.origin.is_assumed:
                return clause.id
        if old is None and not line:
            return target  # it is removed already: a repeated undo changes nothing
        id = old.id if old else target or next_id("c", self._clause_ids(draft_id))
        origin = Origin(reason.author, reason.source, reason.is_assumed)
        new = Clause(id, line, polarity_of(content.kind, line), origin)
        if old is None:
            clauses = (*content.clauses, new)
        else:
            clauses = tuple(
                new if clause.id == id else clause
                for clause in content.clauses
                if clause.id != id or line
            )
        self.save_content(draft, replace(content, clauses=clauses))
        self.note(draft_id, id, (old.text if old else "", line), reason)
        self.edits[-1] = self.edits[-1].model_copy(update={"old_clause": old})
        return id

    def restore_clause(self, draft_id: str, clause: Clause) -> None:
        """Make a clause what it was, with who said it then; one that was removed comes last."""
        draft = self.draft(draft_id)
        clauses = draft.content.clauses
        if clause in clauses:
            return
        is_there = any(other.id == clause.id for other in clauses)
        content = tuple(clause if other.id == clause.id else other for other in clauses)
        new = content if is_there else (*content, clause)
        self.save_content(draft, replace(draft.content, clauses=new))

    def set_example(self, draft_id: str, example: SpecExample, reason: Reason) -> None:
        """Add an example; it takes the place of those with its id or its input and output.

        One that is there already stays, so that a repeated call changes nothing.
        """
        draft = self.draft(draft_id)
        content = draft.content
        if example in content.examples:
            return
        key = (example.input, example.output)
        old = [e for e in content.examples if e.id == example.id or (e.input, e.output) == key]
        rest = [e for e in content.examples if e not in old]
        self.save_content(draft, replace(content, examples=(*rest, example)))
        self._note_example(draft_id, next(iter(old), None), example, reason)

    def remove_example(self, draft_id: str, id: str, reason: Reason) -> None:
        """Remove an example."""
        draft = self.draft(draft_id)
        content = draft.content
        old = next(example for example in content.examples if example.id == id)
        rest = tuple(example for example in content.examples if example.id != id)
        self.save_content(draft, replace(content, examples=rest))
        self._note_example(draft_id, old, None, reason)

    def save_content(self, draft: Draft, content: SpecContent) -> None:
        """Keep a draft's new content."""
        self.drafts[draft.id] = draft.replace(content=content, fields={})

    def _note_example(
        self, draft_id: str, old: SpecExample | None, new: SpecExample | None, reason: Reason
    ) -> None:
        example = new or old
        assert example is not None, "a change has an example before or after it"
        texts = tuple(f"{e.verdict}: {e.output}" if e else "" for e in (old, new))
        self.note(draft_id, example.id, (texts[0], texts[1]), reason)
        self.edits[-1] = self.edits[-1].model_copy(update={"old_example": old})

    def note(self, draft: str, target: str, texts: tuple[str, str], reason: Reason) -> None:
        """Note a change side by side: the old and the new text."""
        ids = [*self.session.edits, *(edit.id for edit in self.edits)]
        self.edits.append(
            ClauseEdit(
                id=next_id("x", ids),
                draft=draft,
                target=target,
                old=texts[0],
                new=texts[1],
                reason=reason.text,
                source=reason.source,
            )
        )

    def new_example_id(self, draft_id: str) -> str:
        """Return an id for an example that no other one of the draft has or had."""
        examples = self.draft(draft_id).content.examples
        return next_id("e", [*(e.id for e in examples), *self._edit_targets(draft_id)])

    def _clause_ids(self, draft_id: str) -> list[str]:
        """Return the ids of a draft's clauses, and of those that edits removed."""
        clauses = self.draft(draft_id).content.clauses
        return [*(clause.id for clause in clauses), *self._edit_targets(draft_id)]

    def _edit_targets(self, draft_id: str) -> list[str]:
        edits = [*self.session.edits.values(), *self.edits]
        return [edit.target for edit in edits if edit.draft == draft_id]
