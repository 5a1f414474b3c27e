"""Prompts without one of their parts: what each part earns shows when it is missing."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from kiln_mcp.evolution.engine import Block, Candidate
from kiln_mcp.evolution.engine.anchors import placeholders
from kiln_mcp.evolution.engine.candidates import DEMONSTRATIONS

_SENTENCE: Final = re.compile(r"(?<=[.!?]) +(?=\S)")


@dataclass(frozen=True, slots=True)
class PromptPart:
    """A part of a prompt, and the prompt without it.

    Attributes:
        kind: "sentence", "block" or "example".
        text: The part.
        rest: The prompt without it.
    """

    kind: str
    text: str
    rest: Candidate


def sentences_of(candidate: Candidate) -> list[PromptPart]:
    """Return each sentence of a prompt with the prompt without it, then each example.

    A part with a placeholder stays: without it the prompt would not have its input.
    """
    parts: list[PromptPart] = []
    for place, block in enumerate(candidate.blocks):
        pieces = [] if block.component == DEMONSTRATIONS else _SENTENCE.split(block.text)
        if len(pieces) < 2:
            parts += _block_part(candidate, place)
            continue
        for number, sentence in enumerate(pieces):
            rest = " ".join([*pieces[:number], *pieces[number + 1 :]])
            blocks = (*candidate.blocks[:place], replace(block, text=rest))
            parts += _part("sentence", sentence, (*blocks, *candidate.blocks[place + 1 :]))
    return parts


def blocks_of(candidate: Candidate) -> list[PromptPart]:
    """Return each block of a prompt (a paragraph, an entry, an example) with the rest of it."""
    return [
        part for place in range(len(candidate.blocks)) for part in _block_part(candidate, place)
    ]


def _block_part(candidate: Candidate, place: int) -> list[PromptPart]:
    block = candidate.blocks[place]
    kind = "example" if block.component == DEMONSTRATIONS else "block"
    return _part(kind, block.text, (*candidate.blocks[:place], *candidate.blocks[place + 1 :]))


def _part(kind: str, text: str, rest: Sequence[Block]) -> list[PromptPart]:
    is_kept = not text.strip() or (kind != "example" and placeholders(text))
    return [] if is_kept else [PromptPart(kind, text.strip(), Candidate(tuple(rest)))]
