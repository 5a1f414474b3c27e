"""What a search knows of its items: the newest observation of each, and the noise of scores."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from kiln_mcp.evolution.engine.values import Evaluation, Goal, Item
from kiln_mcp.evolution.engine.words import Words, WordWeights, sentences_of, words_of

SIMILAR: Final = 0.5
"""From this likeness two complaints are taken for one."""
SPEAKS: Final = 0.55
"""From this share of its words an edit is taken to speak of a complaint."""
EXACT_REPEATS: Final = 8
"""After so many repeats without a difference a score is taken for exact."""
BEST: Final = 1 - 1e-9


@dataclass(frozen=True, slots=True)
class Observation:
    """The newest evaluation of an item by a candidate of the trunk.

    Attributes:
        item: The item.
        evaluation: What the candidate made of it.
        value: The value of its scores, from 0 to 1.
        complaints: The words of each sentence of the feedback.
        age: How many edits the trunk had accepted.
        tries: Proposals that were to mend it and did not.
    """

    item: Item
    evaluation: Evaluation
    value: float
    complaints: tuple[Words, ...]
    age: int
    tries: int = 0


def value_of(scores: Mapping[str, float], goals: Mapping[str, Goal]) -> float:
    """Return the weighted mean of scores, each up to its target; from 0 to 1."""
    total, weights = 0.0, 0.0
    for name, score in scores.items():
        goal = goals.get(name, _PLAIN)
        total += goal.weight * min(score / goal.target, 1.0)
        weights += goal.weight
    return total / weights if weights else 0.0


_PLAIN: Final = Goal()


class Knowledge:
    """The newest observation of each item, and what repeats say of the noise.

    Attributes:
        goals: What a person wants of each score.
        observations: By the item's id.
        words: How much a word says.
        start_scores: What the start was first seen to score, by the item's id.
        has_noise: Whether one candidate was seen to score otherwise in another run of an item.
    """

    def __init__(self, goals: Mapping[str, Goal]) -> None:
        self.goals = goals
        self.observations: dict[str, Observation] = {}
        self.words = WordWeights()
        self.start_scores: dict[str, Mapping[str, float]] = {}
        self.has_noise = False
        self._repeats = 0
        self._changes = 0

    def value(self, evaluation: Evaluation) -> float:
        """Return the value of an evaluation's scores."""
        return value_of(evaluation.scores, self.goals)

    def observe(self, item: Item, evaluation: Evaluation, age: int) -> None:
        """Keep an evaluation by a candidate of the trunk; one without scores says nothing."""
        if not evaluation.scores:
            return
        if age == 0:
            self.start_scores.setdefault(item.id, evaluation.scores)
        value = self.value(evaluation)
        complaints = sentences_of(evaluation.remarks) if value < BEST else ()
        earlier = self.observations.get(item.id)
        tries = earlier.tries if earlier is not None and value < BEST else 0
        self.words.add(complaints)
        self.observations[item.id] = Observation(item, evaluation, value, complaints, age, tries)

    @property
    def has_floors(self) -> bool:
        """Whether a score may fall only so far below the start."""
        return any(goal.margin is not None for goal in self.goals.values())

    def change_since_start(self, name: str, newer: Mapping[str, Evaluation]) -> float:
        """Return the mean change of a score since the start, over the items that both ran on.

        Args:
            name: The score.
            newer: What a child made of items, by the item's id.
        """
        pairs = [
            (self.start_scores[i], e.scores) for i, e in newer.items() if i in self.start_scores
        ]
        changes = [new[name] - old[name] for old, new in pairs if name in old and name in new]
        return sum(changes) / len(changes) if changes else 0.0

    def count_try(self, items: Iterable[str]) -> None:
        """Count a proposal that was to mend items and did not."""
        for name in items:
            entry = self.observations.get(name)
            if entry is not None:
                self.observations[name] = replace(entry, tries=entry.tries + 1)

    def count_repeat(self, first: float, second: float) -> None:
        """Keep two values of one candidate on one item."""
        self._repeats += 1
        self._changes += first != second
        self.has_noise |= first != second

    @property
    def is_exact(self) -> bool:
        """Whether repeats have always given the same value."""
        return self._repeats >= EXACT_REPEATS and not self._changes

    def of(self, items: Iterable[Item]) -> list[Observation]:
        """Return the observations of those items that have one."""
        find = self.observations.get
        return [entry for item in items if (entry := find(item.id)) is not None]

    def failing(self, items: Iterable[Item]) -> list[Observation]:
        """Return the observations below the best value."""
        return [entry for entry in self.of(items) if entry.value < BEST]

    def speaks_of(self, edit: Words, observation: Observation) -> float:
        """Return from 0 to 1 how much an edit speaks of what is wrong with an output."""
        scores = [self.words.coverage(edit, complaint) for complaint in observation.complaints]
        return max(scores, default=0.0)

    def shares(self, complaint: Words, observation: Observation) -> float:
        """Return from 0 to 1 how much the complaints on an output are like one of another."""
        scores = [self.words.likeness(complaint, other) for other in observation.complaints]
        return max(scores, default=0.0)

    def concerns(self, edit: Words, item: Item) -> float:
        """Return from 0 to 1 how much of an edit's words an item's input has."""
        return self.words.coverage(words_of(item.text), edit) if item.text else 0.0


def unseen(knowledge: Knowledge, items: Sequence[Item]) -> list[Item]:
    """Return the items without an observation."""
    return [item for item in items if item.id not in knowledge.observations]
