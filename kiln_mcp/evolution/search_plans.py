"""What a search will do and cost, and what its held-out items can show, before it starts."""

import math
from typing import Final

from kiln_mcp.approvals.plan import Plan
from kiln_mcp.evolution.engine import sight
from kiln_mcp.evolution.search_context import SearchContext, calls_by_model
from kiln_mcp.run_configs.cost_estimates import estimate_cost
from kiln_mcp.statistics import level_of_use

COIN: Final = 0.25
"""The variance of a score that passes or fails by the toss of a coin: the noisiest there is."""


async def plan_search(search_context: SearchContext) -> Plan:
    """Return what a search will do and cost, and what its held-out items can see."""
    summary = (
        f"Search for a better prompt than {search_context.first.name!r} with "
        f"{search_context.request.max_calls} calls, "
        f"then measure both on {len(search_context.parts.test)} held-out items. "
        f"{await sight_before(search_context)}"
        f"{await floors_before(search_context)}"
    )
    return await estimate_cost(
        search_context.workspace.engine, summary, calls_by_model(search_context), "evolution"
    )


async def sight_before(search_context: SearchContext) -> str:
    """Return what the held-out items can see, before anything is known of the noise."""
    test, use = len(search_context.parts.test), await search_context.next_use()
    most_runs = search_context.request.goals.most_runs
    exact = sight(test, 0.0, use)
    noisy = sight(test, COIN, use, most_repeats=most_runs)
    number = "run" if noisy.repeats == 1 else "runs"
    return (
        f"The test can see {100 * exact.smallest_gain:.0f} points with 1 run an item if scores "
        f"repeat themselves, and {100 * noisy.smallest_gain:.0f} points with {noisy.repeats} "
        f"{number} an item if each run is a toss of a coin, in nine of ten cases."
    )


async def floors_before(search_context: SearchContext) -> str:
    """Return which floors the held-out items cannot show; "" if they can show each.

    Where no item of n falls, a share of falls below log(1 / error) / n stays possible: the
    bound of Clopper and Pearson (1934), The use of confidence or fiducial limits, for no event.
    The scores share the error. The intervals of the claim are no shorter than this.
    """
    test, use = len(search_context.parts.test), await search_context.next_use()
    goals, keys = search_context.request.goals, search_context.eval_context.score_keys
    points = 100 * min(1.0, math.log(len(keys) / level_of_use(use)) / test)
    narrow = [key for key in keys if goals.floor(key) < points] if len(keys) > 1 else []
    if not narrow:
        return ""
    return (
        f" {test} items cannot show the floor of {' and '.join(narrow)}: they exclude no loss "
        f"below {points:.0f} points, even if no item falls. So a gain is claimed only if "
        f"{'this score gains' if len(narrow) == 1 else 'these scores gain'} too."
    )
