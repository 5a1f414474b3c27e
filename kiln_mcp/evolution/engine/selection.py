"""What a proposal is to mend: a complaint, and training items that share it."""

import random
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from kiln_mcp.evolution.engine.knowledge import SIMILAR, SPEAKS, Knowledge, Observation
from kiln_mcp.evolution.engine.trunk import Trunk
from kiln_mcp.evolution.engine.values import Item
from kiln_mcp.evolution.engine.words import Words

SHOWN: Final = 6
"""The most cases of one reflection."""
FEWEST_SHOWN: Final = 3
OPTIONS: Final = 6
TRY_DECAY: Final = 0.7
"""An item's weight after each proposal that did not mend it."""
BUSY_ITEM: Final = 0.1
BUSY_COMPLAINT: Final = 0.3
"""The weight of what another pipeline works on."""
REMAINDER: Final = 0.01
"""A search has converged when so much of the value of all items is still worth trying for."""
OLD_AGE: Final = 8
"""An observation is made again after so many edits."""


@dataclass
class Selection:
    """Chooses what to mend, apart from what other pipelines are at.

    Attributes:
        train: The training items.
        knowledge: What is observations of them.
        draw: The source of chance.
        items: How many pipelines are at an item, by id.
        complaints: The complaints that pipelines are at.
    """

    train: Sequence[Item]
    knowledge: Knowledge
    draw: random.Random
    items: Counter[str] = field(default_factory=Counter[str])
    complaints: list[Words] = field(default_factory=list[Words])

    @property
    def is_converged(self) -> bool:
        """Whether nearly all that fails has been tried often."""
        entries = self.knowledge.of(self.train)
        if len(entries) < len(self.train):
            return False
        rest = sum((1 - entry.value) * TRY_DECAY**entry.tries for entry in entries)
        return rest < REMAINDER * len(entries)

    def old_items(self, age: int, example_ids: Collection[str]) -> list[Item]:
        """Return training items that were observed before the newest edits, the oldest first.

        Args:
            age: How many edits the trunk has accepted.
            example_ids: Ids of items that the head shows as examples.
        """
        free = [i for i in self.train if i.id not in example_ids and not self.items[i.id]]
        entries = self.knowledge.of(free)
        old = [entry for entry in entries if entry.age < age]
        return [entry.item for entry in sorted(old, key=lambda entry: entry.age)]

    def unseen(self, count: int, example_ids: Collection[str]) -> list[Item]:
        """Return training items that no pipeline has looked at or is looking at.

        Args:
            count: The most of them.
            example_ids: Ids of items that the head shows as examples.
        """
        not_new = self.knowledge.observations.keys() | set(example_ids)
        free = [item for item in self.train if item.id not in not_new and not self.items[item.id]]
        return free[:count]

    def choose(self) -> tuple[list[Observation], Words]:
        """Return the failing items that share a complaint, and the complaint.

        Of some complaints the one is likely that costs most value over all items.
        """
        failing = self.knowledge.failing(self.train)
        if not failing:
            return [], frozenset()
        weights = [self._weight(entry) for entry in failing]
        best: tuple[float, list[Observation], Words] = (-1.0, [], frozenset())
        for seed in self.draw.choices(failing, weights, k=min(OPTIONS, len(failing))):
            complaint = self.draw.choice(seed.complaints) if seed.complaints else frozenset[str]()
            cluster = self._cluster(seed, complaint, failing)
            busy = sum(
                self.knowledge.words.likeness(complaint, other) >= SIMILAR
                for other in self.complaints
            )
            mass = sum(self._weight(entry) * likeness for likeness, entry in cluster)
            mass *= self.draw.random() ** 0.5 * BUSY_COMPLAINT**busy
            if mass > best[0]:
                cluster.sort(key=lambda pair: -pair[0])
                best = (mass, [entry for _, entry in cluster][:SHOWN], complaint)
        return best[1], best[2]

    def _weight(self, entry: Observation) -> float:
        return (1 - entry.value) * TRY_DECAY**entry.tries * BUSY_ITEM ** self.items[entry.item.id]

    def _cluster(
        self, seed: Observation, complaint: Words, failing: Sequence[Observation]
    ) -> list[tuple[float, Observation]]:
        """Return the items that share a complaint; those without any belong to each other."""
        if not complaint:
            rest = [entry for entry in failing if not entry.complaints and entry is not seed]
            self.draw.shuffle(rest)
            return [(1.0, seed), *((0.5, entry) for entry in rest)]
        pairs = [(self.knowledge.shares(complaint, entry), entry) for entry in failing]
        alike = [(share, entry) for share, entry in pairs if share >= SIMILAR or entry is seed]
        if len(alike) < FEWEST_SHOWN:
            rest = [pair for pair in pairs if pair not in alike]
            rest.sort(key=lambda pair: -pair[0])
            alike += rest[: FEWEST_SHOWN - len(alike)]
        return alike

    def is_uncertain(self, entry: Observation, complaint: Words, trunk: Trunk) -> bool:
        """Return whether edits since an observation may have mended it."""
        if trunk.age - entry.age >= OLD_AGE:
            return True
        return any(
            self.knowledge.words.coverage(edit.words, complaint) >= SPEAKS
            for edit in trunk.edits[entry.age :]
        )
