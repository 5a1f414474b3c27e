"""Edits of blocks: applied to a candidate, and moved onto another one."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Literal

from kiln_mcp.evolution.engine.candidates import (
    DEMONSTRATIONS,
    INSTRUCTION,
    Block,
    Candidate,
    is_entry,
)

Operation = Literal["add", "replace", "delete", "move"]


@dataclass(frozen=True, slots=True)
class BlockEdit:
    """One change to a candidate.

    Attributes:
        operation: What is done.
        block: The block that is replaced, deleted, moved, or followed by the new one. None adds at
            the beginning of the component.
        text: The new text; not used for a deletion or a move.
        reason: What it is meant to correct.
        component: Where a new block is added.
        id: The id of a new block; "" for one that is derived from its text.
        after: The block after which a moved one stands; None for the beginning.
    """

    operation: Operation
    block: str | None
    text: str = ""
    reason: str = ""
    component: str = INSTRUCTION
    id: str = ""
    after: str | None = None


@dataclass(frozen=True, slots=True)
class Rebase:
    """A proposal's edits, applied to another candidate than the one they were made for.

    Attributes:
        candidate: The result.
        conflicts: Blocks that both sides changed. The proposal's version is in the result.
    """

    candidate: Candidate
    conflicts: tuple[str, ...]


def apply_edits(candidate: Candidate, edits: Sequence[BlockEdit]) -> Candidate:
    """Return the candidate after the edits, in their order.

    Several additions after one block stand in the order of the edits.

    Raises:
        ValueError: An edit names no block, gives no text where it needs one, or leaves a component
            without any text.
    """
    draft = _Draft(list(candidate.blocks), {})
    for edit in edits:
        draft.apply(edit)
    changed = Candidate(tuple(draft.blocks))
    for component in candidate.components:
        if component != DEMONSTRATIONS and not changed.text_of(component).strip():
            raise ValueError(f"the edits leave no {component}")
    return changed


def rebase(edits: Iterable[BlockEdit], base: Candidate, head: Candidate) -> Rebase:
    """Apply edits that were made for one candidate to another one: a three-way merge of blocks.

    A block that the other candidate has gained in the meantime is not added twice.
    """
    old = {block.id: block.text for block in base.blocks}
    current = {block.id: block.text for block in head.blocks}
    new_texts = {b.text.strip() for b in head.blocks if old.get(b.id) != b.text}
    conflicts: list[str] = []
    new_edits: list[BlockEdit] = []
    for edit in edits:
        name = edit.block or ""
        is_there = name in current
        if edit.operation == "add" and edit.text.strip() in new_texts:
            continue
        if edit.operation == "add":
            anchor = edit.block if is_there else _anchor(base, current, edit)
            new_edits.append(replace(edit, block=anchor))
        elif edit.operation == "move":
            new_edits += [edit] if is_there else []
        elif is_there:
            if current[name] != old.get(name):
                conflicts.append(name)
            new_edits.append(edit)
        elif edit.operation == "replace":
            conflicts.append(name)
            new_edits.append(replace(edit, operation="add", block=_anchor(base, current, edit)))
    try:
        merged = apply_edits(head, new_edits)
    except ValueError:
        # Both sides together would leave nothing.
        return Rebase(head, tuple(conflicts))
    return Rebase(merged, tuple(conflicts))


def touched_texts(edits: Iterable[BlockEdit], base: Candidate) -> list[str]:
    """Return the texts that edits touch: new ones, and those that are deleted or moved."""
    old = {block.id: block.text for block in base.blocks}
    return [edit.text or old.get(edit.block or "", "") for edit in edits]


def new_id(text: str, ids: Iterable[str]) -> str:
    """Return an id for a new block: a digest of its text, made unique."""
    used_ids = set(ids)
    digest = f"n{blake2b(text.encode(), digest_size=4).hexdigest()}"
    name, number = digest, 1
    while name in used_ids:
        number += 1
        name = f"{digest}.{number}"
    return name


@dataclass(slots=True)
class _Draft:
    """Blocks while they are edited."""

    blocks: list[Block]
    last_additions: dict[tuple[str, str | None], str]

    def apply(self, edit: BlockEdit) -> None:
        if edit.operation in {"add", "replace"} and not edit.text.strip():
            raise ValueError(f"the edit of {edit.block} has no text")
        if edit.operation == "add":
            self._add(edit)
            return
        place = self._place(edit.block)
        if edit.operation == "replace":
            self.blocks[place] = replace(self.blocks[place], text=edit.text.strip("\n"))
        elif edit.operation == "delete":
            del self.blocks[place]
        else:
            self._move(place, edit.after)

    def _add(self, edit: BlockEdit) -> None:
        key = (edit.component, edit.block)
        anchor = self.last_additions.get(key, edit.block)
        own = self._places(edit.component)
        if anchor is None:
            place = own[0] if own and edit.component != DEMONSTRATIONS else len(self.blocks)
            component = edit.component
        else:
            place = self._place(anchor) + 1
            component = self.blocks[place - 1].component
        name = edit.id or new_id(edit.text, (block.id for block in self.blocks))
        text = edit.text.strip("\n")
        neighbour = self.blocks[place - 1 : place]
        if is_entry(text) and neighbour and is_entry(neighbour[0].text):
            gap = "\n"
        else:
            gap = self._gap(place, component) or ("\n" if is_entry(text) else "\n\n")
        self.blocks.insert(place, Block(name, text, component, gap))
        self.last_additions[key] = name

    def _move(self, place: int, after: str | None) -> None:
        """Move a block behind another one; to the end if that one is not there."""
        block = self.blocks.pop(place)
        own = self._places(block.component)
        if after is None:
            target = own[0] if own else place
        else:
            ends = [n + 1 for n in own if self.blocks[n].id == after]
            target = ends[0] if ends else (own[-1] + 1 if own else place)
        self.blocks.insert(target, replace(block, gap=block.gap or "\n"))

    def _places(self, component: str) -> list[int]:
        return [n for n, block in enumerate(self.blocks) if block.component == component]

    def _gap(self, place: int, component: str) -> str:
        """Return the gap of a new block: that of its neighbours; "" if none has any."""
        following = self.blocks[place : place + 1]
        if following and following[0].component == component and following[0].gap:
            return following[0].gap
        own = [block for block in self.blocks if block.component == component]
        return own[-1].gap if len(own) > 1 else ""

    def _place(self, name: str | None) -> int:
        for position, block in enumerate(self.blocks):
            if block.id == name:
                return position
        ids = ", ".join(block.id for block in self.blocks)
        raise ValueError(f"there is no block {name}; there are: {ids}")


def _anchor(base: Candidate, current: Mapping[str, str], edit: BlockEdit) -> str | None:
    """Return the nearest block before an edit's place that the other candidate still has."""
    anchor: str | None = None
    for block in base.blocks:
        if block.component == edit.component and block.id in current:
            anchor = block.id
        if block.id == edit.block:
            break
    return anchor
