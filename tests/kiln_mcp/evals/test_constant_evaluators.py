"""An evaluator that says the same of every output for a reason of its own is told, not averaged."""

import json

import pytest

from bench import Bench, BenchSetup
from kiln_mcp.run_configs.errors import EvalError
from storage import (
    Contains,
    DataSource,
    Eval,
    EvalConfig,
    EvalOutputScore,
    EvalRun,
    PatternMatch,
    SetCheck,
    Task,
    TaskOutput,
    TaskRun,
    TaskRunSplit,
)
from storage.errors import WorkbenchError
from storage.records.evaluator import EvaluatorProperties

EXACT: dict[str, object] = {"type": "exact_match", "reference_key": "reference_answer"}


@pytest.fixture
def bench_setup() -> BenchSetup:
    return BenchSetup(Task(name="Echo", instruction="Say it."), lambda r: r.messages[-1].content)


async def add_items(bench: Bench, references: list[str], *, are_right: bool = True) -> None:
    person = DataSource(type="human", properties={"created_by": "ann"})
    model: dict[str, str | int | float] = {
        "model_name": "m",
        "model_provider": "openai",
        "adapter_name": "a",
    }
    source = person if are_right else DataSource(type="synthetic", properties=model)
    async with bench.store.transaction() as change:
        for number, reference in enumerate(references):
            output = TaskOutput(output=reference, source=source)
            run = TaskRun(input=f"in {number}", output=output, tags=("eval_right",))
            change.save(run, parent=bench.task)


async def results(bench: Bench) -> int:
    [eval_record] = await bench.store.children(bench.task, Eval)
    [judge] = await bench.store.children(eval_record, EvalConfig)
    return len(await bench.store.children(judge, EvalRun))


@pytest.mark.parametrize(
    "check",
    [
        {"type": "pattern_match", "pattern": r"^\d{5}$"},
        {"type": "pattern_match", "pattern": "in", "mode": "must_not_match"},
        {"type": "contains", "substring": "Yours sincerely"},
        {"type": "set_check", "expected_set": ["a", "b"], "mode": "equal"},
        {"type": "exact_match", "expected_value": "A"},
    ],
    ids=lambda check: f"{check['type']} {check.get('mode', '')}",
)
async def test_a_check_that_fails_the_right_answers_too_gives_no_score(
    bench: Bench, check: dict[str, object]
) -> None:
    await add_items(bench, ["in Paris", "in Rome", "in Oslo", "in Bern"])
    await bench.evaluator(**check)
    await bench.config("only", "Say it.")
    with pytest.raises(EvalError, match="fails the right answers of all 4 items") as caught:
        await bench.run()
    assert "Correct it in a new evaluator" in str(caught.value)
    assert await results(bench) == 0


async def test_a_check_that_passes_a_right_answer_may_fail_every_output(bench: Bench) -> None:
    await add_items(bench, ["12345", "Rome", "Oslo", "Bern"])
    await bench.evaluator(type="pattern_match", pattern=r"^\d{5}$")
    await bench.config("only", "Say it.")
    report = await bench.run()
    assert (report.newly_scored, report.failed, report.table[0].mean) == (4, 0, 0.0)
    assert any("Every output of 4 items failed" in warning for warning in report.warnings)


async def test_a_check_without_right_answers_to_try_it_on_keeps_its_scores(bench: Bench) -> None:
    await add_items(bench, ["Paris", "Rome", "Oslo"], are_right=False)
    await bench.evaluator(type="pattern_match", pattern=r"^\d{5}$")
    await bench.config("only", "Say it.")
    report = await bench.run()
    assert (report.newly_scored, report.table[0].mean) == (3, 0.0)
    assert any("If that is not what you expect" in warning for warning in report.warnings)


@pytest.mark.parametrize(
    "check",
    [
        {"type": "pattern_match", "pattern": r"in \d"},
        {"type": "pattern_match", "pattern": "sorry", "mode": "must_not_match"},
        {"type": "contains", "substring": "in"},
        {
            "type": "exact_match",
            "expected_value": "wrong",
            "value_expression": "'wrong' ~ final_message[:0]",
        },
    ],
    ids=lambda check: f"{check['type']} {check.get('mode', '')}",
)
async def test_a_check_that_passes_every_output_is_taken_at_its_word(
    bench: Bench, check: dict[str, object]
) -> None:
    await add_items(bench, ["Paris", "Rome", "Oslo", "Bern"])
    await bench.evaluator(**check)
    await bench.config("only", "Say it.")
    report = await bench.run()
    assert (report.newly_scored, report.failed, report.table[0].mean) == (4, 0, 1.0)
    assert not any("failed" in warning for warning in report.warnings)


async def test_a_check_that_fails_right_answers_and_passes_an_output_is_scored(
    bench: Bench,
) -> None:
    await add_items(bench, ["Paris", "Rome", "Oslo", "Bern"])
    await bench.evaluator(type="contains", substring="in 2")
    await bench.config("only", "Say it.")
    report = await bench.run()
    assert (report.newly_scored, report.table[0].mean) == (4, 0.25)


@pytest.mark.parametrize(
    ("check", "reason"),
    [
        ({"type": "pattern_match", "pattern": "a^"}, "no text can match it"),
        ({"type": "pattern_match", "pattern": ".*"}, "every text matches it"),
        ({"type": "contains", "substring": " "}, "contains an empty text"),
        ({"type": "set_check", "expected_set": [], "mode": "superset"}, "an empty set"),
        ({"type": "exact_match", "expected_value": "x", "value_expression": "'x'"}, "it names"),
        ({"type": "step_count_check", "count_type": "turns", "min_count": 3, "max_count": 2}, "no"),
        ({"type": "step_count_check", "count_type": "turns", "min_count": 0}, "every number"),
    ],
    ids=lambda value: value if isinstance(value, str) else str(value["type"]),
)
async def test_a_check_that_can_say_one_thing_alone_is_refused(
    bench: Bench, check: dict[str, object], reason: str
) -> None:
    with pytest.raises(EvalError, match=f"says the same of every output, because.*{reason}"):
        await bench.evaluator(**check)
    assert await bench.store.children(bench.task, Eval) == []


@pytest.mark.parametrize(
    "properties",
    [
        PatternMatch(pattern="$a", mode="must_not_match"),
        Contains(substring="", mode="must_contain"),
        SetCheck(expected_set=(), mode="superset"),
    ],
    ids=lambda properties: str(properties.type),
)
async def test_such_a_check_of_a_project_that_is_there_gives_no_score(
    bench: Bench, properties: EvaluatorProperties
) -> None:
    await add_items(bench, ["Paris", "Rome"])
    score = EvalOutputScore(name="Right", type="pass_fail")
    split = TaskRunSplit(filter_id="tag::eval_right")
    record = await bench.store.save(
        Eval(name="Right", output_scores=(score,), splits={"test": split}), parent=bench.task
    )
    config = EvalConfig(name="check", config_type="v2", properties=properties)
    await bench.store.save(config, parent=record)
    await bench.config("only", "Say it.")
    with pytest.raises(EvalError, match=r"2 times: .* says the same of every output"):
        await bench.run()


async def test_a_set_of_a_field_that_no_output_has_is_reported(bench: Bench) -> None:
    await add_items(bench, ['{"tags": ["a"]}'] * 3)
    expression = "(final_message | fromjson).tags"
    await bench.evaluator(
        type="set_check", expected_set=["a"], mode="equal", value_expression=expression
    )
    await bench.config("only", "Say it.")
    with pytest.raises(EvalError, match="finds no value in any of 3 outputs"):
        await bench.run()


def _schema(*names: str) -> str:
    return json.dumps({"type": "object", "properties": {name: {} for name in names}})


@pytest.mark.parametrize("output", ['{"city": "Paris"}', '{"city": "Paris", "zip": 1}'])
async def test_a_field_that_no_reference_has_is_not_averaged(bench: Bench, output: str) -> None:
    task = Task(name="Read", instruction="Read.", output_json_schema=_schema("city", "zip"))
    task = await bench.store.save(task, parent=bench.store.project)
    person = DataSource(type="human", properties={"created_by": "ann"})
    async with bench.store.transaction() as change:
        for number in range(4):
            reference = TaskOutput(output='{"city": "Paris"}', source=person)
            run = TaskRun(input=f"{number} {output}", output=reference, tags=("test",))
            change.save(run, parent=task)
    bench.model.answer = lambda _: output
    new_eval = {"task": "Read", "test_filter": "tag::test"}
    made = await bench.evaluator_of("Right", EXACT, new_eval)
    assert made.scores == ["right", "city", "zip"]
    await bench.config_of("Read", "one")
    await bench.config_of("Read", "two")
    report = await bench.run()
    assert {row.score for row in report.table} == {"right", "city"}
    assert any("'zip' is left out: no reference has" in warning for warning in report.warnings)
    comparison = await bench.compare("one", "two")
    assert [row.score for row in comparison.rows] == ["right", "right", "city", "city"]
    assert any("'zip' is left out" in warning for warning in comparison.warnings)


async def test_a_field_that_some_references_have_counts_where_it_is_missing_too(
    bench: Bench,
) -> None:
    task = Task(name="Read", instruction="Read.", output_json_schema=_schema("city", "zip"))
    task = await bench.store.save(task, parent=bench.store.project)
    person = DataSource(type="human", properties={"created_by": "ann"})
    texts = ['{"city": "Paris", "zip": 1}', *['{"city": "Paris"}'] * 3]
    async with bench.store.transaction() as change:
        for number, text in enumerate(texts):
            reference = TaskOutput(output=text, source=person)
            change.save(TaskRun(input=str(number), output=reference, tags=("test",)), parent=task)
    bench.model.answer = lambda _: '{"city": "Paris"}'
    await bench.evaluator_of("Right", EXACT, {"task": "Read", "test_filter": "tag::test"})
    await bench.config_of("Read", "one")
    report = await bench.run()
    assert {row.score: row.mean for row in report.table} == {"right": 0.75, "city": 1, "zip": 0.75}


@pytest.mark.parametrize(
    "rules", [{"ignored_fields": ["cty"]}, {"fields": [{"field": "cty.name", "text": "exact"}]}]
)
async def test_a_rule_for_a_field_that_the_output_does_not_have_is_refused(
    rules: dict[str, object], bench: Bench
) -> None:
    task = Task(name="Read", instruction="Read.", output_json_schema=_schema("city", "zip"))
    await bench.store.save(task, parent=bench.store.project)
    new_eval = {"task": "Read", "test_filter": "tag::test"}
    with pytest.raises(WorkbenchError, match=r"no field 'cty.*The fields are: city, zip"):
        await bench.evaluator_of("Right", {**EXACT, "comparison": rules}, new_eval)
