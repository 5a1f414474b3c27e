"""Search for better texts: `result = await evolve(start, train, val, evaluate, propose, ...)`."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from typing import Final, cast

from kiln_mcp.evolution.engine.anchors import Anchors
from kiln_mcp.evolution.engine.candidates import Block, Candidate
from kiln_mcp.evolution.engine.decision_log import DecisionLog, Event, MemoryLog
from kiln_mcp.evolution.engine.knowledge import Knowledge
from kiln_mcp.evolution.engine.operators import Demonstrations, Operator
from kiln_mcp.evolution.engine.scheduler import Scheduler
from kiln_mcp.evolution.engine.search import Search
from kiln_mcp.evolution.engine.selection import Selection
from kiln_mcp.evolution.engine.standings import Standing, noise_of, standings
from kiln_mcp.evolution.engine.steps import Propose
from kiln_mcp.evolution.engine.trunk import Decision, Trunk
from kiln_mcp.evolution.engine.values import Account, Budget, Evaluate, Goal, Item

MOST_PIPELINES: Final = 12
"""More proposals at once know too little of each other."""
EVALUATIONS_A_PIPELINE: Final = 40


def _runs_on() -> bool:
    return False


@dataclass(frozen=True)
class Options:
    """What a search can be told beyond its data.

    Attributes:
        goals: What a person wants of each score, by its name. Scores without a goal have weight 1.
        anchors: What no candidate may lose. Placeholders of the start are added.
        demonstrations: Training items that can be examples as examples.
        advice: Lines that can be added to an instruction without asking a model.
        width: Calls in flight at once.
        pipelines: Proposals at once; None for a number that suits width and budget.
        log: Where events go, and what an earlier run left there.
        should_stop: Asked before each proposal: whether to end and leave the rest for later.
    """

    goals: Mapping[str, Goal] = field(default_factory=dict[str, Goal])
    anchors: Anchors = field(default_factory=Anchors)
    demonstrations: Demonstrations = field(default_factory=Demonstrations)
    advice: Sequence[str] = ()
    width: int = 32
    pipelines: int | None = None
    log: DecisionLog = field(default_factory=MemoryLog)
    should_stop: Callable[[], bool] = _runs_on


@dataclass(frozen=True)
class Result:
    """What a search found.

    Attributes:
        start: The candidate that it started from.
        best: The best candidate; the start if nothing beat it.
        stop_reason: "budget", "converged", "no proposals left", "stopped", or "too little budget
            to find 10 points".
        decisions: What became of each proposal, in the order of the decisions.
        heads: The candidates that were the best one, the start first.
        calls: Calls that the budget counts.
        proposals: Proposals that were asked for.
        paid_evaluations: Evaluations that were made in this run, and not read from the log.
        standings: What was seen of each candidate that was tried, the Pareto set marked.
        noise: The variance of a candidate's value on one item, from all that was run again.
    """

    start: Candidate
    best: Candidate
    stop_reason: str
    decisions: Sequence[Decision]
    heads: Sequence[Candidate]
    calls: int
    proposals: int
    paid_evaluations: int
    standings: Sequence[Standing] = ()
    noise: float = 0.0

    @property
    def front(self) -> list[Standing]:
        """The candidates that none beats in scores, cost and time together."""
        return [standing for standing in self.standings if standing.is_on_front]

    def candidate_at(self, calls: int) -> Candidate:
        """Return the candidate that was the best one after so many calls."""
        accepted = [decision for decision in self.decisions if decision.accepted]
        return self.heads[sum(decision.calls <= calls for decision in accepted)]


async def evolve(  # noqa: PLR0913 - the whole problem, as a call in one line
    start: str | Mapping[str, str] | Candidate,
    train: Sequence[object],
    val: Sequence[object],
    evaluate: Evaluate,
    propose: Propose | None = None,
    *,
    budget: int | Budget,
    seed: int = 0,
    options: Options | None = None,
) -> Result:
    """Search for better texts within a budget.

    Edits of the text are proposed from what fails on training items. Each is raced against the
    newest text on training and validation items, and merged into it if it wins. The result has been
    chosen on these items: measure it on others before you say that it is better.

    The same arguments with the same answers take the same path, whichever answer comes first. With
    the log of an earlier run the search goes on from there, and nothing is paid for twice.

    Args:
        start: The text, or texts by the name of the component.
        train: Items that proposals are made from: `Item`s, or any values.
        val: Items that only choose: no proposal is made from them.
        evaluate: Runs a candidate on an item. Returns an `Evaluation`, or one score from 0 to 1.
        propose: Returns edits of a text, or the whole text rewritten; None if it has nothing. Left
            out: only demonstrations and advice are tried.
        budget: Calls of `evaluate`, or a `Budget`.
        seed: The source of chance.
        options: The rest.

    Raises:
        ValueError: There are no items, or two of them have one id.
        Exception: What `evaluate` or `propose` raised first. The log has all answers that came.
    """
    options = options or Options()
    first = Candidate.of(start)
    items, guards = items_of(train, "train"), items_of(val, "val")
    _check(items, guards)
    limits = budget if isinstance(budget, Budget) else Budget(budget, proposals=budget // 8)
    account, draw = Account(limits), random.Random(seed)
    scheduler = Scheduler(evaluate, propose, account, options.log, options.width)
    pipelines = _pipelines(options, limits)
    scheduler.record(
        "start",
        {
            "event": "start",
            "candidate": first.id,
            "blocks": [asdict(block) for block in first.blocks],
            "seed": seed,
            "pipelines": pipelines,
            "train": [item.id for item in items],
            "val": [item.id for item in guards],
        },
    )
    order = list(items)
    draw.shuffle(order)
    search = Search(
        val=guards,
        trunk=Trunk([first]),
        selection=Selection(order, Knowledge(options.goals), draw),
        account=account,
        scheduler=scheduler,
        draw=draw,
        operators=_operators(options, propose),
        demonstrations=options.demonstrations,
        advice=options.advice,
        anchors=options.anchors.of_start(first),
        should_stop=options.should_stop,
    )
    await scheduler.run([search.pipeline() for _ in range(pipelines)])
    result = Result(
        start=first,
        best=search.trunk.head,
        stop_reason=search.stop_reason or "no proposals left",
        decisions=search.trunk.decisions,
        heads=search.trunk.heads,
        calls=account.calls,
        proposals=account.proposals,
        paid_evaluations=scheduler.paid_evaluations,
        standings=standings(
            search.candidates.values(), scheduler.evaluations, (first.id, search.trunk.head.id)
        ),
        noise=noise_of(scheduler.evaluations, options.goals),
    )
    stop = {"event": "stop", "reason": result.stop_reason, "candidate": result.best.id}
    scheduler.record(f"stop {account.calls} {result.stop_reason}", stop)
    return result


def branch(log: DecisionLog, candidate: str) -> tuple[Candidate, MemoryLog]:
    """Return a candidate of a log, and a log to start from it that has all paid evaluations.

    Raises:
        ValueError: The log has no candidate of that id.
    """
    events = log.read()
    for event in events:
        if event.get("candidate") == candidate and "blocks" in event:
            blocks = cast("list[dict[str, str]]", event["blocks"])
            evaluations = [entry for entry in events if entry["event"] == "evaluation"]
            return Candidate(tuple(Block(**block) for block in blocks)), MemoryLog(evaluations)
    raise ValueError(f"the log has no candidate {candidate}")


def items_of(values: Sequence[object], part: str) -> tuple[Item, ...]:
    """Return values as items; their ids are digests of what they say."""
    return tuple(
        value
        if isinstance(value, Item)
        else Item(
            f"{part}-{blake2b(repr(value).encode(), digest_size=6).hexdigest()}", value, str(value)
        )
        for value in values
    )


def _check(train: Sequence[Item], val: Sequence[Item]) -> None:
    if not train or not val:
        raise ValueError("A search needs training items and validation items.")
    ids = [item.id for item in (*train, *val)]
    if len(set(ids)) < len(ids):
        twice = next(name for name in ids if ids.count(name) > 1)
        raise ValueError(f"Two items have the id {twice}.")


def _pipelines(options: Options, budget: Budget) -> int:
    """Return how many proposals are made at once: those of an earlier run, if there was one."""
    for event in options.log.read():
        if event["event"] == "start":
            return cast("int", event["pipelines"])
    if options.pipelines is not None:
        return options.pipelines
    evaluations = (budget.calls - budget.reserve) // budget.evaluation
    widest = min(options.width * 3 // 8, evaluations // EVALUATIONS_A_PIPELINE, MOST_PIPELINES)
    return max(1, widest)


def _operators(options: Options, propose: Propose | None) -> list[Operator]:
    operators = [Operator.REFLECT] if propose is not None else []
    examples = options.demonstrations
    if examples.texts or examples.render is not None:
        operators.append(Operator.DEMONSTRATE)
    return [*operators, *([Operator.ADVISE] if options.advice else [])]


__all__ = ["Event", "Options", "Result", "branch", "evolve"]
