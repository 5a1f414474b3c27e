"""How long a judge's verdict may be."""

import json

import pytest

from bench import Bench, BenchSetup
from kiln_mcp.evaluators.kinds.steps_judge import StepsJudgeEvaluator
from kiln_mcp.evaluators.registry import evaluator_of
from kiln_mcp.llm.reasoning_models import reasons
from storage import Eval, EvalConfig, EvalOutputScore, Task
from storage import TaskRunSplit as Split
from storage.records.evaluator import StepsJudge

JUDGE: dict[str, object] = {"type": "llm_judge", "steps": ["Is it right?"]}


@pytest.fixture
def bench_setup() -> BenchSetup:
    verdict = json.dumps({"reasoning": "", "right": "pass"})
    return BenchSetup(Task(name="Echo", instruction="Say it."), lambda _: verdict)


async def lengths(bench: Bench) -> set[int]:
    await bench.config("only", "Say it.")
    await bench.run()
    return {r.max_tokens for r in bench.model.asked if "You judge" in r.messages[0].content}


async def test_a_judge_sets_how_long_its_verdicts_may_be(bench: Bench) -> None:
    await bench.add_items({"1": "1"})
    made = await bench.evaluator(**JUDGE, max_tokens=5000)
    assert await lengths(bench) == {5000}
    [eval_record] = await bench.store.children(bench.task, Eval)
    record = await bench.store.get(EvalConfig, made.evaluator_id, parent=eval_record)
    assert record.properties.model_dump()["max_tokens"] == 5000


async def test_a_judge_that_sets_nothing_has_the_usual_length_and_says_nothing_of_it(
    bench: Bench,
) -> None:
    await bench.add_items({"1": "1"})
    made = await bench.evaluator(**JUDGE)
    assert await lengths(bench) == {1200}
    [eval_record] = await bench.store.children(bench.task, Eval)
    record = await bench.store.get(EvalConfig, made.evaluator_id, parent=eval_record)
    assert "max_tokens" not in record.properties.model_dump()


async def test_a_judge_of_kiln_whose_model_reasons_has_room_for_it(bench: Bench) -> None:
    score = EvalOutputScore(name="Right", type="pass_fail")
    split = Split(filter_id="tag::eval_right")
    record = await bench.store.save(
        Eval(name="Right", output_scores=(score,), splits={"test": split}), parent=bench.task
    )
    judge = EvalConfig(
        name="judge",
        config_type="llm_as_judge",
        model_name="qwen3-8b",
        model_provider="scripted",
        properties=StepsJudge(eval_steps=("Is it right?",)),
    )
    evaluator = evaluator_of(await bench.store.save(judge, parent=record))
    assert isinstance(evaluator, StepsJudgeEvaluator)
    assert evaluator.judge.longest(1200) == 8192


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("openai/o3-mini", True),
        ("openai/gpt-5", True),
        ("openai/gpt-5.1-chat-latest", False),
        ("openai/gpt-4o", False),
        ("ollama/qwen3:8b", True),
        ("local/Qwen3-4B-Instruct-2507", False),
        ("deepseek/deepseek-r1", True),
        ("deepseek/deepseek-chat", False),
        ("mistral/magistral-small", True),
        ("mistral/mistral-small", False),
        ("local/gpt-oss-20b", True),
        ("gemini/gemini-2.5-flash", True),
        ("anthropic/claude-3-5-sonnet", False),
        ("embedded", False),
    ],
)
def test_models_that_reason_are_told_by_their_names(model: str, *, expected: bool) -> None:
    assert reasons(model) is expected
