"""The edits that turn a candidate into a text that a model has rewritten as a whole."""

from collections.abc import Mapping, Sequence
from typing import Final

from kiln_mcp.evolution.engine.candidates import INSTRUCTION, Block, Candidate, split_blocks
from kiln_mcp.evolution.engine.edits import BlockEdit
from kiln_mcp.evolution.engine.words import words_of

SAME_BLOCK: Final = 0.5
"""Two blocks that share so much of their words are two versions of one block."""


def align(candidate: Candidate, text: str, component: str = INSTRUCTION) -> list[BlockEdit]:
    """Return the edits that make a rewritten text of a component.

    Blocks with the same text keep their ids, and so do blocks that share most of their words.
    """
    own = candidate.blocks_of(component)
    new = split_blocks(text.strip("\n"), component)
    same = _same_blocks(own, new)
    versions = _versions(own, new, same)
    old = {**same, **versions}
    places = {block.id: place for place, block in enumerate(own)}
    steady = _rising([places[old[number].id] for number in sorted(old)])
    edits: list[BlockEdit] = []
    anchor: str | None = None
    for number, block in enumerate(new):
        if number not in old:
            if block.text.strip():
                edits.append(BlockEdit("add", anchor, block.text, component=component))
            continue
        name = old[number].id
        if number in versions:
            edits.append(BlockEdit("replace", name, block.text, component=component))
        if places[name] not in steady:
            edits.append(BlockEdit("move", name, component=component, after=anchor))
        anchor = name
    names = {block.id for block in old.values()}
    edits += [BlockEdit("delete", b.id, component=component) for b in own if b.id not in names]
    return edits


def _same_blocks(own: Sequence[Block], new: Sequence[Block]) -> dict[int, Block]:
    """Return the old block of each new one that has the same text, by place."""
    open_blocks = {block.text.strip(): block for block in reversed(own)}
    matches: dict[int, Block] = {}
    for number, block in enumerate(new):
        match = open_blocks.pop(block.text.strip(), None)
        if match is not None:
            matches[number] = match
    return matches


def _versions(
    own: Sequence[Block], new: Sequence[Block], same: Mapping[int, Block]
) -> dict[int, Block]:
    """Return the old block of each new one that is another version of it, by place."""
    used_ids = {block.id for block in same.values()}
    rest = [block for block in own if block.id not in used_ids]
    pairs = sorted(
        (-_likeness(block.text, new[number].text), number, place)
        for number in range(len(new))
        if number not in same
        for place, block in enumerate(rest)
    )
    versions: dict[int, Block] = {}
    for likeness, number, place in pairs:
        block = rest[place]
        if -likeness >= SAME_BLOCK and number not in versions and block.id not in used_ids:
            versions[number] = block
            used_ids.add(block.id)
    return versions


def _rising(numbers: Sequence[int]) -> set[int]:
    """Return a longest rising subsequence: the blocks that have kept their order."""
    runs: list[list[int]] = []
    for number in numbers:
        best = max((run for run in runs if run[-1] < number), key=len, default=list[int]())
        runs.append([*best, number])
    return set(max(runs, key=len, default=list[int]()))


def _likeness(first: str, second: str) -> float:
    """Return the share of words that two texts have in common, from 0 to 1."""
    a, b = words_of(first), words_of(second)
    return len(a & b) / max(1, len(a | b))
