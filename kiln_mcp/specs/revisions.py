"""Changes of a session's drafts: answers become clauses and examples; edits can be reversed."""

from collections.abc import Callable
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
from kiln_mcp.spec_texts.spec_kinds import FORMS, SpecKind
from kiln_mcp.specs.draft_fields import fields_of_draft, with_field
from kiln_mcp.specs.drafts import acceptable
from storage.errors import Refusal

PERSON: Final = "person"
_PRIORITIES: Final = ("0", "1", "2", "3")


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


def edit_draft(revision: Revision, target: str, text: str, reason: Reason) -> None:
    """Make one edit that the person or the assistant wrote.

    Args:
        revision: The changes so far.
        target: `c2` or `d1.c2` changes a clause, `e1` removes an example, `x3` takes an edit back
            or changes it, `d1` adds a clause to a draft or drops it, a field's name changes the
            field; `name`, `kind`, `priority` and `tags` change these.
        text: The new text; "" removes, drops or takes back.
        reason: Why.
    """
    key = target.strip()
    edit = next((e for id, e in revision.session.edits.items() if id == key), None)
    if edit is not None:
        _change_edit(revision, edit, text, reason)
        return
    draft_id, _, part = key.rpartition(".")
    if key in revision.draft_ids:
        _edit_whole(revision, revision.draft(key), text, reason)
        return
    drafts = [draft_id] if draft_id else revision.draft_ids
    places = [
        (revision.draft(id), place)
        for id in drafts
        if id in revision.draft_ids and (place := _place(revision.draft(id), part)) is not None
    ]
    if len(places) != 1:
        revision.unused_answers.append(_unknown(revision, key, several=len(places) > 1))
        return
    draft, place = places[0]
    try:
        place(revision, draft, part, (text, reason))
    except Refusal as error:
        revision.unused_answers.append(f"{key}: {error}")


_Place = Callable[[Revision, Draft, str, tuple[str, Reason]], None]


def _place(draft: Draft, part: str) -> _Place | None:
    """Return what changes a part of a draft; None if it has no such part."""
    if part in {clause.id for clause in draft.content.clauses}:
        return _edit_clause
    if part in {example.id for example in draft.content.examples}:
        return _edit_example
    if part in FORMS[draft.content.kind].fields:
        return _edit_field
    return _SETTINGS.get(part)


def _edit_clause(revision: Revision, draft: Draft, part: str, new: tuple[str, Reason]) -> None:
    if not new[0].strip() and len(draft.content.clauses) == 1:
        hint = f"{part}: a spec needs a clause; drop the draft with {draft.id}."
        revision.unused_answers.append(hint)
        return
    revision.set_clause(draft.id, part, *new)


def _edit_example(revision: Revision, draft: Draft, part: str, new: tuple[str, Reason]) -> None:
    text, reason = new
    if not text.strip():
        revision.remove_example(draft.id, part, reason)
        return
    old = next(example for example in draft.content.examples if example.id == part)
    changed = replace(old, output=text.strip(), origin=Origin(reason.author, reason.source))
    revision.set_example(draft.id, changed, reason)


def _edit_field(revision: Revision, draft: Draft, part: str, new: tuple[str, Reason]) -> None:
    old = fields_of_draft(draft).get(part, "")
    if old == new[0]:
        return
    revision.drafts[draft.id] = with_field(draft, part, new[0])
    revision.note(draft.id, part, (old, new[0]), new[1])


def _edit_name(revision: Revision, draft: Draft, part: str, new: tuple[str, Reason]) -> None:
    name = acceptable(new[0])
    if name in {"", draft.content.name}:
        return
    content = replace(draft.content, name=name)
    revision.drafts[draft.id] = draft.replace(content=content)
    revision.note(draft.id, part, (draft.content.name, content.name), new[1])


def _edit_kind(revision: Revision, draft: Draft, part: str, new: tuple[str, Reason]) -> None:
    if new[0].strip() not in list(SpecKind):
        revision.unused_answers.append(f"kind: {new[0]!r} is none of {', '.join(SpecKind)}.")
        return
    kind = SpecKind(new[0].strip())
    if kind is draft.content.kind:
        return
    content = replace(draft.content, kind=kind)
    revision.drafts[draft.id] = draft.replace(content=content, fields={}, other_fields={})
    revision.note(draft.id, part, (str(draft.content.kind), str(kind)), new[1])


def _edit_priority(revision: Revision, draft: Draft, part: str, new: tuple[str, Reason]) -> None:
    number = new[0].strip().removeprefix("p").removeprefix("P")
    if number not in _PRIORITIES:
        revision.unused_answers.append("priority: it goes from 0, the highest, to 3.")
        return
    if int(number) == draft.priority:
        return
    revision.drafts[draft.id] = draft.replace(priority=int(number), is_saved=False)
    revision.note(draft.id, part, (str(draft.priority), number), new[1])


def _edit_tags(revision: Revision, draft: Draft, part: str, new: tuple[str, Reason]) -> None:
    tags = tuple(dict.fromkeys(new[0].replace(",", " ").split()))
    if tags == draft.tags:
        return
    revision.drafts[draft.id] = draft.replace(tags=tags, is_saved=False)
    revision.note(draft.id, part, (" ".join(draft.tags), " ".join(tags)), new[1])


_SETTINGS: Final[dict[str, _Place]] = {
    "name": _edit_name,
    "kind": _edit_kind,
    "priority": _edit_priority,
    "tags": _edit_tags,
}


def _edit_whole(revision: Revision, draft: Draft, text: str, reason: Reason) -> None:
    """Add a clause to a draft; without a text, drop the draft."""
    if text.strip():
        revision.set_clause(draft.id, "", text, reason)
        return
    revision.drafts[draft.id] = draft.replace(is_dropped=True)
    revision.note(draft.id, draft.id, (draft.content.name, ""), reason)


def _change_edit(revision: Revision, edit: ClauseEdit, text: str, reason: Reason) -> None:
    """Take an edit back, or give it another text."""
    is_drop = edit.target == edit.draft
    if edit.draft not in revision.draft_ids and (text or not is_drop):
        revision.unused_answers.append(f"{edit.id}: its draft was dropped.")
        return
    draft = revision.draft(edit.draft)
    first_change = len(revision.edits)
    if is_drop:
        revision.drafts[draft.id] = draft.replace(is_dropped=bool(text))
    elif edit.target.startswith("e") and edit.target[1:].isdecimal():
        if not _change_example(revision, edit, text, reason):
            revision.unused_answers.append(f"{edit.id}: the example {edit.target} is gone.")
            return
    elif edit.old_clause is not None and not text:
        revision.restore_clause(draft.id, edit.old_clause)
    elif edit.target.startswith("c") and edit.target[1:].isdecimal():
        revision.set_clause(draft.id, edit.target, text or edit.old, reason)
    else:
        edit_draft(revision, f"{draft.id}.{edit.target}", text or edit.old, reason)
    del revision.edits[first_change:]
    state = "made" if text else "restored"
    revision.edits.append(edit.model_copy(update={"new": text or edit.new, "state": state}))


def _change_example(revision: Revision, edit: ClauseEdit, text: str, reason: Reason) -> bool:
    """Give an example another text, or make it what it was; False if there is none to change."""
    draft = revision.draft(edit.draft)
    is_there = any(example.id == edit.target for example in draft.content.examples)
    if text:
        if is_there:
            _edit_example(revision, draft, edit.target, (text, reason))
        return is_there
    if edit.old_example is not None:
        revision.set_example(draft.id, edit.old_example, reason)
    elif edit.new and is_there:
        revision.remove_example(draft.id, edit.target, reason)
    return bool(edit.old_example or edit.new)


def _unknown(revision: Revision, key: str, *, several: bool) -> str:
    if several:
        return f"{key}: several drafts have it; put the draft before it, such as d1.{key}."
    parts: list[str] = []
    for id in revision.draft_ids:
        draft = revision.draft(id)
        ids = [part.id for part in (*draft.content.clauses, *draft.content.examples)]
        parts.append(f"{id} ({', '.join([*ids, *FORMS[draft.content.kind].fields])})")
    edits = ", ".join(revision.session.edits) or "none"
    return (
        f"{key}: no draft has it. Drafts: {'; '.join(parts)}; edits: {edits}; also "
        f"{', '.join(_SETTINGS)}."
    )
