"""A judge equal to one that has run takes its verdicts from the response cache, many at once."""

import json
from zlib import crc32

import pytest

from bench import Bench, BenchSetup
from kiln_mcp.llm import ModelRequest
from storage import Eval, EvalConfig, EvalRun, Task

ITEMS = {f"question {number}": "right" for number in range(70)}
JUDGE = {"type": "llm_judge", "steps": ["Look."]}


def answer(request: ModelRequest) -> str:
    """Answer; as a judge pass, fail, abstain or say nothing of use, by the text's checksum."""
    text = request.messages[-1].content
    if request.schema is None:
        return f"answer to {text}"
    number = crc32(request.messages[1].content.encode())
    if number % 11 == 0:
        return "no verdict at all"
    verdict = ["pass", "fail", "pass", None][number % 4]
    return json.dumps({"reasoning": f"I read {number}.", "right": verdict})


@pytest.fixture
def bench_setup() -> BenchSetup:
    return BenchSetup(Task(name="Answer", instruction="Answer."), answer)


async def verdicts_of(bench: Bench, evaluator: str) -> dict[str, dict[str, object]]:
    """Return what is saved of each verdict, by the output and the number of the verdict."""
    [eval_record] = await bench.store.children(bench.task, Eval)
    configs = await bench.store.children(eval_record, EvalConfig)
    [config] = [config for config in configs if config.name == evaluator]
    fields = {"scores", "intermediate_outputs", "skipped_reason", "skipped_detail", "eval_usage"}
    return {
        f"{run.scored_run_id} {run.intermediate_outputs}": run.model_dump(include=fields)
        for run in await bench.store.children(config, EvalRun)
    }


@pytest.mark.parametrize("repeats", [1, 2])
async def test_known_verdicts_are_saved_as_those_that_were_paid_for(
    bench: Bench, repeats: int
) -> None:
    await bench.add_items(ITEMS)
    await bench.config("A", "Answer.")
    for name in ("paid", "known"):
        await bench.evaluator(name=name, **JUDGE)
    paid = await bench.run(evaluators=["paid"], judge_repeats=repeats)
    asked = len(bench.model.asked)
    known = await bench.run(evaluators=["known"], judge_repeats=repeats)
    counts = {"newly_scored", "skipped", "abstentions", "failed", "failed_by_state"}
    assert paid.failed > 0 < paid.abstentions
    assert known.model_dump(include=counts) == paid.model_dump(include=counts)
    # An answer of no use is asked for once more; every other one is known.
    again = bench.model.asked[asked:]
    assert all(answer(request) == "no verdict at all" for request in again)
    assert [(row.score, row.mean, row.n) for row in known.table] == [
        (row.score, row.mean, row.n) for row in paid.table
    ]
    verdicts = await verdicts_of(bench, "paid")
    assert len(verdicts) > len(ITEMS) * repeats * 0.8
    assert {str(verdict["scores"]) for verdict in verdicts.values()} == {
        "{'right': 1.0}",
        "{'right': 0.0}",
        "{}",
    }
    assert await verdicts_of(bench, "known") == verdicts


async def test_outputs_known_to_one_of_two_judges_are_judged_by_both(bench: Bench) -> None:
    await bench.add_items(ITEMS)
    await bench.config("A", "Answer.")
    await bench.evaluator(name="paid", **JUDGE)
    await bench.evaluator(name="known", **JUDGE)
    await bench.evaluator(name="new", type="llm_judge", steps=["Look twice."])
    await bench.run(evaluators=["paid"])
    await bench.run(evaluators=["known", "new"])
    assert await verdicts_of(bench, "known") == await verdicts_of(bench, "paid")
    assert len(await verdicts_of(bench, "new")) > len(ITEMS) * 0.8


async def test_a_run_of_which_a_part_is_known_asks_for_the_rest(bench: Bench) -> None:
    await bench.add_items(ITEMS)
    await bench.config("A", "Answer.")
    for name in ("paid", "known"):
        await bench.evaluator(name=name, **JUDGE)
    await bench.run(evaluators=["paid"], most_items=30)
    await bench.run(evaluators=["known"])
    await bench.run(evaluators=["paid"])
    assert await verdicts_of(bench, "known") == await verdicts_of(bench, "paid")
