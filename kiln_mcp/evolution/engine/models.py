"""One search for several models: each keeps its own text, all learn from each other's lessons."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from kiln_mcp.evolution.engine.candidates import Candidate
from kiln_mcp.evolution.engine.evolve import (
    Options,
    Result,
    check_items,
    items_of,
    limits_of,
    make_search,
    pipelines_of,
    result_of,
    start_event,
)
from kiln_mcp.evolution.engine.knowledge import value_of
from kiln_mcp.evolution.engine.operators import Demonstrations, Operator
from kiln_mcp.evolution.engine.scheduler import Scheduler
from kiln_mcp.evolution.engine.steps import Propose
from kiln_mcp.evolution.engine.trunk import Decision
from kiln_mcp.evolution.engine.values import Account, Budget, Evaluate, Evaluation, Item

MODEL_END: Final = "\x1f"
"""Stands between a model's name and the id of an item."""


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A model's line of the table.

    Attributes:
        model: Its name.
        start: The value of the start with it, from 0 to 1, as the search has seen it.
        best: The value of its best text.
        cost_usd: What an evaluation of its best text costs.
        seconds: How long an output takes.
        own_edits: Edits that were first accepted for it.
        shared_edits: Edits that another model's failures brought.
    """

    model: str
    start: float
    best: float
    cost_usd: float
    seconds: float
    own_edits: int
    shared_edits: int


@dataclass(frozen=True)
class ModelsResult:
    """What a search for several models found.

    Attributes:
        by_model: What was found for each. Calls and proposals are those of all together.
        table: A line for each model. The values chose the texts: measure them on other items.
    """

    by_model: Mapping[str, Result]
    table: Sequence[ModelRow]


async def evolve_models(  # noqa: PLR0913 - the whole problem, as a call in one line
    start: str | Mapping[str, str] | Candidate,
    train: Sequence[object],
    val: Sequence[object],
    evaluate: Mapping[str, Evaluate],
    propose: Propose | None = None,
    *,
    budget: int | Budget,
    seed: int = 0,
    options: Options | None = None,
) -> ModelsResult:
    """Search for a text for each of several models within one budget.

    What one model's failures taught is tried on the others without asking for it again.

    Args:
        start: The text that all start from.
        train: Items that proposals are made from.
        val: Items that only choose.
        evaluate: Runs a candidate on an item, by the name of the model.
        propose: Returns edits of a text, for all models.
        budget: Of all models together.
        seed: The source of chance.
        options: The rest. Demonstrations belong to items and are not shared, so they are left out.

    Raises:
        ValueError: There are no models or no items, or two items have one id.
        Exception: What a call raised first. The log has all answers that came.
    """
    if not evaluate:
        raise ValueError("A search needs at least one model.")
    options = replace(options or Options(), demonstrations=Demonstrations())
    first = Candidate.of(start)
    items, guards = items_of(train, "train"), items_of(val, "val")
    check_items(items, guards)
    originals = {item.id: item for item in (*items, *guards)}

    async def evaluate_any(candidate: Candidate, item: Item) -> Evaluation | float:
        model, _, name = item.id.partition(MODEL_END)
        return await evaluate[model](candidate, replace(originals[name], repeat=item.repeat))

    limits = limits_of(budget)
    scheduler = Scheduler(evaluate_any, propose, Account(limits), options.log, options.width)
    pipelines = max(len(evaluate), pipelines_of(options, limits, can_ask=scheduler.can_ask))
    scheduler.record("start", start_event(first, items, guards, seed, pipelines))
    lessons, draw = list[Decision](), random.Random(seed)
    searches = {
        model: make_search(
            first,
            [replace(item, id=f"{model}{MODEL_END}{item.id}") for item in items],
            [replace(item, id=f"{model}{MODEL_END}{item.id}") for item in guards],
            scheduler,
            options,
            draw,
        )
        for model in evaluate
    }
    for model, search in searches.items():
        search.name, search.lessons = model, lessons
        search.other_searches = [other for other in searches.values() if other is not search]
    names = list(searches)
    order = [searches[names[number % len(names)]] for number in range(pipelines)]
    await scheduler.run([search.pipeline() for search in order])
    results = {model: result_of(search, options) for model, search in searches.items()}
    return ModelsResult(results, [_row(model, own, options) for model, own in results.items()])


def _row(model: str, result: Result, options: Options) -> ModelRow:
    standing_of = {standing.candidate.id: standing for standing in result.standings}
    first, best = standing_of.get(result.start.id), standing_of.get(result.best.id)
    accepted = [decision for decision in result.decisions if decision.accepted]
    shared = sum(decision.operator is Operator.ADOPT for decision in accepted)
    return ModelRow(
        model=model,
        start=value_of(first.scores, options.goals) if first else 0.0,
        best=value_of(best.scores, options.goals) if best else 0.0,
        cost_usd=best.cost_usd if best else 0.0,
        seconds=best.seconds if best else 0.0,
        own_edits=len(accepted) - shared,
        shared_edits=shared,
    )
