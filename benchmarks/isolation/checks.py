"""Time deterministic checks: 10,000 items each, 16 at once, as run_eval does them."""

import asyncio
import sys
import time
from typing import cast

from kiln_mcp.evaluators.evaluator import EvaluationContext
from kiln_mcp.evaluators.registry import evaluator_of
from kiln_mcp.llm import Engine
from kiln_mcp.run_configs.item_templates import Case
from storage import Eval, EvalConfig, EvalOutputScore, ExactMatch, PatternMatch, Task
from storage.records.evaluator import EvaluatorProperties

SCORE = EvalOutputScore(name="Right", type="pass_fail")
CONTEXT = EvaluationContext(
    cast("Engine", None),  # a check asks no model
    Eval(name="Right", output_scores=(SCORE,), eval_set_filter_id="tag::test"),
    Task(name="Answer", instruction="Answer."),
    "test",
)
ITEMS = 10_000
AT_ONCE = 16
OUTPUT = '{"city": "Paris", "reason": "' + "It is the capital of France. " * 10 + '"}'
CHECKS: dict[str, EvaluatorProperties] = {
    "exact match": ExactMatch(expected_value="Paris"),
    "pattern": PatternMatch(pattern=r"\bParis\b.*\d*$"),
    "pattern with look-ahead": PatternMatch(pattern=r"(?=.*capital)Paris"),
    "exact match of an expression": ExactMatch(
        expected_value="Paris", value_expression="(final_message | fromjson).city"
    ),
}


async def measure(properties: EvaluatorProperties) -> float:
    """Return the microseconds an item."""
    check = evaluator_of(EvalConfig(name="check", config_type="v2", properties=properties))
    cases = iter([Case("Capital of France?", OUTPUT)] * ITEMS)

    async def work() -> None:
        for case in cases:
            await check.evaluate(case, CONTEXT)

    started = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return (time.perf_counter() - started) / ITEMS * 1e6


async def main() -> None:
    for name, properties in CHECKS.items():
        await measure(properties)  # starts what is started when first needed
        best = min([await measure(properties) for _ in range(3)])
        sys.stdout.write(f"{name:32} {best:8.1f} us an item  {best * ITEMS / 1e6:6.2f} s\n")


if __name__ == "__main__":
    asyncio.run(main())
