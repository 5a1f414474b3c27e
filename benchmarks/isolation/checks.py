"""Time deterministic checks: 10,000 items each, 16 at once, as run_eval does them."""

import asyncio
import inspect
import sys
import time

from kiln_mcp.evaluators.checks import Check, run_check
from kiln_mcp.run_configs.item_templates import Case
from storage import ExactMatch, PatternMatch

ITEMS = 10_000
AT_ONCE = 16
OUTPUT = '{"city": "Paris", "reason": "' + "It is the capital of France. " * 10 + '"}'
CHECKS: dict[str, Check] = {
    "exact match": ExactMatch(expected_value="Paris"),
    "pattern": PatternMatch(pattern=r"\bParis\b.*\d*$"),
    "pattern with look-ahead": PatternMatch(pattern=r"(?=.*capital)Paris"),
    "exact match of an expression": ExactMatch(
        expected_value="Paris", value_expression="(final_message | fromjson).city"
    ),
}


async def measure(check: Check) -> float:
    """Return the microseconds an item."""
    cases = iter([Case("Capital of France?", OUTPUT)] * ITEMS)

    async def work() -> None:
        for case in cases:
            verdict = run_check(check, case)
            if inspect.isawaitable(verdict):
                await verdict

    started = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return (time.perf_counter() - started) / ITEMS * 1e6


async def main() -> None:
    for name, check in CHECKS.items():
        await measure(check)  # starts what is started when first needed
        best = min([await measure(check) for _ in range(3)])
        sys.stdout.write(f"{name:32} {best:8.1f} us an item  {best * ITEMS / 1e6:6.2f} s\n")


if __name__ == "__main__":
    asyncio.run(main())
