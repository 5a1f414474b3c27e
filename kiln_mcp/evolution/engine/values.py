"""What callers hand to the engine: items, evaluations, goals and the budget."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from kiln_mcp.evolution.engine.candidates import Candidate


@dataclass(frozen=True)
class Item:
    """An item that candidates are run on.

    Attributes:
        id: The same in every run on the same data.
        value: Handed to `evaluate` and not read by the engine.
        text: The input as text: finds items that an edit speaks of. "" if there is none.
        reference: The right output, if it is known; shown to the reflecting model.
        repeat: How often the candidate was run on it before: an answer from a cache is no repeat.
    """

    id: str
    value: object = None
    text: str = ""
    reference: str = ""
    repeat: int = 0


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a candidate made of one item.

    Attributes:
        scores: Each score from 0 to 1 by name, such as an eval, a field or a clause. Empty if the
            output cannot be had or judged, which says nothing of the candidate.
        feedback: What is wrong, for the reflecting model; by the name of a score or in one text.
        output: The output.
        failure: Why there are no scores.
        cost_usd: What the calls cost.
        seconds: How long the output took.
        paid_calls: Calls that were sent; fewer than the budget's price if a cache had answers.
            None for the whole price.
    """

    scores: Mapping[str, float]
    feedback: str | Mapping[str, str] = ""
    output: str = ""
    failure: str = ""
    cost_usd: float = 0.0
    seconds: float = 0.0
    paid_calls: int | None = None

    @property
    def remarks(self) -> str:
        """The feedback in one text."""
        if isinstance(self.feedback, str):
            return self.feedback
        return "\n".join(f"{name}: {text}" for name, text in self.feedback.items() if text)


@dataclass(frozen=True, slots=True)
class Goal:
    """What a person wants of one score.

    Attributes:
        weight: Its share of the value of a candidate; 0 for a score that is only guarded.
        margin: The most that it may fall below the start; None for a score that may fall as far
            as the others make up for it.
        target: Above this value more of the score is worth nothing.
    """

    weight: float = 1.0
    margin: float | None = None
    target: float = 1.0


@dataclass(frozen=True, slots=True)
class Budget:
    """How much a search may use.

    Attributes:
        calls: Calls in all, those of `reserve` included.
        reserve: Calls that are kept for the final measurement and not used by the search.
        evaluation: Calls that one evaluation takes.
        proposal: Calls that one proposal takes; 0 if only evaluations are counted.
        proposals: The most proposals; None for any number.
        cost_usd: The most money; None for any amount.
        seconds: The longest time; None for any time.
    """

    calls: int
    reserve: int = 0
    evaluation: int = 1
    proposal: int = 0
    proposals: int | None = None
    cost_usd: float | None = None
    seconds: float | None = None


@dataclass
class Account:
    """What a search has used: taken before calls are sent, so that no limit is passed.

    A repeated run counts calls that the log answers as they were paid, so it takes the same path.
    """

    budget: Budget
    calls: int = 0
    proposals: int = 0
    cost_usd: float = 0.0
    started: float = field(default_factory=time.monotonic)

    @property
    def remaining(self) -> int:
        """Calls that the search can still take."""
        return max(0, self.budget.calls - self.budget.reserve - self.calls)

    @property
    def is_over(self) -> bool:
        """Whether money or time are used up."""
        budget = self.budget
        if budget.cost_usd is not None and self.cost_usd >= budget.cost_usd:
            return True
        return budget.seconds is not None and time.monotonic() - self.started >= budget.seconds

    def take_evaluations(self, count: int) -> int:
        """Take up to so many evaluations; return how many."""
        if self.is_over:
            return 0
        evaluations = min(count, self.remaining // self.budget.evaluation)
        self.calls += evaluations * self.budget.evaluation
        return evaluations

    def take_proposal(self) -> bool:
        """Take one proposal; False, and nothing taken, if it does not fit."""
        budget = self.budget
        is_last = budget.proposals is not None and self.proposals >= budget.proposals
        if is_last or self.is_over or budget.proposal > self.remaining:
            return False
        self.proposals += 1
        self.calls += budget.proposal
        return True

    def settle(self, price: int, paid_calls: int | None) -> None:
        """Give back what a cache has saved of a reservation, and take what corrections cost."""
        if paid_calls is not None:
            self.calls += paid_calls - price


@dataclass(frozen=True, slots=True)
class Case:
    """An item with what the candidate made of it, as the reflecting model is shown it."""

    item: Item
    evaluation: Evaluation


@dataclass(frozen=True, slots=True)
class Lesson:
    """What became of an earlier edit."""

    text: str
    reason: str
    accepted: bool
    outcome: str


@dataclass(frozen=True)
class ProposalRequest:
    """What a new candidate is asked for with.

    Attributes:
        id: The same when a search is repeated.
        operator: What is asked for, such as "reflect" or "compress".
        candidate: The candidate that is edited.
        component: Which of its texts.
        failures: Training items on which it fails.
        successes: Training items on which it does well.
        lessons: Earlier edits that speak of the same, accepted and rejected ones.
        number: Which proposal of the search it is: the same question may be asked twice.
    """

    id: str
    operator: str
    candidate: Candidate
    component: str
    failures: Sequence[Case] = ()
    successes: Sequence[Case] = ()
    lessons: Sequence[Lesson] = ()
    number: int = 0

    @cached_property
    def text(self) -> str:
        """The text that is edited."""
        return self.candidate.text_of(self.component)


Evaluate = Callable[[Candidate, Item], Awaitable[Evaluation | float]]
"""Runs a candidate on an item."""
