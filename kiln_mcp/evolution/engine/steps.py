"""What pipelines ask the scheduler for, and what they are answered."""

from collections.abc import Awaitable, Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

from kiln_mcp.evolution.engine.candidates import Candidate
from kiln_mcp.evolution.engine.edits import BlockEdit
from kiln_mcp.evolution.engine.values import Evaluation, Item, ProposalRequest


@dataclass(frozen=True, slots=True)
class Answer:
    """What a proposer answers: edits, or the whole text of the component rewritten.

    Attributes:
        edits: The edits; empty if there is a text.
        text: The text.
        reason: What it is meant to correct.
        paid_calls: Calls that were sent; None for the budget's price of a proposal.
    """

    edits: Sequence[BlockEdit] = ()
    text: str = ""
    reason: str = ""
    paid_calls: int | None = None


Propose = Callable[[ProposalRequest], Awaitable[Answer | str | Sequence[BlockEdit] | None]]
"""Returns edits, or the whole text of the component rewritten; None if it has nothing."""


@dataclass(frozen=True, slots=True)
class Trials:
    """A step: run candidates on items.

    It is answered with the evaluations; with fewer than asked for if the budget has ended.
    """

    pairs: Sequence[tuple[Candidate, Item]]


@dataclass(frozen=True, slots=True)
class Question:
    """A step: ask for a proposal; answered with an `Answer` or None."""

    request: ProposalRequest


@dataclass(frozen=True, slots=True)
class Pause:
    """A step: wait until another pipeline has got further."""


Step = Trials | Question | Pause
Value = TypeVar("Value")
Work = Generator[Step, object, Value]
"""A part of a pipeline: yields steps, gets their answers, returns its result."""


def run_trials(pairs: Sequence[tuple[Candidate, Item]]) -> Work[list[Evaluation]]:
    """Run candidates on items; fewer evaluations than pairs come if the budget has ended."""
    if not pairs:
        return []
    return cast("list[Evaluation]", (yield Trials(pairs)))


def ask(request: ProposalRequest) -> Work[Answer | None]:
    """Ask for a proposal."""
    return cast("Answer | None", (yield Question(request)))


def with_cost(work: Work[Value]) -> Work[tuple[Value, int]]:
    """Carry out work; return its result and how many evaluations it asked for."""
    evaluations, answer = 0, None
    while True:
        try:
            step: Step = work.send(answer)
        except StopIteration as end:
            return end.value, evaluations
        if isinstance(step, Trials):
            evaluations += len(step.pairs)
        answer = yield step
