"""The prompts of a judge are made for many cases at once, and are the same."""

import json

import pytest

from bench import Bench, BenchSetup
from kiln_mcp.evaluators.evaluator import Evaluation, EvaluationContext, LooksAhead, Skipped
from kiln_mcp.evaluators.registry import evaluator_of
from kiln_mcp.llm import ModelRequest
from kiln_mcp.run_configs.item_templates import Case
from storage import Eval, EvalConfig, EvalOutputScore, LlmJudge, Task, TaskRunSplit

TEMPLATE = "{{ final_message }} of {{ task_input }} {{ reference_data.best }}"


def judge(request: ModelRequest) -> str:
    del request
    return json.dumps({"reasoning": "I looked.", "right": "pass"})


@pytest.fixture
def bench_setup() -> BenchSetup:
    return BenchSetup(Task(name="Answer", instruction="Answer."), judge)


async def test_prompts_made_ahead_are_those_made_one_at_a_time(bench: Bench) -> None:
    properties = LlmJudge(
        model_name="scripted", model_provider="openai_compatible", prompt_template=TEMPLATE
    )
    record = EvalConfig(name="Judge", config_type="v2", properties=properties)
    score = EvalOutputScore(name="Right", type="pass_fail")
    split = TaskRunSplit(filter_id="all")
    eval_record = Eval(name="Right", output_scores=(score,), splits={"test": split})
    context = EvaluationContext(bench.workspace.engine, eval_record, bench.task, "test")
    cases = [Case(str(number), "<b>x", reference={"best": "y"}) for number in range(3)]
    cases.insert(1, Case("without", "x"))
    ahead, plain = evaluator_of(record), evaluator_of(record)
    assert isinstance(ahead, LooksAhead)
    await ahead.look_ahead(cases)
    values = [await ahead.evaluate(case, context) for case in cases]
    assert [type(value) for value in values] == [Evaluation, Skipped, Evaluation, Evaluation]
    asked = len(bench.model.asked)
    assert asked == 3
    for case in cases:
        await plain.evaluate(case, context)
    assert len(bench.model.asked) == asked  # equal requests come from the response cache
