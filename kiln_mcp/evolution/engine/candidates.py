"""Candidates: the texts under search as blocks with ids, in named components.

A block is a paragraph, a list entry or a demonstration. Its id stays with it whatever is edited
around it, so that edits of several proposals can be merged.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Final

INSTRUCTION: Final = "instruction"
DEMONSTRATIONS: Final = "demonstrations"
_ENTRY: Final = re.compile(r"\s*(?:[-*•#>|]|\d+[.)])")
_SENTENCE_ENDS: Final = (".", ":", ";", "!", "?", ">")


@dataclass(frozen=True, slots=True)
class Block:
    """One part of a component.

    Attributes:
        id: The same through all edits.
        text: What it says; for a demonstration the engine reads nothing in it.
        component: The text that it is a part of.
        gap: The line breaks between the block before it and this one.
    """

    id: str
    text: str
    component: str = INSTRUCTION
    gap: str = "\n\n"

    @property
    def fields(self) -> dict[str, str]:
        """The fields by name, as a log keeps them."""
        return {"id": self.id, "text": self.text, "component": self.component, "gap": self.gap}


@dataclass(frozen=True)
class Candidate:
    """The texts that can be tried together, such as an instruction and its demonstrations."""

    blocks: tuple[Block, ...]

    @classmethod
    def of(cls, texts: "str | Mapping[str, str] | Candidate") -> "Candidate":
        """Return the candidate of one text, or of texts by component."""
        if isinstance(texts, Candidate):
            return texts
        components = {INSTRUCTION: texts} if isinstance(texts, str) else texts
        parts = (split_blocks(text, name) for name, text in components.items())
        return cls(tuple(block for part in parts for block in part))

    @cached_property
    def id(self) -> str:
        """A digest of the content: equal texts have equal ids, in any run."""
        content = "\x1e".join(f"{name}\x1f{self.text_of(name)}" for name in sorted(self.components))
        return blake2b(content.encode(), digest_size=8).hexdigest()

    @cached_property
    def components(self) -> tuple[str, ...]:
        """The names of the components, in their order."""
        return tuple(dict.fromkeys(block.component for block in self.blocks))

    @cached_property
    def text(self) -> str:
        """The text of the first component that is no list of demonstrations."""
        names = [name for name in self.components if name != DEMONSTRATIONS]
        return self.text_of(names[0]) if names else ""

    @cached_property
    def demonstrations(self) -> tuple[str, ...]:
        """The ids of the blocks that are demonstrations, in their order."""
        return tuple(block.id for block in self.blocks_of(DEMONSTRATIONS))

    def blocks_of(self, component: str) -> tuple[Block, ...]:
        """Return the blocks of a component."""
        return tuple(block for block in self.blocks if block.component == component)

    def text_of(self, component: str) -> str:
        """Return the text of a component."""
        return join_blocks(self.blocks_of(component))


def join_blocks(blocks: Sequence[Block]) -> str:
    """Return the text of blocks; the gap of the first one is left out."""
    return "".join(
        block.text if number == 0 else block.gap + block.text for number, block in enumerate(blocks)
    )


def is_entry(text: str) -> bool:
    """Return whether a text is an entry of a list, or a heading."""
    return _ENTRY.match(text) is not None


def split_blocks(text: str, component: str = INSTRUCTION) -> tuple[Block, ...]:
    """Return a text as blocks, which joined give the same text again.

    A new block begins after a blank line, at a list entry, and after a line that ends a sentence.
    """
    parts: list[tuple[str, str]] = []
    gap, lines = "", list[str]()
    pieces = re.split(r"(\n+)", text)
    for position, piece in enumerate(pieces):
        if position % 2:
            gap = piece
            continue
        starts = (
            len(gap) > 1
            or is_entry(piece)
            or (lines[-1:] and lines[-1].rstrip().endswith(_SENTENCE_ENDS))
        )
        if lines and not starts:
            parts[-1] = (parts[-1][0], f"{parts[-1][1]}{gap}{piece}")
        else:
            parts.append((gap, piece))
        lines = [piece]
    prefix = "b" if component == INSTRUCTION else f"{component}-"
    return tuple(
        Block(f"{prefix}{number}", part, component, gap)
        for number, (gap, part) in enumerate(parts, 1)
    )
