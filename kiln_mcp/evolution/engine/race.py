"""A race: is a child better than the head it was made of?

A child is run on items whose complaints its edit speaks of, so that a few items tell the two apart.
What it gains there is confirmed: the head is run again on the same items, for the scores by which
they were chosen flatter every child. Then it is run on items that the head does well on. Where it
falls, both are run again. Gain and loss are weighted by how many items are alike.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from kiln_mcp.evolution.engine.candidates import Candidate
from kiln_mcp.evolution.engine.knowledge import SPEAKS, Knowledge, Observation, unseen
from kiln_mcp.evolution.engine.steps import Work, run_trials
from kiln_mcp.evolution.engine.values import Evaluation, Item
from kiln_mcp.evolution.engine.words import Words

TARGETS: Final = 4
GUARDS: Final = 6
GUARDS_OF_A_DELETION: Final = 24
"""A block may matter for few items, and nothing says for which."""
CHUNK: Final = 8
MOST_FURTHER: Final = 40
BET: Final = 0.5
WIN_THRESHOLD: Final = 5.0
LOSS_THRESHOLD: Final = 2.0
"""Low on purpose: a good child that is dropped by chance costs little, others follow."""
SMALLEST_GAIN: Final = 0.05
"""The sum of gains on the targets that is worth looking further."""

BUDGET_ENDED: Final = "The budget ended before it was tried."
NOTHING_BROUGHT: Final = "It brings nothing."

Pair = tuple[Observation, Evaluation]


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a race ended.

    Attributes:
        is_won: Whether the child replaces the head.
        reason: Why, as a sentence.
        gain: The mean gain over all items that it is expected to bring.
        loss: The mean loss over all items that it is expected to cost.
        better_on: Items on which the child was confirmed to score higher.
        worse_on: Items on which it was confirmed to score lower.
        results: The child's evaluations.
        is_refused: Whether it lost what every candidate must keep.
    """

    is_won: bool
    reason: str
    gain: float = 0.0
    loss: float = 0.0
    better_on: int = 0
    worse_on: int = 0
    results: Sequence[tuple[Item, Evaluation]] = ()
    is_refused: bool = False


@dataclass
class Race:
    """A race of a child against the head.

    Attributes:
        knowledge: What is known of the items.
        head: The candidate to beat.
        child: The head with an edit.
        age: How many edits the trunk has accepted.
        edit: The words that the edit touches; empty if it speaks of every item, as
            demonstrations do.
        shown_ids: Ids of the items that the edit was made from.
        items: Items to choose from.
        guards: Further items, which are looked at if they have no observation.
        draw: The source of chance.
        guard_count: Items that the head does well on and that the child is run on.
    """

    knowledge: Knowledge
    head: Candidate
    child: Candidate
    age: int
    edit: Words
    shown_ids: frozenset[str]
    items: Sequence[Item]
    guards: Sequence[Item]
    draw: random.Random
    guard_count: int = GUARDS

    def run(self) -> Work[Verdict]:
        """Run the race."""
        targets, alike, is_general = self._targets()
        if not targets:
            return Verdict(is_won=False, reason="Nothing fails that it speaks of.")
        results = yield from run_trials([(self.child, entry.item) for entry in targets])
        target_pairs = [(o, e) for o, e in zip(targets, results, strict=False) if e.scores]
        changes = [self.knowledge.value(e) - o.value for o, e in target_pairs]
        if not results:
            return Verdict(is_won=False, reason=BUDGET_ENDED)
        if len(target_pairs) < len(results):
            failures = len(results) - len(target_pairs)
            return Verdict(
                is_won=False, reason=f"It has no score on {failures} of {len(results)} items."
            )
        if sum(changes) <= SMALLEST_GAIN:
            return Verdict(is_won=False, reason="It mends nothing of what it speaks of.")
        gains = yield from self._confirm(target_pairs)
        if sum(gains) <= SMALLEST_GAIN:
            return Verdict(is_won=False, reason="Its gain was luck: the head scores as high there.")
        share = alike / max(1, len(self.knowledge.observations))
        gain = sum(gains) / len(targets) * share
        better = [value for value in gains if value > 0]
        verdict = yield from self._guard(gain, better, target_pairs, targets)
        if not (is_general and verdict.is_won):
            return verdict
        return (yield from self._bet(verdict, {entry.item.id for entry in targets}))

    def run_shorter(self) -> Work[Verdict]:
        """Run the race of a child that is to lose nothing: it need not gain."""
        objection, pairs = yield from self._check_own(TARGETS)
        if objection:
            return Verdict(is_won=False, reason=objection)
        verdict = yield from self._guard(0.0, [], pairs, [entry for entry, _ in pairs])
        is_level = verdict.loss <= 0 and verdict.reason == NOTHING_BROUGHT and verdict.results
        if not is_level:
            return replace(verdict, is_won=False)
        return replace(verdict, is_won=True, reason="It is shorter and costs nothing.")

    def run_restated(self) -> Work[Verdict]:
        """Run the race of a child with a rule in other words: what the old ones mended stays."""
        objection, pairs = yield from self._check_own(len(self.shown_ids))
        if objection:
            return Verdict(is_won=False, reason=objection)
        verdict = yield from self.run()
        own = [(entry.item, evaluation) for entry, evaluation in pairs]
        return replace(verdict, results=[*verdict.results, *own])

    def run_chosen(self) -> Work[Verdict]:
        """Run the race of a child that was the best of many: what chose it says too much."""
        verdict = Verdict(is_won=True, reason="It brings more than it costs.")
        verdict = yield from self._bet(verdict, set())
        observations = self.knowledge.observations
        pairs = [(observations[i.id], e) for i, e in verdict.results if i.id in observations]
        objection = self._objection(pairs)
        return replace(verdict, is_won=False, reason=objection) if objection else verdict

    def _check_own(self, count: int) -> Work[tuple[str, list[Pair]]]:
        """Run the child on what a block was made for; return why it lost, "" if it did not."""
        observations = self.knowledge.observations
        own = [observations[name] for name in sorted(self.shown_ids) if name in observations]
        own = [entry for entry in own if entry.value > 0][:count]
        results = yield from run_trials([(self.child, entry.item) for entry in own])
        pairs = list(zip(own, results, strict=False))
        drops = [(o, e) for o, e in pairs if self.knowledge.value(e) < o.value]
        losses = yield from self._confirm_losses(drops)
        if len(pairs) < len(own):
            return BUDGET_ENDED, pairs
        return "What it was made for falls without it." if sum(losses) > 0 else "", pairs

    def _pool(self, items: Sequence[Item]) -> list[Item]:
        """Return the items that the child is not shown as demonstrations."""
        demonstrations = {*self.child.demonstrations, *self.head.demonstrations}
        return [item for item in items if item.id not in demonstrations]

    def _targets(self) -> tuple[list[Observation], int, bool]:
        """Return the items to gain on, how many are like them, and whether the edit is general.

        A general edit speaks of no complaint in particular.
        """
        knowledge = self.knowledge
        failing = knowledge.failing(self._pool(self.items))
        self.draw.shuffle(failing)
        if not self.edit:
            return failing[: 2 * TARGETS], len(failing), True
        ratings = [(round(knowledge.speaks_of(self.edit, o), 1), o) for o in failing]
        ratings.sort(key=lambda pair: -pair[0])
        similar = [entry for rating, entry in ratings if rating >= SPEAKS]
        if not similar:
            # It speaks of nothing in particular, so it is tried on what fails in general.
            rest = [entry for entry in failing if entry.item.id not in self.shown_ids]
            cases = [entry for entry in failing if entry.item.id in self.shown_ids]
            return [*rest[: TARGETS // 2], *cases[:TARGETS]], len(failing), True
        new_items = [entry for entry in similar if entry.item.id not in self.shown_ids]
        shown_entries = [entry for entry in similar if entry.item.id in self.shown_ids]
        shown_entries += [o for o in failing if o.item.id in self.shown_ids and o not in similar]
        return [*new_items, *shown_entries][:TARGETS], max(1, len(similar)), False

    def _confirm(self, target_pairs: Sequence[Pair]) -> Work[list[float]]:
        """Return the child's gains over the head, run again where it seems to be worse."""
        knowledge = self.knowledge
        values = [knowledge.value(evaluation) for _, evaluation in target_pairs]
        bases = [entry.value for entry, _ in target_pairs]
        doubtful = [
            place
            for place, (entry, _) in enumerate(target_pairs)
            if values[place] > entry.value and (entry.age != self.age or not knowledge.is_exact)
        ]
        repeats = yield from run_trials([(self.head, target_pairs[n][0].item) for n in doubtful])
        for place, evaluation in zip(doubtful, repeats, strict=False):
            if evaluation.scores:
                bases[place] = knowledge.value(evaluation)
                entry = target_pairs[place][0]
                knowledge.has_noise |= entry.age == self.age and entry.value != bases[place]
                knowledge.observe(entry.item, evaluation, self.age)
        return [value - base for value, base in zip(values, bases, strict=True)]

    def _guard(
        self,
        gain: float,
        gains: Sequence[float],
        target_pairs: Sequence[Pair],
        targets: Sequence[Observation],
    ) -> Work[Verdict]:
        """Run the child on items that the head does well on."""
        guards, passing = self._choose_guards(targets)
        new_items = unseen(self.knowledge, self._pool(self.guards))
        self.draw.shuffle(new_items)
        new_items = new_items[: max(1, GUARDS - len(guards))]
        results = yield from run_trials(
            [(self.child, item) for item in (*(entry.item for entry in guards), *new_items)]
        )
        pairs = list(zip(guards, results, strict=False))
        new = list(zip(new_items, results[len(guards) :], strict=False))
        drops = [(o, e) for o, e in pairs if self.knowledge.value(e) < o.value]
        losses = yield from self._confirm_losses(drops)
        loss = sum(losses) / max(1, len(pairs))
        loss *= passing / max(1, len(self.knowledge.observations))
        objection = self._objection([*target_pairs, *pairs])
        if not objection and 2 * len(results) < len(guards) + len(new_items):
            objection = BUDGET_ENDED
        if not objection and gain < loss:
            objection = "It costs more than it brings."
        if not objection and gain == loss:
            objection = NOTHING_BROUGHT
        results_by_item = [*((o.item, e) for o, e in (*target_pairs, *pairs)), *new]
        return Verdict(
            is_won=not objection,
            reason=objection or "It brings more than it costs.",
            gain=gain,
            loss=loss,
            better_on=len(gains),
            worse_on=sum(value > 0 for value in losses),
            results=results_by_item,
        )

    def _bet(self, verdict: Verdict, target_ids: set[str]) -> Work[Verdict]:
        """Race on further items in pairs, until the evidence is clear.

        The items that the edit was chosen on say nothing here. Evidence is a betting process on the
        differences, which may be looked at after each chunk: under "no better" its expectation
        never exceeds 1.

        Source:
            Waudby-Smith and Ramdas (2024), Estimating Means of Bounded Random Variables by Betting.
        """
        screened_ids = target_ids | self.shown_ids
        pool = [item for item in self._pool(self.items) if item.id not in screened_ids]
        self.draw.shuffle(pool)
        pool = pool[:MOST_FURTHER]
        differences: list[float] = []
        results = list(verdict.results)
        for begin in range(0, len(pool), CHUNK):
            chunk = pool[begin : begin + CHUNK]
            pairs = [(candidate, item) for item in chunk for candidate in (self.head, self.child)]
            answers = yield from run_trials(pairs)
            for place, item in enumerate(chunk):
                own = answers[2 * place : 2 * place + 2]
                if len(own) == 2 and all(evaluation.scores for evaluation in own):
                    first, second = map(self.knowledge.value, own)
                    differences.append(second - first)
                    self.knowledge.observe(item, own[0], self.age)
                    results.append((item, own[1]))
            if evidence([-difference for difference in differences]) >= LOSS_THRESHOLD:
                return replace(verdict, is_won=False, reason="It is worse on further items.")
            is_futile = begin > 0 and sum(differences) <= 0
            if is_futile or evidence(differences) >= WIN_THRESHOLD or len(answers) < len(pairs):
                break
        if pool and sum(differences) <= 0:
            return replace(verdict, is_won=False, reason="It is no better on further items.")
        gain = verdict.gain or sum(differences) / max(1, len(differences))
        return replace(verdict, results=results, gain=gain)

    def _choose_guards(self, targets: Sequence[Observation]) -> tuple[list[Observation], int]:
        """Return items that the child may spoil, and how many of all are like them."""
        target_ids = {entry.item.id for entry in targets}
        entries = self.knowledge.of(self._pool([*self.items, *self.guards]))
        passing = [o for o in entries if o.value > 0 and o.item.id not in target_ids]
        knowledge = self.knowledge
        ratings = [
            (o.value + self.draw.random() + knowledge.concerns(self.edit, o.item), o)
            for o in passing
        ]
        if knowledge.has_floors:
            starts = knowledge.start_scores
            ratings = [(rating + (o.item.id in starts), o) for rating, o in ratings]
        ratings.sort(key=lambda pair: -pair[0])
        return [entry for _, entry in ratings[: self.guard_count]], len(passing)

    def _confirm_losses(self, drops: Sequence[Pair]) -> Work[list[float]]:
        """Return the losses that are still there when both are run again."""
        knowledge = self.knowledge
        trials = [(self.head, entry.item) for entry, _ in drops]
        if not knowledge.is_exact:
            trials += [(self.child, entry.item) for entry, _ in drops]
        repeats = yield from run_trials(trials)
        losses: list[float] = []
        for place, (entry, first) in enumerate(drops):
            base, value = entry.value, knowledge.value(first)
            if place < len(repeats) and repeats[place].scores:
                base = knowledge.value(repeats[place])
                knowledge.observe(entry.item, repeats[place], self.age)
            if len(drops) + place < len(repeats):
                second = knowledge.value(repeats[len(drops) + place])
                knowledge.count_repeat(value, second)
                value = second
            losses.append(base - value)
        return losses

    def _objection(self, pairs: Sequence[Pair]) -> str:
        """Return why a child may not win whatever it gains; "" if it may."""
        failures = sum(not evaluation.scores for _, evaluation in pairs)
        if failures:
            return f"It has no score on {failures} items on which the head has one."
        for name, goal in self.knowledge.goals.items():
            if goal.margin is None:
                continue
            changes = [_change(name, o.evaluation.scores, e.scores) for o, e in pairs]
            if changes and sum(changes) / len(changes) < -goal.margin:
                return f"It lets {name} fall by more than {goal.margin:g}."
            newer = {o.item.id: e for o, e in pairs}
            if self.knowledge.change_since_start(name, newer) < -goal.margin:
                return f"With it {name} would lie more than {goal.margin:g} below the start."
        return ""


def evidence(differences: Sequence[float]) -> float:
    """Return the wealth of betting half a unit on every difference being above 0."""
    wealth = 1.0
    for difference in differences:
        wealth *= 1 + BET * difference
    return wealth


def _change(name: str, first: Mapping[str, float], second: Mapping[str, float]) -> float:
    return second[name] - first[name] if name in first and name in second else 0.0
