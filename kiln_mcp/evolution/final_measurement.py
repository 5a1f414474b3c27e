"""The final measurement: start and winner on test items, before anything is saved.

Runs of the start that an earlier run of the eval has left are taken as they are. The claim is made
by the statistics of every comparison, at the error that is left of the test part.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import anyio.to_thread

from kiln_mcp.evals.eval_items import read_items
from kiln_mcp.evals.item_scores import is_empty_score
from kiln_mcp.evals.results.config_comparison import ComparedScore
from kiln_mcp.evals.results.config_scores import ConfigScores
from kiln_mcp.evals.results.part_uses import UseNumber, count_use
from kiln_mcp.evolution.engine import Candidate
from kiln_mcp.evolution.goals import USUAL_FLOOR
from kiln_mcp.evolution.held_out import SIDES, HeldOut
from kiln_mcp.evolution.held_out_runs import HeldOutRuns, Runner, RunScores, in_scale, item_means
from kiln_mcp.evolution.search_context import SearchContext
from kiln_mcp.evolution.search_log import ResumableLog
from kiln_mcp.evolution.trials import engine_items
from storage import TaskRunConfig
from storage.index.results import VerdictKey


async def measure(
    search_context: SearchContext,
    winner: Candidate,
    config: TaskRunConfig,
    runs: HeldOutRuns,
    log: ResumableLog,
) -> HeldOut:
    """Run start and winner on the held-out items; what the log or the eval has is kept.

    Raises:
        ModelError: One that ends the measurement; what was answered is in the log.
    """
    eval_context, first_config = search_context.eval_context, search_context.first
    items = engine_items(await read_items(eval_context.store, search_context.parts.test))
    keys = [VerdictKey(item.id, *numbers) for numbers in runs.samples for item in items]
    earlier = await _earlier_runs(search_context, {item.id for item in items})
    earlier_keys = set[VerdictKey]().union(*earlier.values())
    missing = [key for key in keys if key not in earlier_keys]
    runner = Runner(search_context, log)
    new = await runner.scores(search_context.start, items, missing, first_config.name)
    first = item_means({key: {**earlier[key], **by_run} for key, by_run in new.items()})
    second = item_means(await runner.scores(winner, items, keys, config.name))
    scores = _config_scores(search_context, config, first, second)
    use, comparisons = await _compare(search_context, scores)
    return HeldOut(
        configs=scores.configs,
        comparisons=comparisons,
        first_scores=first,
        second_scores=second,
        use=use,
        calls=runner.calls,
        failures=dict(runner.failures),
        goals=search_context.request.goals,
        spans={
            score.json_key: in_scale(1, score.type) - in_scale(0, score.type)
            for score in eval_context.eval_record.output_scores
        },
        runs=runs,
    )


async def _earlier_runs(search_context: SearchContext, items: set[str]) -> RunScores:
    """Return the scores of the start that the eval has of these items."""
    eval_context = search_context.eval_context
    runs: dict[str, Mapping[VerdictKey, float]] = {}
    for key in eval_context.score_keys:
        verdicts = await eval_context.verdicts(search_context.first.id, key)
        is_empty = is_empty_score(verdicts)
        own = {} if is_empty else {k: v.value for k, v in verdicts.items() if k.item_id in items}
        runs[key] = own
    return runs


def _config_scores(
    search_context: SearchContext,
    config: TaskRunConfig,
    first: Mapping[str, Mapping[str, float]],
    second: Mapping[str, Mapping[str, float]],
) -> ConfigScores:
    eval_context, start = search_context.eval_context, search_context.first
    keys = [key for key in eval_context.score_keys if first[key].keys() & second[key].keys()]
    return ConfigScores(
        measurement=eval_context,
        configs=[start, config],
        baseline=start,
        items=sorted(reference.id for reference in search_context.parts.test),
        keys=keys,
        by_score={
            (owner.id, key): by_key[key]
            for owner, by_key in ((start, first), (config, second))
            for key in keys
        },
    )


async def _compare(
    search_context: SearchContext, scores: ConfigScores
) -> tuple[UseNumber, Sequence[ComparedScore]]:
    """Count the use of the items, and compare at the error that is left of them."""
    if not scores.keys:
        return UseNumber(1), []
    store, eval_record = search_context.eval_context.store, search_context.eval_context.eval_record
    use = await count_use(store, eval_record, scores.claim, search_context.workspace.author)
    comparisons = await anyio.to_thread.run_sync(scores.compare, SIDES * use.error, USUAL_FLOOR)
    goals = search_context.request.goals
    # A floor is in the unit of its score: both scales grow alike.
    return use, [
        replace(score, floor=score.floor * goals.floor(score.key) / USUAL_FLOOR)
        for score in comparisons
    ]
