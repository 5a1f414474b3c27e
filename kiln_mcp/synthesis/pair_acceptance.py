"""Which clause an output breaks, and whether an edit broke exactly the one that it was to break."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Final

from kiln_mcp.statistics.clause_posterior import ClauseVotes, VoteModel, fit_votes
from kiln_mcp.synthesis.clause_checks import Tally

LEAST: Final = 0.95
"""The probability from which on a statement about an output counts as verified.

So at least 95 % of those that are kept are as they should be, if judges err independently.
"""
_SPLIT: Final = (0.25, 0.75)
"""Shares of votes between which a panel disagrees."""
_PLAIN: Final = "as it was"
_TARGET: Final = "to be broken"
_OTHER: Final = "to be kept"


@dataclass(frozen=True, slots=True)
class EditedTally:
    """The votes on an edited output, and the clause that the edit was to break."""

    clause: str
    tally: Tally


@dataclass(frozen=True, slots=True)
class OutcomeRule:
    """Decides on outputs by the error rates that all votes together show.

    Attributes:
        clauses: The ids of all clauses.
        model: The error rates.
    """

    clauses: Sequence[str]
    model: VoteModel

    @classmethod
    def of(
        cls, clauses: Sequence[str], plain: Sequence[Tally], edits: Sequence[EditedTally]
    ) -> "OutcomeRule":
        """Return the rule of some votes.

        Args:
            clauses: The ids of all clauses.
            plain: The votes on outputs as they were.
            edits: The votes on edited outputs.
        """
        cells = [cell for tally in plain for cell in _plain_cells(clauses, tally).values()]
        for edit in edits:
            cells += _edited_cells(clauses, edit).values()
        return cls(clauses, fit_votes(cells))

    def passes(self, tally: Tally) -> float:
        """Return the probability that an output as it was meets all clauses."""
        cells = _plain_cells(self.clauses, tally)
        return prod(1 - self.model.broken_probability(cell) for cell in cells.values())

    def broken_clause(self, tally: Tally) -> str:
        """Return the one clause that an output as it was breaks; "" if that is not certain."""
        cells = _plain_cells(self.clauses, tally)
        return next((c for c in cells if self._breaks_only(cells, c) >= LEAST), "")

    def exactness(self, edit: EditedTally) -> float:
        """Return the probability that an edit broke its clause and no other."""
        return self._breaks_only(_edited_cells(self.clauses, edit), edit.clause)

    def is_borderline(self, edit: EditedTally) -> bool:
        """Return whether the panel disagrees on the clause of an edit, and on no other."""
        low, high = _SPLIT
        cells = _edited_cells(self.clauses, edit)
        other_cells = [cell for clause, cell in cells.items() if clause != edit.clause]
        holds = prod(1 - self.model.broken_probability(cell) for cell in other_cells)
        return low <= edit.tally.share(edit.clause) <= high and holds >= LEAST

    def _breaks_only(self, cells: Mapping[str, ClauseVotes], clause: str) -> float:
        probabilities = {name: self.model.broken_probability(cell) for name, cell in cells.items()}
        return probabilities[clause] * prod(
            1 - p for name, p in probabilities.items() if name != clause
        )


def _plain_cells(clauses: Sequence[str], tally: Tally) -> dict[str, ClauseVotes]:
    return {clause: _cell(_PLAIN, clause, tally) for clause in clauses}


def _edited_cells(clauses: Sequence[str], edit: EditedTally) -> dict[str, ClauseVotes]:
    return {
        clause: _cell(_TARGET if clause == edit.clause else _OTHER, clause, edit.tally)
        for clause in clauses
    }


def _cell(group: str, clause: str, tally: Tally) -> ClauseVotes:
    return ClauseVotes(group, tally.failures.get(clause, 0), tally.votes.get(clause, 0))
