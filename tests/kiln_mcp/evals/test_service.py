"""The room's capabilities, driven as every door drives them."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from pydantic import JsonValue

from bench import Bench, BenchSetup, open_bench
from kiln_mcp.approvals.errors import MissingApproval
from kiln_mcp.datasets.parts import tag_of
from kiln_mcp.errors import InvalidArguments
from kiln_mcp.evals import service
from kiln_mcp.evals.answers import EvalReport, EvalRunReport, EvaluatorCreated
from kiln_mcp.evals.errors import NothingToEvaluate
from kiln_mcp.evals.results.answers import Comparison
from kiln_mcp.evals.results.service import show_results
from kiln_mcp.llm import Engine, EngineSettings, ModelAnswer, ModelRequest
from kiln_mcp.llm.errors import KeyProblem, RejectedRequest, UnknownModel
from kiln_mcp.run_configs import service as run_configs_service
from kiln_mcp.run_configs.answers import RunConfigCreated
from kiln_mcp.run_configs.errors import EvalError
from kiln_mcp.settings import Settings
from storage import (
    DataSource,
    Eval,
    EvalConfig,
    EvalRun,
    Spec,
    Task,
    TaskOutput,
    TaskRun,
    TaskRunConfig,
)
from storage.errors import RecordNotFound, Refusal

SCHEMA = json.dumps({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]})
EXACT: dict[str, object] = {"type": "exact_match", "reference_key": "reference_answer"}


def double(request: ModelRequest) -> str:
    """Double the number when the prompt says so, otherwise give it back; judge when asked."""
    system, asked = request.messages[0].content, request.messages[-1].content
    if "You judge" in system:
        return json.dumps({"reasoning": "I looked.", "right": "pass"})
    number = int(asked)
    return json.dumps({"n": number * 2 if "double" in system else number})


NUMBERS = Task(name="Double", instruction="Do it.", output_json_schema=SCHEMA)


@pytest.fixture
def bench_setup() -> BenchSetup:
    return BenchSetup(NUMBERS, double)


async def add_items(bench: Bench, numbers: Sequence[int], tag: str = "eval_right") -> None:
    person = DataSource(type="human", properties={"created_by": "ann"})
    async with bench.store.transaction() as change:
        for number in numbers:
            output = TaskOutput(output=json.dumps({"n": number * 2}), source=person)
            run = TaskRun(input=str(number), input_source=person, output=output, tags=(tag,))
            change.save(run, parent=bench.task)


async def test_a_better_prompt_is_measured_compared_and_said_to_be_better(bench: Bench) -> None:
    await add_items(bench, range(40))
    await bench.evaluator(**EXACT)
    await bench.config("start", "Do it.")
    await bench.config("better", "double it")
    report = await bench.run()
    assert (report.items, report.newly_scored, report.outputs_made) == (40, 80, 80)
    assert [step.tool for step in report.next] == ["show_results", "show_results"]
    rates = {row.run_config: row.mean for row in report.table}
    assert rates == {"better": 1.0, "start": 1 / 40}
    comparison = await bench.compare("start", "better")
    assert comparison.says[0].startswith("better is better than start by 0.975")
    row = comparison.rows[0]
    assert row.low is not None
    assert row.low > 0.8
    assert (row.run_config, row.n, row.difference) == ("better", 40, 0.975)


async def test_the_same_prompt_twice_cannot_be_told_apart(bench: Bench) -> None:
    await add_items(bench, range(10))
    await bench.evaluator(**EXACT)
    await bench.config("one", "double it")
    await bench.config("two", "please double it")
    await bench.run()
    comparison = await bench.compare("one", "two")
    assert comparison.says[0].startswith("Cannot tell which is better")
    assert {row.p_value for row in comparison.rows} == {None, 1.0}


async def test_a_second_run_asks_nothing_again(bench: Bench) -> None:
    await add_items(bench, range(6))
    await bench.evaluator(**EXACT)
    await bench.config("only", "double it")
    await bench.run(most_items=4)
    calls = len(bench.model.asked)
    again = await bench.run()
    assert (again.already_scored, again.newly_scored) == (4, 2)
    assert len(bench.model.asked) == calls + 2
    assert (await bench.run()).newly_scored == 0


async def test_two_runs_at_once_share_the_items_and_score_none_twice(bench: Bench) -> None:
    await add_items(bench, range(6))
    await bench.evaluator(**EXACT)
    await bench.config("only", "double it")
    reports: list[EvalRunReport] = []

    async def run() -> None:
        reports.append(await bench.run())

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        group.start_soon(run)
    assert sum(report.newly_scored for report in reports) == 6
    assert all(report.newly_scored + report.already_scored == 6 for report in reports)
    assert len(bench.model.asked) == 6
    runs = await bench.store.children(bench.task, TaskRun)
    assert sum(run.eval_source is not None for run in runs) == 6
    report = await show_results(bench.workspace, bench.folder, "Right")
    assert isinstance(report, EvalReport)
    [row] = report.evaluators
    assert row.results == 6


async def test_a_judge_that_is_the_connected_assistant_is_said_not_to_be_blind(
    bench: Bench,
) -> None:
    await add_items(bench, range(2))
    judge_id = (
        await bench.evaluator(type="llm_judge", steps=["Is it doubled?"], model="host")
    ).evaluator_id
    for name, prompt in (("one", "double it"), ("two", "double it twice")):
        await bench.config(name, prompt)
    orders = bench.workspace.engine.orders

    async def judge() -> None:
        while True:
            for batch in await orders.take(1000):
                for order_id, _ in batch.items:
                    verdict = '{"reasoning": "It is.", "right": "pass"}'
                    await orders.answer(order_id, verdict, "planner 2.1")
            await anyio.sleep(0.01)

    reports: list[EvalRunReport] = []
    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            group.start_soon(judge)
            reports.append(await bench.run())
            group.cancel_scope.cancel()
    assert reports[0].newly_scored == 4
    warning = "the connected assistant (planner 2.1), which is not blind"
    assert any(warning in text for text in reports[0].warnings)
    evaluator = await bench.store.find(EvalConfig, judge_id)
    verdicts = await bench.store.children(evaluator, EvalRun)
    assert [verdict.judge_client for verdict in verdicts] == ["planner 2.1"] * 4
    compared = await show_results(bench.workspace, bench.folder, "Right", compare=["one", "two"])
    assert isinstance(compared, Comparison)
    assert any("the connected assistant, which is not blind" in text for text in compared.warnings)


async def test_a_second_judge_judges_the_outputs_that_are_there(bench: Bench) -> None:
    await add_items(bench, range(5))
    await bench.evaluator(**EXACT)
    await bench.config("only", "double it")
    await bench.run()
    calls = len(bench.model.asked)
    judge = await bench.evaluator(type="llm_judge", steps=["Is it doubled?"])
    assert not judge.is_current
    report = await bench.run(evaluators=[judge.evaluator_id])
    assert (report.outputs_made, report.newly_scored) == (0, 5)
    assert len(bench.model.asked) == calls + 5
    assert any("never compared with people's labels" in warning for warning in report.warnings)
    assert len(await bench.generated_runs()) == 5


async def test_what_fails_is_reported_by_item_and_tried_again_by_the_next_run(
    tmp_path: Path,
) -> None:
    broken = True

    def answer(request: ModelRequest) -> str:
        if broken and request.messages[-1].content == "3":
            raise RejectedRequest("scripted", "the server is in a bad mood.")
        return double(request)

    async with open_bench(tmp_path, BenchSetup(NUMBERS, answer)) as bench:
        await add_items(bench, range(5))
        await bench.evaluator(**EXACT)
        await bench.config("only", "double it")
        report = await bench.run()
        assert (report.newly_scored, report.failed) == (4, 1)
        assert report.table[0].exclusions == 1
        assert "left out of the table" in report.warnings[0]
        assert "in a bad mood" in report.failures[0].reason
        broken = False
        again = await bench.run()
        assert (again.newly_scored, again.failed, again.table[0].n) == (1, 0, 5)


async def test_saved_results_point_at_saved_runs_and_say_how_they_were_made(bench: Bench) -> None:
    await add_items(bench, range(2))
    made = await bench.evaluator(**EXACT)
    config = await bench.config("only", "double it")
    await bench.run(seed=7)
    eval_record = await bench.store.find(Eval, "Right", parent=bench.task)
    judge = await bench.store.get(EvalConfig, made.evaluator_id, parent=eval_record)
    results = await bench.store.children(judge, EvalRun)
    runs = {run.id: run for run in await bench.store.children(bench.task, TaskRun)}
    for result in results:
        assert result.scored_run_id is not None
        assert result.input is None
        run = runs[result.scored_run_id]
        assert run.eval_source is not None
        assert run.eval_source.source_id == result.dataset_id
        source = run.output.source
        assert source is not None
        assert source.run_config_id == config
        assert source.properties["seed"] == 7
        assert run.trace is not None
        assert [message.role for message in run.trace] == ["system", "user", "assistant"]
    log = (bench.store.side_folder(judge) / "kiln_mcp_runs.jsonl").read_text(encoding="utf-8")
    entry = json.loads(log)
    assert (entry["seed"], entry["scored"]) == (7, 2)
    assert entry["run_configs"][config]


async def test_a_run_config_keeps_the_prompt_that_it_was_made_with(bench: Bench) -> None:
    made = await run_configs_service.create_run_config.invoke(
        bench.workspace, {"project": bench.folder, "name": "plain"}
    )
    assert made.model_dump()["prompt"] == "Do it."
    await bench.store.save(bench.task.replace(instruction="Do something else."))
    await add_items(bench, [1])
    await bench.evaluator(**EXACT)
    await bench.run()
    assert bench.model.asked[-1].messages[0].content == "Do it."


async def test_few_shot_shows_the_best_rated_runs(bench: Bench) -> None:
    await add_items(bench, [1, 2])
    runs = await bench.store.children(bench.task, TaskRun)
    rated = runs[1].replace(output=runs[1].output.replace(rating={"type": "five_star", "value": 5}))
    await bench.store.save(rated)
    made = await run_configs_service.create_run_config.invoke(
        bench.workspace,
        {
            "project": bench.folder,
            "name": "shots",
            "prompt_id": "few_shot_prompt_builder",
        },
    )
    prompt = str(made.model_dump()["prompt"])
    assert prompt.count("## Example") == 1
    assert f"Input: {runs[1].input}" in prompt


async def test_few_shot_shows_nothing_that_an_eval_measures_on_and_says_so(bench: Bench) -> None:
    await add_items(bench, [1, 2])
    await bench.evaluator(**EXACT)
    for run in await bench.store.children(bench.task, TaskRun):
        rating = {"type": "five_star", "value": 5}
        await bench.store.save(run.replace(output=run.output.replace(rating=rating)))
    wanted: JsonValue = {"name": "shots", "prompt_id": "few_shot_prompt_builder"}
    made = await run_configs_service.create_run_config.invoke(
        bench.workspace, {"project": bench.folder, **wanted}
    )
    assert isinstance(made, RunConfigCreated)
    assert "## Example" not in made.prompt
    assert "shows no example" in made.warnings[0]


async def test_describing_shows_evaluators_and_the_score_table(bench: Bench) -> None:
    await add_items(bench, range(3))
    await bench.evaluator(**EXACT)
    await bench.config("only", "double it")
    await bench.run()
    listed = await show_results(bench.workspace, bench.folder)
    assert isinstance(listed, EvalReport)
    assert [(one.eval, one.test_items, one.evaluators) for one in listed.evals] == [("Right", 3, 1)]
    shown = await show_results(bench.workspace, bench.folder, "right")
    assert isinstance(shown, EvalReport)
    assert shown.evaluators[0].is_current
    assert shown.evaluators[0].results == 3
    assert (shown.table[0].mean, shown.table[0].n) == (1.0, 3)


async def create(bench: Bench, new_eval: dict[str, object] | None = None) -> EvaluatorCreated:
    """Make an exact-match evaluator of the eval 'Right'."""
    return await bench.evaluator_of("Right", EXACT, new_eval)


async def test_an_empty_split_is_said_with_its_filter(bench: Bench) -> None:
    made = await create(bench, {"test_filter": "tag::eval_right"})
    assert made.next[0].reason.startswith("no item fits 'tag::eval_right' yet")
    await bench.config("only", "double it")
    with pytest.raises(NothingToEvaluate, match=r"no item fits 'tag::eval_right'"):
        await bench.run()
    with pytest.raises(NothingToEvaluate, match=r"no part 'val'"):
        await bench.run(part="val")


async def test_the_items_of_an_eval_are_shown_the_worst_first(bench: Bench) -> None:
    await add_items(bench, range(4))
    await bench.evaluator(**EXACT)
    await bench.config("start", "Do it.")
    await bench.config("better", "double it")
    await bench.run()

    async def show(**wanted: JsonValue) -> EvalReport:
        said: dict[str, JsonValue] = {"project": bench.folder, "eval": "Right", **wanted}
        shown = await show_results.invoke(bench.workspace, said)
        assert isinstance(shown, EvalReport)
        return shown

    failures = await show(items="failures", limit=2)
    assert (len(failures.items), failures.items_found) == (2, 3)  # twice 0 is 0
    one = failures.items[0]
    assert (one.run_config, one.scores) == ("start", {"right": 0.0})
    assert json.loads(one.expected or "") == {"n": 2 * int(one.input)}
    assert json.loads(one.output) == {"n": int(one.input)}
    everything = await show(items="all", run_config="start")
    assert [item.scores["right"] for item in everything.items] == [0.0, 0.0, 0.0, 1.0]
    assert (await show(run_config="better")).items_found == 0


async def deal(bench: Bench, split: str, first: int = 0) -> None:
    for at, part in enumerate(("train", "val", "test", "golden")):
        await add_items(bench, range(first + 10 * at, first + 10 * at + 3), f"{part}_{split}")


async def test_a_new_eval_takes_the_parts_of_the_only_split(bench: Bench) -> None:
    await deal(bench, "numbers")
    made = await create(bench)
    assert (made.test_filter, made.test_items) == ("tag::test_numbers", 3)
    assert made.golden_filter == "tag::golden_numbers"
    eval_record = await bench.store.find(Eval, "Right", parent=bench.task)
    assert set(eval_record.splits) == {"test", "train", "val"}
    await bench.config("only", "double it")
    assert (await bench.run()).newly_scored == 3


async def test_a_split_that_is_all_test_is_taken_by_its_name_or_named(bench: Bench) -> None:
    await add_items(bench, range(4), "test_wrong")
    with pytest.raises(Refusal, match=r"Give test_filter, such as 'tag::test_wrong'"):
        await create(bench)
    await add_items(bench, range(10, 13), "test_right")
    made = await create(bench)
    assert (made.test_filter, made.test_items) == ("tag::test_right", 3)


async def test_a_new_eval_without_items_or_with_several_splits_is_refused(bench: Bench) -> None:
    with pytest.raises(Refusal, match=r"with outputs=answers\. Next: split_data"):
        await create(bench)
    await deal(bench, "one")
    await deal(bench, "two", first=100)
    with pytest.raises(Refusal, match=r"2 splits: one, two"):
        await create(bench)
    assert await bench.store.children(bench.task, Eval) == []
    assert (await create(bench, {"test_filter": "tag::test_two"})).test_items == 3


async def test_a_split_of_the_evals_own_name_is_taken_before_others(bench: Bench) -> None:
    await deal(bench, "right")
    await deal(bench, "two", first=100)
    assert (await create(bench)).test_filter == "tag::test_right"


async def test_an_evaluator_that_fails_leaves_nothing_behind(bench: Bench) -> None:
    broken: dict[str, object] = {
        "type": "exact_match",
        "expected_value": "x",
        "value_expression": "(((",
    }
    with pytest.raises(EvalError, match=r"cannot be used"):
        await bench.evaluator_of("New", broken, {"test_filter": "all"})
    assert await bench.store.children(bench.task, Eval) == []


async def test_new_eval_for_an_eval_that_exists_is_refused(bench: Bench) -> None:
    await create(bench, {"test_filter": "all"})
    with pytest.raises(Refusal, match=r"'Right' exists already"):
        await create(bench, {"test_filter": "tag::other"})
    await bench.evaluator_of("right", EXACT, None)
    assert len(await bench.store.children(bench.task, Eval)) == 1


async def test_a_run_in_which_all_fails_is_an_error_that_says_the_reason_once(
    tmp_path: Path,
) -> None:
    def refuse(request: ModelRequest) -> str:
        raise RejectedRequest("scripted", "the server is in a bad mood.")

    async with open_bench(tmp_path, BenchSetup(NUMBERS, refuse)) as bench:
        await add_items(bench, range(4))
        await create(bench)
        await bench.config("only", "double it")
        with pytest.raises(EvalError, match=r"None of 4 outputs.* 4 times: ") as caught:
            await bench.run()
        assert str(caught.value).count("bad mood") == 1


async def test_an_unknown_name_is_answered_with_those_that_exist(bench: Bench) -> None:
    await add_items(bench, [1])
    await bench.evaluator(**EXACT)
    await bench.config("only", "double it")
    with pytest.raises(RecordNotFound, match=r"only"):
        await bench.run(run_configs=["nope"])
    with pytest.raises(RecordNotFound, match=r"Right"):
        await show_results(bench.workspace, bench.folder, "Wrong")


async def test_run_configs_that_were_not_run_cannot_be_compared(bench: Bench) -> None:
    await add_items(bench, [1])
    await bench.evaluator(**EXACT)
    await bench.config("one", "a")
    await bench.config("two", "b")
    with pytest.raises(Refusal, match=r"no item was scored for both .*Next: run_eval"):
        await bench.compare("one", "two")


async def test_an_evaluator_that_cannot_work_is_refused_before_it_is_saved(bench: Bench) -> None:
    with pytest.raises(EvalError, match=r"cannot be used"):
        await bench.evaluator(type="exact_match", expected_value="x", value_expression="(((")
    with pytest.raises(InvalidArguments, match=r"exactly one of"):
        await bench.evaluator(type="exact_match", expected_value="x", reference_key="y")
    with pytest.raises(InvalidArguments, match=r"Unknown argument"):
        await bench.evaluator(type="contains", substring="x", sub="y")


async def test_a_model_with_an_unknown_price_is_not_asked_without_approval(
    tmp_path: Path,
) -> None:
    async with open_bench(tmp_path, BenchSetup(NUMBERS, double)) as bench:
        await add_items(bench, [1])
        await bench.evaluator(**EXACT)
        await run_configs_service.create_run_config.invoke(
            bench.workspace,
            {
                "project": bench.folder,
                "name": "dear",
                "model": "ollama/unpriced",
                "prompt": "double",
            },
        )
        with pytest.raises(MissingApproval, match=r"price that is not known"):
            await bench.run()
        assert bench.model.asked == []


async def test_a_model_that_no_provider_has_is_refused_with_close_names(bench: Bench) -> None:
    async def name_model(model: str) -> None:
        definition: dict[str, JsonValue] = {
            "name": f"x {tag_of(model)}",
            "prompt": "x",
            "model": model,
        }
        await run_configs_service.create_run_config.invoke(
            bench.workspace, {"project": bench.folder, **definition}
        )

    with pytest.raises(UnknownModel, match=r"Close names: .*openai/gpt-4\.1"):
        await name_model("openai/gpt-4.l")
    with pytest.raises(UnknownModel, match=r"openai/gpt-4\.1-mini"):
        await name_model("gpt-4.1-mini")
    with pytest.raises(UnknownModel):
        await name_model("nowhere/model")
    with pytest.raises(UnknownModel):
        await bench.evaluator(type="llm_judge", steps=["x"], model="embeded")
    assert await bench.store.children(bench.task, TaskRunConfig) == []
    await name_model("openai/gpt-4.1")
    await name_model("openai/ft:gpt-4.1:mine")
    await name_model("openai/gpt-97.3-mini")
    await name_model("anthropic/an-altogether-new-family")


async def test_a_hosted_model_without_its_key_is_refused_before_money_is_spoken_of(
    tmp_path: Path,
) -> None:
    async with open_bench(tmp_path, BenchSetup(NUMBERS, double)) as bench:
        await add_items(bench, [1])
        await bench.evaluator(**EXACT)
        definition: dict[str, JsonValue] = {
            "name": "dear",
            "prompt": "x",
            "model": "openai/gpt-4.1",
        }
        await run_configs_service.create_run_config.invoke(
            bench.workspace, {"project": bench.folder, **definition}
        )
        with pytest.raises(KeyProblem, match=r"OPENAI_API_KEY"):
            await bench.run()


class Stalling:
    """Answers a few requests, then says so and never answers again."""

    def __init__(self, answers: int) -> None:
        self.left = answers
        self.stalled = anyio.Event()

    async def complete(self, request: ModelRequest) -> ModelAnswer:
        if self.left == 0:
            self.stalled.set()
            await anyio.sleep_forever()
        self.left -= 1
        return ModelAnswer(text=double(request))


async def test_a_run_that_was_cancelled_goes_on_where_it_was(tmp_path: Path) -> None:
    model = Stalling(3)
    settings = Settings(home=tmp_path / "home", engine=EngineSettings(default_model="scripted"))
    async with open_bench(tmp_path, BenchSetup(NUMBERS, double)) as bench:
        await add_items(bench, range(8))
        await bench.evaluator(**EXACT)
        await bench.config("only", "double it")
        async with Engine(settings.engine, models={"scripted": model}) as engine:
            stopped = replace(bench, workspace=replace(bench.workspace, engine=engine))
            with anyio.fail_after(60):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(stopped.run)
                    await model.stalled.wait()
                    tasks.cancel_scope.cancel()
        made = await bench.generated_runs()
        assert len(made) <= 3
        report = await bench.run()
        assert report.outputs_made == 8 - len(made)
        assert (report.table[0].n, report.failed) == (8, 0)


async def test_a_second_run_config_of_one_name_is_refused(bench: Bench) -> None:
    await bench.config("Only", "double it")
    with pytest.raises(Refusal, match=r"never change"):
        await bench.config("only", "triple it")
    assert len(await bench.store.children(bench.task, TaskRunConfig)) == 1


async def test_a_new_eval_is_written_into_the_spec_that_it_measures(bench: Bench) -> None:
    await add_items(bench, [1])
    desired = {"spec_type": "desired_behaviour", "desired_behaviour_description": "It doubles."}
    spec = Spec.model_validate({"name": "Doubling", "definition": "x", "properties": desired})
    await bench.store.save(spec, parent=bench.task)
    made = await service.create_evaluator.invoke(
        bench.workspace,
        {
            "project": bench.folder,
            "eval": "Right",
            "type": "exact_match",
            "reference_key": "reference_answer",
            "spec": "doubling",
        },
    )
    (held,) = await bench.store.children(bench.task, Spec)
    assert held.eval_id == made.model_dump()["eval_id"]


async def test_a_new_eval_of_structured_outputs_scores_each_field_and_the_whole(
    bench: Bench,
) -> None:
    properties = {"city": {"type": "string"}, "zip": {"type": "integer"}}
    schema = json.dumps({"type": "object", "properties": properties})
    task = Task(name="Read", instruction="Read.", output_json_schema=schema)
    await bench.store.save(task, parent=bench.store.project)
    new_eval = {"task": "Read", "test_filter": "tag::test"}
    made = await bench.evaluator_of("Address is right", EXACT, new_eval)
    assert made.scores == ["address_is_right", "city", "zip"]
