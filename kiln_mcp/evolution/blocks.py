"""A prompt as blocks: paragraphs of instruction with ids, and demonstrations by item.

Edits name the block that they touch. So a proposal is small, and can be told apart from the rest
of the prompt. It cannot damage what it does not name.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

SEPARATOR: Final = "\n\n"
_PLACEHOLDER: Final = re.compile(r"\{\{ *[A-Za-z_][\w.]* *\}\}|(?<!\{)\{[A-Za-z_]\w*\}(?!\})")


@dataclass(frozen=True, slots=True)
class Block:
    """One paragraph of an instruction; the id stays with it whatever is edited around it."""

    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A prompt that can be tried.

    Attributes:
        instruction: Its paragraphs, in order.
        demonstrations: Ids of the training items shown as examples, in order.
    """

    instruction: tuple[Block, ...]
    demonstrations: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The instruction without its demonstrations."""
        return SEPARATOR.join(block.text for block in self.instruction)

    @property
    def key(self) -> tuple[str, tuple[str, ...]]:
        """What two equal prompts share, whatever their blocks are called."""
        return self.text, self.demonstrations


@dataclass(frozen=True, slots=True)
class BlockEdit:
    """One change to an instruction.

    Attributes:
        operation: What is done.
        block: The block that is replaced, deleted or followed by the new one; None adds at the
            beginning.
        text: The new text; not used for a deletion.
        reason: What it is meant to correct.
    """

    operation: Literal["add", "replace", "delete"]
    block: str | None
    text: str = ""
    reason: str = ""


def placeholders(text: str) -> frozenset[str]:
    """Return what is to be filled in in a text: `{{name}}` or `{name}`, as it stands there."""
    return frozenset(match.group().replace(" ", "") for match in _PLACEHOLDER.finditer(text))


def split_blocks(text: str) -> tuple[Block, ...]:
    """Return a text as blocks, which joined give the same text again."""
    return tuple(Block(f"b{n}", part) for n, part in enumerate(text.split(SEPARATOR), 1))


def apply_edits(blocks: Sequence[Block], edits: Sequence[BlockEdit]) -> tuple[Block, ...]:
    """Return the blocks after the edits, in their order.

    Raises:
        ValueError: An edit names no block, gives no text where it needs one, or nothing is left.
    """
    changed = list(blocks)
    ids = {block.id for block in blocks}
    for edit in edits:
        place = _place(changed, edit)
        if edit.operation != "delete" and not edit.text.strip():
            raise ValueError(f"the edit of {edit.block} has no text")
        match edit.operation:
            case "replace":
                changed[place] = replace(changed[place], text=edit.text.strip())
            case "delete":
                del changed[place]
            case "add":
                fresh = next(f"b{n}" for n in range(1, len(ids) + 2) if f"b{n}" not in ids)
                ids.add(fresh)
                changed.insert(place + 1, Block(fresh, edit.text.strip()))
    if not SEPARATOR.join(block.text for block in changed).strip():
        raise ValueError("the edits leave no instruction")
    return tuple(changed)


def _place(blocks: Sequence[Block], edit: BlockEdit) -> int:
    """Return the position of the block that an edit names; -1 for the beginning."""
    if edit.block is None and edit.operation == "add":
        return -1
    for position, block in enumerate(blocks):
        if block.id == edit.block:
            return position
    ids = ", ".join(block.id for block in blocks)
    raise ValueError(f"there is no block {edit.block}; there are: {ids}")
