"""What every candidate must keep, and what none may copy."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from kiln_mcp.evolution.engine.candidates import DEMONSTRATIONS, Candidate
from kiln_mcp.evolution.engine.edits import BlockEdit
from kiln_mcp.evolution.engine.values import Case

_PLACEHOLDER: Final = re.compile(r"\{\{ *[A-Za-z_][\w.]* *\}\}|(?<!\{)\{[A-Za-z_]\w*\}(?!\})")
_NUMBERED_NAME: Final = re.compile(r"(?<!\w)[^\W\d]*\d\w*")
SHORTEST_NAME: Final = 4
LONGEST_COPY: Final = 8
"""Words in a row that an edit may share with the input of a case that it was made from."""


def placeholders(text: str) -> frozenset[str]:
    """Return what is to be filled in in a text: `{{name}}` or `{name}`, as it stands there."""
    return frozenset(match.group().replace(" ", "") for match in _PLACEHOLDER.finditer(text))


@dataclass(frozen=True)
class Anchors:
    """What candidates must keep of the start.

    Attributes:
        passages: Texts that must stand in every candidate, word for word.
        items: Ids of required cases: items on which no score may be lower than with the start.
        placeholders: What is filled in in the start, by component.
        most_words: The most words of all texts but demonstrations; None for any number.
    """

    passages: Sequence[str] = ()
    items: frozenset[str] = frozenset()
    placeholders: dict[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    most_words: int | None = None

    def of_start(self, start: Candidate) -> "Anchors":
        """Return the anchors with the placeholders of a start."""
        texts = {name: placeholders(start.text_of(name)) for name in start.components}
        texts.pop(DEMONSTRATIONS, None)
        return replace(self, placeholders=texts)

    def objection(self, candidate: Candidate) -> str:
        """Return what a candidate lost or invented, as a sentence; "" if nothing."""
        for name, required in self.placeholders.items():
            own = placeholders(candidate.text_of(name))
            if own != required:
                words = ", ".join(sorted(own ^ required))
                return f"It lost or invented placeholders of the {name}: {words}."
        everything = "\n\n".join(candidate.text_of(name) for name in candidate.components)
        for passage in self.passages:
            if passage not in everything:
                return f"It lost a marked passage: {passage[:60]!r}."
        names = [name for name in candidate.components if name != DEMONSTRATIONS]
        words = sum(len(candidate.text_of(name).split()) for name in names)
        if self.most_words is not None and words > self.most_words:
            return f"It has {words} words, more than the {self.most_words} that are allowed."
        return ""


def find_copy(edits: Sequence[BlockEdit], base: Candidate, cases: Sequence[Case]) -> str:
    """Return what edits copy out of the input of one case; "" if nothing.

    A number or a name with digits, or a long run of words, helps on that one item alone.
    """
    old = "\n".join(base.text_of(name) for name in base.components)
    new_text = "\n".join(edit.text for edit in edits if edit.component != DEMONSTRATIONS)
    names = {name for name in _NUMBERED_NAME.findall(new_text) if len(name) >= SHORTEST_NAME}
    words = new_text.lower().split()
    runs = {" ".join(words[n : n + LONGEST_COPY]) for n in range(len(words) - LONGEST_COPY + 1)}
    for case in cases:
        own = set(_NUMBERED_NAME.findall(case.item.text))
        shared = sorted(name for name in names & own if name not in old)
        if shared and sum(shared[0] in other.item.text for other in cases) == 1:
            return shared[0]
        text = " ".join(case.item.text.lower().split())
        copy = next((run for run in sorted(runs) if run in text), "")
        if copy and copy not in " ".join(old.lower().split()):
            return copy
    return ""
