"""The candidates that have won, one on top of the other, and what became of each proposal."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from kiln_mcp.evolution.engine.candidates import Candidate
from kiln_mcp.evolution.engine.operators import Operator
from kiln_mcp.evolution.engine.words import Words, words_of


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of a proposal.

    Attributes:
        proposal: Its id.
        operator: How it was made.
        accepted: Whether it is a part of the trunk.
        reason: Why it is, or is not, as a sentence.
        lesson: What the proposal was meant to correct, in the words of its model.
        texts: What it touches.
        candidate: The id of the candidate that it made; "" if it made none.
        onto: The id of the head that it was applied to.
        gain: The mean gain over all items that it was expected to bring.
        loss: The mean loss over all items that it was expected to cost.
        better_on: Items on which it was confirmed to score higher.
        worse_on: Items on which it was confirmed to score lower.
        items: Ids of the items that it was made from; of sets of examples those that compared them.
        calls: Calls of the search so far.
        is_refused: Whether it lost what every candidate must keep.
    """

    proposal: str
    operator: Operator
    accepted: bool
    reason: str
    lesson: str = ""
    texts: Sequence[str] = ()
    candidate: str = ""
    onto: str = ""
    gain: float = 0.0
    loss: float = 0.0
    better_on: int = 0
    worse_on: int = 0
    items: Sequence[str] = ()
    calls: int = 0
    is_refused: bool = False

    @property
    def fields(self) -> dict[str, object]:
        """The fields by name, as a log keeps them."""
        return {name: getattr(self, name) for name in self.__slots__}

    @property
    def words(self) -> Words:
        """The words of what it touches."""
        return words_of("\n".join(self.texts))


@dataclass
class Trunk:
    """The candidates that have won.

    Attributes:
        heads: The start first, the candidate to beat last.
        edits: The decision behind each head after the start.
        decisions: All decisions.
    """

    heads: list[Candidate]
    edits: list[Decision] = field(default_factory=list[Decision])
    decisions: list[Decision] = field(default_factory=list[Decision])

    @property
    def head(self) -> Candidate:
        """The candidate to beat."""
        return self.heads[-1]

    @property
    def age(self) -> int:
        """How many edits were accepted."""
        return len(self.edits)

    def advance(self, candidate: Candidate, decision: Decision) -> None:
        """Put a candidate on top."""
        self.heads.append(candidate)
        self.edits.append(decision)
