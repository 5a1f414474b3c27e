"""Pipelines of a search: choose what fails, have an edit made, race it, merge what wins."""

import random
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from kiln_mcp.evolution.engine.alignment import align
from kiln_mcp.evolution.engine.anchors import Anchors, find_copy
from kiln_mcp.evolution.engine.archive import Archive, PastEdit
from kiln_mcp.evolution.engine.attempts import (
    EXPLORED,
    VALIDATION_LOOK,
    add,
    compress,
    digest,
    paraphrase,
    restart,
    restate,
    take_up,
)
from kiln_mcp.evolution.engine.candidates import INSTRUCTION, Candidate
from kiln_mcp.evolution.engine.edits import BlockEdit, apply_edits, rebase, touched_texts
from kiln_mcp.evolution.engine.knowledge import BEST, SPEAKS, Knowledge, Observation, unseen
from kiln_mcp.evolution.engine.operators import (
    Demonstrations,
    Operator,
)
from kiln_mcp.evolution.engine.race import BUDGET_ENDED, GUARDS_OF_A_DELETION, Race, Verdict
from kiln_mcp.evolution.engine.required_cases import find_fall
from kiln_mcp.evolution.engine.scheduler import Scheduler
from kiln_mcp.evolution.engine.selection import Selection
from kiln_mcp.evolution.engine.steps import Answer, Pause, Work, ask, run_trials, with_cost
from kiln_mcp.evolution.engine.trunk import Decision, Trunk
from kiln_mcp.evolution.engine.turns import Turns
from kiln_mcp.evolution.engine.values import Account, Case, Item, Lesson, ProposalRequest
from kiln_mcp.evolution.engine.words import Words, words_of

FIRST_LOOK: Final = 5
EVALUATIONS_A_PROPOSAL: Final = 8
"""The least that a proposal needs; kept for each that is open."""
MOST_REBASES: Final = 3
NOISY_TRIES: Final = 3
"""Where chance decides some races, a candidate that lost one may be raced again so often in all."""
LESSONS: Final = 4


@dataclass
class Search:
    """A search: what its pipelines share.

    Attributes:
        val: The validation items: no proposal is made from them.
        trunk: The candidates that have won.
        selection: Chooses what to mend; has the training items.
        account: The budget.
        scheduler: Keeps the log.
        draw: The source of chance.
        turns: The operators of this search.
        demonstrations: What can be failures as examples.
        advice: Lines that can be added to an instruction without asking a model.
        anchors: What no candidate may lose.
        should_stop: Whether a person wants a pause.
        stop_reason: Why the search ended; "" while it runs.
        candidates: All candidates that were tried, by id.
        archive: The edits of proposals that were raced.
        name: The model that it is for; "" if there is one only.
        foreign: Edits that have won for another model and are to be tried.
        other_searches: The searches for other models.
        tries: Races of each candidate.
        lessons: What became of all proposals; searches for several models share it.
    """

    val: Sequence[Item]
    trunk: Trunk
    selection: Selection
    account: Account
    scheduler: Scheduler
    draw: random.Random
    turns: Turns
    demonstrations: Demonstrations
    advice: Sequence[str]
    anchors: Anchors
    should_stop: Callable[[], bool]
    stop_reason: str = ""
    candidates: dict[str, Candidate] = field(default_factory=dict[str, Candidate])
    archive: Archive = field(default_factory=Archive)
    name: str = ""
    foreign: deque[PastEdit] = field(default_factory=deque[PastEdit])
    other_searches: Sequence["Search"] = ()
    lessons: list[Decision] = field(default_factory=list[Decision])
    tries: Counter[str] = field(default_factory=Counter[str])

    @property
    def trunk_ids(self) -> set[str]:
        """The ids of all candidates that have won."""
        return {head.id for head in self.trunk.heads}

    @property
    def knowledge(self) -> Knowledge:
        """What is known of the items."""
        return self.selection.knowledge

    @property
    def train(self) -> Sequence[Item]:
        """The training items."""
        return self.selection.train

    def pipeline(self) -> Work[None]:
        """Make and try proposals until the search ends."""
        self.candidates[self.trunk.head.id] = self.trunk.head
        if self.knowledge.has_floors and self.trunk.age == 0:
            # What the start scores there is the floor.
            yield from self.look_at_guards()
        while not (reason := self._end()):
            old = self.old_items()
            if self.selection.is_converged and old:
                yield from self.look(old[:VALIDATION_LOOK])
                continue
            operator = self._choose()
            self.turns.attempts[operator] += 1
            gain, evaluations = yield from with_cost(self._attempt(operator))
            self.turns.attempts[operator] -= 1
            if gain is None:
                yield Pause()
                continue
            self.turns.end(operator, evaluations, gain)
        self.stop_reason = self.stop_reason or reason

    def _end(self) -> str:
        """Return why no further proposal is made; "" if one is."""
        budget = self.account.budget
        price = EVALUATIONS_A_PROPOSAL * (self.turns.attempts.total() + 1) * budget.evaluation
        if self.should_stop():
            return "stopped"
        if self.account.is_over or self.account.remaining < price:
            is_short = self.account.proposals < 10 and not self.trunk.edits
            return "too little budget to find 10 points" if is_short else "budget"
        if self._usable():
            return ""
        return "converged" if self.selection.is_converged else "no proposals left"

    def _choose(self) -> Operator:
        """Return what is tried next: what has won for another model first."""
        return Operator.ADOPT if self.foreign else self.turns.choose(self.draw, self._usable())

    def _usable(self) -> list[Operator]:
        """Return the operators that may still bring something."""
        selection = self.selection
        is_converged = selection.is_converged and not self.old_items()
        return self.turns.usable(is_converged=is_converged)

    def _attempt(self, operator: Operator) -> Work[float | None]:
        """Make and try a proposal; return its gain, None if there was nothing to do."""
        match operator:
            case Operator.REFLECT:
                return (yield from self._reflect())
            case Operator.ADOPT:
                return (yield from take_up(self, self.foreign.popleft(), operator))
            case Operator.RESTART:
                return (yield from restart(self))
            case Operator.RESTATE:
                return (yield from restate(self))
            case Operator.COMPRESS:
                return (yield from compress(self))
            case Operator.PARAPHRASE:
                return (yield from paraphrase(self))
            case _:
                return (yield from add(self, operator))

    def _reflect(self) -> Work[float | None]:
        """Let a model mend what training items complain of."""
        selection = self.selection
        if len(self.knowledge.of(self.train)) < len(self.train) // 4:
            yield from self.look(self.unseen(FIRST_LOOK))
        cluster, complaint = selection.choose()
        fresh = self.unseen(EXPLORED)
        if not cluster and not fresh:
            return None
        items = [entry.item for entry in cluster]
        selection.complaints.append(complaint)
        selection.items.update(item.id for item in items)
        stale = [
            entry.item for entry in cluster if selection.is_uncertain(entry, complaint, self.trunk)
        ]
        yield from self.look([*stale, *fresh])
        failures = self.knowledge.failing(items)
        gain = (yield from self._propose(failures, complaint)) if failures else 0.0
        selection.complaints.remove(complaint)
        selection.items.subtract(item.id for item in items)
        return gain

    def unseen(self, count: int) -> list[Item]:
        """Return training items that are new, without those that the head shows."""
        return self.selection.unseen(count, self.trunk.head.demonstrations)

    def old_items(self) -> list[Item]:
        """Return training items to look at again, without those that the head shows."""
        return self.selection.old_items(self.trunk.age, self.trunk.head.demonstrations)

    def look(self, items: Sequence[Item]) -> Work[None]:
        """Run the head on items."""
        age, head = self.trunk.age, self.trunk.head
        self.selection.items.update(item.id for item in items)
        results = yield from run_trials([(head, item) for item in items])
        self.selection.items.subtract(item.id for item in items)
        for item, evaluation in zip(items, results, strict=False):
            self.knowledge.observe(item, evaluation, age)

    def look_at_guards(self) -> Work[int]:
        """Run the head on validation items that are new; return how many."""
        new = unseen(self.knowledge, self.val)
        new = [item for item in new if not self.selection.items[item.id]][:VALIDATION_LOOK]
        yield from self.look(new)
        return len(new)

    def _propose(self, failures: Sequence[Observation], complaint: Words) -> Work[float | None]:
        """Ask for an edit, and try it."""
        if not self.account.take_proposal():
            return 0.0
        base = self.trunk.head
        cases = [Case(entry.item, entry.evaluation) for entry in failures]
        names = [case.item.id for case in cases]
        component = self._component(base)
        request = ProposalRequest(
            id=f"p{self.account.proposals}-{digest(base.id, component, *names)}",
            operator=Operator.REFLECT.value,
            candidate=base,
            component=component,
            failures=cases,
            successes=[
                Case(entry.item, entry.evaluation)
                for entry in self.knowledge.of(self.train)
                if entry.value >= BEST
            ][-1:],
            lessons=self._lessons(complaint),
            number=self.account.proposals,
        )
        answer = yield from ask(request)
        decision = Decision(request.id, Operator.REFLECT, accepted=False, reason="", items=names)
        if answer is not None:
            decision = replace(decision, lesson=answer.reason)
        edits = self.usable_edits(answer, base, component)
        copy = find_copy(edits, base, cases)
        if copy or not edits:
            reason = f"It copies {copy!r} from a case." if copy else "The answer is no usable edit."
            self.decide(decision, reason)
            self.knowledge.count_try([] if copy else names)
            return 0.0
        words = words_of("\n".join(touched_texts(edits, base)))
        return (yield from self.try_edits(base, edits, decision, words))

    def _component(self, base: Candidate) -> str:
        """Return the text to edit: each in turn, if there are several."""
        names = [name for name in base.components if name != "demonstrations"]
        return names[self.account.proposals % len(names)] if names else INSTRUCTION

    def _lessons(self, complaint: Words) -> list[Lesson]:
        """Return what became of the newest edits that speak of a complaint."""
        weights = self.knowledge.words
        alike = [
            decision
            for decision in self.lessons
            if decision.texts and weights.coverage(decision.words, complaint) >= SPEAKS
        ]
        return [
            Lesson("\n".join(d.texts), d.lesson, d.accepted, d.reason) for d in alike[-LESSONS:]
        ]

    def try_edits(
        self, base: Candidate, edits: Sequence[BlockEdit], decision: Decision, words: Words
    ) -> Work[float | None]:
        """Race an edit on the newest head; if the head moves meanwhile, merge or race again."""
        decision = replace(decision, texts=touched_texts(edits, base))
        for _ in range(MOST_REBASES):
            head = self.trunk.head
            merged = rebase(edits, base, head)
            child = merged.candidate
            decision = replace(decision, candidate=child.id, onto=head.id)
            objection = self.anchors.objection(child)
            decision = replace(decision, is_refused=bool(objection))
            is_tried = self.tries[child.id] >= (NOISY_TRIES if self.knowledge.has_noise else 1)
            is_tried = is_tried or child.id in self.trunk_ids
            if not objection and (is_tried or _is_overtaken(decision, base, head)):
                objection = (
                    "The same candidate was tried before."
                    if is_tried
                    else "Other demonstrations won first."
                )
            if objection:
                self.decide(decision, objection, child)
                self.knowledge.count_try(decision.items)
                return 0.0
            self.candidates[child.id] = child
            self.tries[child.id] += 1
            verdict = yield from self._race(head, child, decision, words)
            decision = replace(
                decision,
                gain=round(verdict.gain, 4),
                loss=round(verdict.loss, 4),
                better_on=verdict.better_on,
                worse_on=verdict.worse_on,
                is_refused=verdict.is_refused,
            )
            if decision.operator is Operator.REFLECT:
                self.archive.keep(base, edits, decision)
            if not verdict.is_won:
                self.decide(decision, verdict.reason, child)
                self.knowledge.count_try(decision.items)
                return 0.0
            newest = rebase(edits, base, self.trunk.head)
            if newest.candidate.id == self.trunk.head.id:
                break
            # With floors or required cases nothing joins the head that was not raced with it.
            is_free = not self.knowledge.has_floors and not self.anchors.items
            is_free = is_free and not set(newest.conflicts) - set(merged.conflicts)
            is_free = is_free and not _is_overtaken(decision, head, self.trunk.head)
            if self.trunk.head is head or is_free:
                self._accept(newest.candidate, decision, verdict)
                if decision.operator is not Operator.ADOPT:
                    past = PastEdit(base, edits, decision.texts, decision)
                    for other in self.other_searches:
                        other.foreign.append(past)
                return verdict.gain
        self.decide(decision, "Other edits of the same blocks, or with the same text, won first.")
        return 0.0

    def usable_edits(
        self, answer: Answer | None, base: Candidate, component: str
    ) -> list[BlockEdit]:
        """Return the edits of an answer; none if they cannot be applied."""
        if answer is None or not (answer.edits or answer.text.strip()):
            return []
        edits = list(answer.edits) or align(base, answer.text, component)
        try:
            apply_edits(base, edits)
        except ValueError:
            return []
        return edits

    def _race(
        self, head: Candidate, child: Candidate, decision: Decision, words: Words
    ) -> Work[Verdict]:
        race = Race(
            knowledge=self.knowledge,
            head=head,
            child=child,
            age=self.trunk.age,
            edit=words,
            shown_ids=frozenset(decision.items),
            items=[*self.train, *self.val],
            guards=self.val,
            draw=self.draw,
        )
        if decision.operator is Operator.COMPRESS:
            race.guard_count = GUARDS_OF_A_DELETION
            verdict = yield from race.run_shorter()
        elif decision.operator is Operator.RESTATE:
            verdict = yield from race.run_restated()
        elif decision.operator is Operator.DEMONSTRATE and decision.items:
            verdict = yield from race.run_chosen()
        else:
            verdict = yield from race.run()
        if not (verdict.is_won and self.anchors.items):
            return verdict
        fall = yield from find_fall(self, child, {item.id: e for item, e in verdict.results})
        if not fall:
            return verdict
        return replace(verdict, is_won=False, is_refused=fall != BUDGET_ENDED, reason=fall)

    def _accept(self, candidate: Candidate, decision: Decision, verdict: Verdict) -> None:
        decision = replace(decision, candidate=candidate.id, onto=self.trunk.head.id)
        accepted = replace(decision, accepted=True, calls=self.account.calls)
        self.candidates[candidate.id] = candidate
        self.trunk.advance(candidate, accepted)
        for item, evaluation in verdict.results:
            self.knowledge.observe(item, evaluation, self.trunk.age)
        self.decide(accepted, verdict.reason, candidate)

    def decide(self, decision: Decision, reason: str, candidate: Candidate | None = None) -> None:
        """Log what became of a proposal."""
        decision = replace(decision, reason=reason, calls=self.account.calls)
        if decision.accepted:
            self.trunk.edits[-1] = decision
        self.trunk.decisions.append(decision)
        self.lessons.append(decision)
        blocks = [block.fields for block in candidate.blocks] if candidate else []
        event = {"event": "decision", **decision.fields, **({"blocks": blocks} if blocks else {})}
        if self.name:
            event["model"] = self.name
        key = f"decision {self.name}{decision.proposal} {decision.onto}"
        self.scheduler.record(key, event)


def _is_overtaken(decision: Decision, base: Candidate, head: Candidate) -> bool:
    """Return whether a set of demonstrations was made for another set than the head has."""
    is_set = decision.operator is Operator.DEMONSTRATE
    return is_set and base.demonstrations != head.demonstrations
