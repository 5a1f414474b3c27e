"""Search for better texts: `result = await evolve(start, train, val, evaluate, propose, ...)`."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
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
from kiln_mcp.evolution.engine.turns import Turns
from kiln_mcp.evolution.engine.values import Account, Budget, Evaluate, Goal, Item

MOST_PIPELINES: Final = 14
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
        compresses: Whether blocks are left out where nothing falls without them.
        paraphrases: Whether `propose` is also asked with the operator "paraphrase": for the text in
            other words. It must read `request.operator` then.
        width: Calls in flight at once.
        pipelines: Proposals at once; None for a number that suits width and budget.
        log: Where events go, and what an earlier run left there.
        should_stop: Asked before each proposal: whether to end and leave the rest for later.
    """

    goals: Mapping[str, Goal] = field(default_factory=dict[str, Goal])
    anchors: Anchors = field(default_factory=Anchors)
    demonstrations: Demonstrations = field(default_factory=Demonstrations)
    advice: Sequence[str] = ()
    compresses: bool = False
    paraphrases: bool = False
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
        repeats: Evaluations by which the noise is told.
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
    repeats: int = 0

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
        ValueError: There are no items, two of them have one id, or a required case is none of them.
        Exception: What `evaluate` or `propose` raised first. The log has all answers that came.
    """
    options = options or Options()
    first = Candidate.of(start)
    items, guards = items_of(train, "train"), items_of(val, "val")
    check_items(items, guards)
    check_required(options.anchors, items, guards)
    limits, draw = limits_of(budget), random.Random(seed)
    scheduler = Scheduler(evaluate, propose, Account(limits), options.log, options.width)
    pipelines = pipelines_of(options, limits, can_ask=scheduler.can_ask)
    scheduler.record("start", start_event(first, items, guards, seed, pipelines))
    search = make_search(first, items, guards, scheduler, options, draw)
    await scheduler.run([search.pipeline() for _ in range(pipelines)])
    result = result_of(search, options)
    stop = {"event": "stop", "reason": result.stop_reason, "candidate": result.best.id}
    scheduler.record(f"stop {result.calls} {result.stop_reason}", stop)
    return result


def limits_of(budget: int | Budget) -> Budget:
    """Return a budget; of a number of calls, one proposal for eight of them."""
    return budget if isinstance(budget, Budget) else Budget(budget, proposals=budget // 8)


def start_event(
    first: Candidate, train: Sequence[Item], val: Sequence[Item], seed: int, pipelines: int
) -> Event:
    """Return what the log begins with."""
    return {
        "event": "start",
        "candidate": first.id,
        "blocks": [block.fields for block in first.blocks],
        "seed": seed,
        "pipelines": pipelines,
        "train": [item.id for item in train],
        "val": [item.id for item in val],
    }


def make_search(
    first: Candidate,
    train: Sequence[Item],
    val: Sequence[Item],
    scheduler: Scheduler,
    options: Options,
    draw: random.Random,
) -> Search:
    """Return a search that has not begun."""
    order = list(train)
    draw.shuffle(order)
    return Search(
        val=val,
        trunk=Trunk([first]),
        selection=Selection(order, Knowledge(options.goals), draw),
        account=scheduler.account,
        scheduler=scheduler,
        draw=draw,
        turns=Turns(_operators(options, can_ask=scheduler.can_ask), scheduler.account),
        demonstrations=options.demonstrations,
        advice=options.advice,
        anchors=options.anchors.of_start(first),
        should_stop=options.should_stop,
    )


def result_of(search: Search, options: Options) -> Result:
    """Return what a search has found; evaluations of items of other searches are left out."""
    first, best = search.trunk.heads[0], search.trunk.head
    ids = {item.id for item in (*search.train, *search.val)}
    own = {key: e for key, e in search.scheduler.evaluations.items() if key[1] in ids}
    noise, repeats = noise_of(own, options.goals)
    return Result(
        start=first,
        best=best,
        stop_reason=search.stop_reason or "no proposals left",
        decisions=search.trunk.decisions,
        heads=search.trunk.heads,
        calls=search.account.calls,
        proposals=search.account.proposals,
        paid_evaluations=search.scheduler.paid_evaluations,
        standings=standings(search.trunk, search.candidates.values(), own),
        noise=noise,
        repeats=repeats,
    )


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


def check_items(train: Sequence[Item], val: Sequence[Item]) -> None:
    if not train or not val:
        raise ValueError("A search needs training items and validation items.")
    ids = [item.id for item in (*train, *val)]
    if len(set(ids)) < len(ids):
        twice = next(name for name in ids if ids.count(name) > 1)
        raise ValueError(f"Two items have the id {twice}.")


def check_required(anchors: Anchors, train: Sequence[Item], val: Sequence[Item]) -> None:
    missing = anchors.items - {item.id for item in (*train, *val)}
    if missing:
        raise ValueError(f"The required case {min(missing)} is no training or validation item.")


def pipelines_of(options: Options, budget: Budget, *, can_ask: bool) -> int:
    """Return how many proposals are made at once: those of an earlier run, if there was one."""
    for event in options.log.read():
        if event["event"] == "start":
            return cast("int", event["pipelines"])
    if options.pipelines is not None:
        return options.pipelines
    evaluations = (budget.calls - budget.reserve) // budget.evaluation
    return max(1, min(options.width * 7 // 16, most_pipelines(evaluations, can_ask=can_ask)))


def most_pipelines(evaluations: int, *, can_ask: bool) -> int:
    """Return how many proposals at once a budget is worth.

    Args:
        evaluations: The budget.
        can_ask: Whether anybody proposes edits. If nobody does, a tournament tries many at once.
    """
    return max(1, min(MOST_PIPELINES, evaluations // EVALUATIONS_A_PIPELINE)) if can_ask else 1


def _operators(options: Options, *, can_ask: bool) -> list[Operator]:
    operators = [Operator.REFLECT, Operator.RESTART, Operator.RESTATE] if can_ask else []
    examples = options.demonstrations
    if examples.texts or examples.render is not None:
        operators.append(Operator.DEMONSTRATE)
    if options.advice:
        operators.append(Operator.ADVISE)
    if options.compresses:
        operators.append(Operator.COMPRESS)
    if can_ask and options.paraphrases:
        operators.append(Operator.PARAPHRASE)
    return operators


__all__ = ["Event", "Options", "Result", "branch", "evolve"]
