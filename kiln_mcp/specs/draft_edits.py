"""Edits that a person or an assistant writes: of clauses, examples, fields and earlier edits."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from kiln_mcp.spec_texts.session_events import ClauseEdit, Draft
from kiln_mcp.spec_texts.spec_content import (
    Origin,
)
from kiln_mcp.spec_texts.spec_kinds import FORMS, SpecKind
from kiln_mcp.specs.draft_fields import fields_of_draft, with_field
from kiln_mcp.specs.drafts import acceptable
from kiln_mcp.specs.revisions import Reason, Revision
from storage.errors import Refusal

_PRIORITIES: Final = ("0", "1", "2", "3")


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
