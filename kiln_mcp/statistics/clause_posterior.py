"""Which clauses an output breaks, by the votes of judges that err at rates nobody knows.

The votes on one clause of one output are independent given the truth. Their error rates, and how
often clauses break, are estimated with the truths by expectation maximisation, as Dawid and Skene
did (Applied Statistics 28, 1979), with beta priors that keep small samples sensible.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

ROUNDS: Final = 60
_ERROR_PRIOR: Final = (1.0, 9.0)
"""Pseudo-counts of wrong and right votes: judges err in about a tenth of their votes."""
_RATE_PRIOR: Final = (1.0, 1.0)
_MOST_ERROR: Final = 0.45
"""Above it, votes would say nothing, and above one half the opposite."""


@dataclass(frozen=True, slots=True)
class ClauseVotes:
    """The votes on one clause of one output.

    Attributes:
        group: Clauses of one group break equally often, such as those that an edit was to break.
        failures: How many say that the output breaks the clause.
        votes: All of them.
    """

    group: str
    failures: int
    votes: int


@dataclass(frozen=True, slots=True)
class VoteModel:
    """What the votes say of the judges and of the groups.

    Attributes:
        false_alarms: How often a judge calls a clause broken that holds.
        misses: How often a judge passes over one that is broken.
        broken_share: How often the clauses of a group are broken.
    """

    false_alarms: float
    misses: float
    broken_share: Mapping[str, float]

    def broken_probability(self, cell: ClauseVotes) -> float:
        """Return the probability that a clause is broken, given its votes."""
        share, passes = self.broken_share.get(cell.group, 0.5), cell.votes - cell.failures
        likelihood = share * (1 - self.misses) ** cell.failures * self.misses**passes
        other_likelihood = (
            (1 - share) * self.false_alarms**cell.failures * (1 - self.false_alarms) ** passes
        )
        return likelihood / (likelihood + other_likelihood)


def fit_votes(cells: Sequence[ClauseVotes], rounds: int = ROUNDS) -> VoteModel:
    """Return the error rates and shares that explain votes best.

    Args:
        cells: The votes on each clause of each output.
        rounds: How often truths and rates are estimated by each other.
    """
    wrong, right = _ERROR_PRIOR
    start = wrong / (wrong + right)
    counts = Counter(cells)
    model = VoteModel(start, start, dict.fromkeys({cell.group for cell in counts}, 0.5))
    for _ in range(rounds):
        model = _refit(counts, {cell: model.broken_probability(cell) for cell in counts})
    return model


def _refit(
    counts: Mapping[ClauseVotes, int], probabilities: Mapping[ClauseVotes, float]
) -> VoteModel:
    """Return the rates that fit the probabilities of the truths.

    Args:
        counts: How often each cell is there.
        probabilities: That of each that its clause is broken.
    """
    wrong, right = _ERROR_PRIOR
    alarms, clear_votes, misses, broken_votes = wrong, wrong + right, wrong, wrong + right
    sizes, sums = Counter[str](), defaultdict[str, float](float)
    for cell, count in counts.items():
        probability = probabilities[cell]
        alarms += count * (1 - probability) * cell.failures
        clear_votes += count * (1 - probability) * cell.votes
        misses += count * probability * (cell.votes - cell.failures)
        broken_votes += count * probability * cell.votes
        sizes[cell.group] += count
        sums[cell.group] += count * probability
    yes, no = _RATE_PRIOR
    return VoteModel(
        min(_MOST_ERROR, alarms / clear_votes),
        min(_MOST_ERROR, misses / broken_votes),
        {group: (yes + sums[group]) / (yes + no + size) for group, size in sizes.items()},
    )
