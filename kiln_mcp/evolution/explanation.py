"""What each part of a prompt earns: it is left out, and the same items are run again."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import anyio
import anyio.to_thread

from kiln_mcp.approvals.plan import Plan
from kiln_mcp.evolution.ablation import PromptPart, blocks_of, sentences_of
from kiln_mcp.evolution.engine import Candidate, Item
from kiln_mcp.evolution.explanation_answers import PartRow, PromptExplanation
from kiln_mcp.evolution.search_context import SearchContext
from kiln_mcp.evolution.trials import engine_items
from kiln_mcp.llm.errors import ModelError
from kiln_mcp.llm.for_each import for_each
from kiln_mcp.run_configs.cost_estimates import estimate_cost
from kiln_mcp.statistics import Interval, SystemDifference, differences_from, score_columns
from storage.errors import InvalidValue, NextStep, Refusal

FEWEST_ITEMS: Final = 8
"""Items that each part is left out on, at least."""
USUAL_ITEMS: Final = 16
"""From so many items on sentences are told apart; with fewer, whole blocks are."""
LEVEL: Final = 0.95

Columns = Mapping[str, list[dict[str, float]]]
"""By score: for the whole prompt and for each rest of it, the score of each item."""


@dataclass(frozen=True, slots=True)
class Ablation:
    """A plan of what is left out, and on which items.

    Attributes:
        search_context: What runs prompts.
        parts: The parts.
        items: The items, the same for each part.
    """

    search_context: SearchContext
    parts: Sequence[PromptPart]
    items: Sequence[Item]

    @property
    def candidates(self) -> list[Candidate]:
        """The whole prompt first, then what is left without each part."""
        return [self.search_context.start, *(part.rest for part in self.parts)]

    @property
    def runs(self) -> int:
        """How many outputs are made and judged."""
        return len(self.candidates) * len(self.items)


def plan_ablation(search_context: SearchContext) -> Ablation:
    """Choose parts and items for a number of calls: sentences if these are enough, else blocks.

    Raises:
        Refusal: The prompt has one part only.
        InvalidValue: The calls are too few.
    """
    request, trials = search_context.request, search_context.trials
    data = search_context.parts
    items = engine_items([*data.train, *data.val])
    random.Random(request.seed).shuffle(items)
    runs = request.max_calls // trials.calls_each
    sentences, blocks = sentences_of(search_context.start), blocks_of(search_context.start)
    item_count = min(USUAL_ITEMS, len(items))
    parts = sentences if runs >= item_count * (len(sentences) + 1) else blocks
    if len(parts) < 2:
        raise Refusal(
            "The prompt of '{name}' has only one part, so there is nothing to tell apart.",
            name=search_context.first.name,
            next=[
                NextStep(
                    tool="improve_prompt",
                    reason="search for a better prompt",
                    arguments={"start": search_context.first.name},
                )
            ],
        )
    fewest = min(FEWEST_ITEMS, len(items))
    count = min(len(items), runs // (len(parts) + 1))
    if count < fewest:
        raise InvalidValue(
            "max_calls is too small: {parts} parts on {fewest} items each take {calls} calls.",
            parts=len(parts),
            fewest=fewest,
            calls=(len(parts) + 1) * fewest * trials.calls_each,
        )
    return Ablation(search_context, parts, items[:count])


def ablation_calls(ablation: Ablation) -> dict[str, int]:
    """Return how often the models are asked."""
    context = ablation.search_context
    resolved_config, evaluator = context.resolved_config, context.eval_context.evaluator
    calls = {resolved_config.model: resolved_config.calls_per_output * ablation.runs}
    if evaluator.model:
        verdict_calls = evaluator.calls_per_item * ablation.runs
        calls[evaluator.model] = calls.get(evaluator.model, 0) + verdict_calls
    return calls


async def ablation_plan(ablation: Ablation) -> Plan:
    """Return what an ablation will do and cost."""
    context = ablation.search_context
    summary = (
        f"Leave out each of {len(ablation.parts)} parts of the prompt of {context.first.name!r} "
        f"in turn, and run the rest on {len(ablation.items)} training and validation items."
    )
    return await estimate_cost(
        context.workspace.engine, summary, ablation_calls(ablation), "evolution"
    )


async def explain(ablation: Ablation) -> PromptExplanation:
    """Run the prompt with and without each part, and say what the parts earn.

    Raises:
        ModelError: One that ends the work; what was answered is in the response cache.
    """
    columns, failures = await _columns(ablation)
    rows: list[PartRow] = []
    for key, values in columns.items():
        rows += await anyio.to_thread.run_sync(_rows, key, values, ablation, len(columns))
    context = ablation.search_context
    warnings = [
        "Parts that say the same each seem to earn nothing: leave out one at a time.",
        "These items took part in the search for a prompt that was found, so they flatter it.",
    ]
    if failures:
        warnings.append(f"{failures} of {ablation.runs} runs have no score, and are left out.")
    return PromptExplanation(
        verdict=_verdict(rows),
        run_config=context.first.name,
        parts=rows,
        items=len(ablation.items),
        calls=ablation.runs * context.trials.calls_each,
        seed=context.request.seed,
        warnings=warnings,
        next=[NextStep(tool="create_run_config", reason="try the prompt without what harms")],
    )


async def _columns(ablation: Ablation) -> tuple[Columns, int]:
    context = ablation.search_context
    trials, workspace = context.trials, context.workspace
    candidates = ablation.candidates
    keys = context.eval_context.score_keys
    columns = {key: [dict[str, float]() for _ in candidates] for key in keys}
    errors: list[ModelError] = []
    done = failures = 0

    async def run(pair: tuple[int, Item]) -> None:
        nonlocal done, failures
        place, item = pair
        try:
            evaluation = await trials.run(candidates[place], item)
        except ModelError as error:
            errors.append(error)
            scope.cancel()
            return
        done += 1
        failures += not evaluation.scores
        for key, score in evaluation.scores.items():
            columns[key][place][item.id] = score
        await workspace.report(done, ablation.runs, "Leaving out parts of the prompt")

    pairs = [(place, item) for item in ablation.items for place in range(len(candidates))]
    with anyio.CancelScope() as scope:
        await for_each(pairs, run, workspace.engine.width(trials.models))
    if errors:
        raise errors[0]
    return {key: own for key, own in columns.items() if any(own)}, failures


def _rows(
    key: str, values: Sequence[Mapping[str, float]], ablation: Ablation, families: int
) -> list[PartRow]:
    """Return what each part earns in one score, the most first; all intervals hold together."""
    table = score_columns(values, (0.0, 1.0))
    level = 1 - (1 - LEVEL) / families
    by_place = {d.second: d for d in differences_from(table, 0, level)}
    rows = [
        _row(key, part, by_place[place])
        for place, part in enumerate(ablation.parts, 1)
        if place in by_place
    ]
    return sorted(rows, key=lambda row: -row.earns)


def _row(key: str, part: PromptPart, difference: SystemDifference) -> PartRow:
    interval = difference.interval
    has_ends = isinstance(interval, Interval)
    earns = -difference.difference
    says = "cannot be told"
    if difference.is_shown:
        says = "earns" if earns > 0 else "harms"
    return PartRow(
        part=part.text,
        kind=part.kind,
        score=key,
        earns=round(earns, 4) + 0.0,  # no -0.0
        low=round(-interval.high, 4) if has_ends else None,
        high=round(-interval.low, 4) if has_ends else None,
        items=difference.count,
        says=says,
    )


def _verdict(rows: Sequence[PartRow]) -> str:
    if not rows:
        return "No item was scored, so nothing can be told."
    counts = {word: sum(row.says == word for row in rows) for word in ("earns", "harms")}
    rest = len(rows) - sum(counts.values())
    scores = len({row.score for row in rows})
    effects = f"effects of parts on {scores} scores" if scores > 1 else "parts"
    return (
        f"Of {len(rows)} {effects}, {counts['earns']} are shown to earn something and "
        f"{counts['harms']} to harm; of {rest} it cannot be told. All intervals together hold at "
        f"{LEVEL * 100:.0f} %."
    )
