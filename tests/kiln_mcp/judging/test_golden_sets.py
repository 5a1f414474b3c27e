"""What golden sets a draw serves, what it adds to them, and what it refuses."""

import json

import pytest

from bench import Agrees, Bench, BenchSetup
from kiln_mcp.evals.lookups import find_eval, load_measurement
from kiln_mcp.judging.golden_sets import evals_to_label
from kiln_mcp.judging.panel import plan_panel
from kiln_mcp.llm import EMBEDDED, ModelRequest
from storage import DataSource, Eval, EvalConfig, EvalRun, Task, TaskOutput, TaskRun
from storage.errors import Refusal
from storage.index.results import RecordRow

WRITTEN_BY_A_MODEL = DataSource(
    type="synthetic",
    properties={"model_name": "m", "model_provider": "p", "adapter_name": "import"},
)


def judge(request: ModelRequest) -> str:
    return json.dumps({"reasoning": "I looked.", "right": "pass"})


@pytest.fixture
def bench_setup() -> BenchSetup:
    return BenchSetup(Task(name="Name", instruction="Name one."), judge, Agrees())


async def add_eval(bench: Bench, name: str = "Right", **settings: object) -> Eval:
    definition = {"type": "llm_judge", "steps": ["Is it an animal?"], **settings}
    await bench.evaluator_of(name, definition, {"test_filter": f"tag::test_{name}"})
    return await bench.store.find(Eval, name, parent=bench.task)


async def add_runs(bench: Bench, count: int, *tags: str) -> list[TaskRun]:
    async with bench.store.transaction() as change:
        return [
            change.save(
                TaskRun(
                    input=f"animal {number}",
                    output=TaskOutput(output="cat", source=WRITTEN_BY_A_MODEL),
                    tags=tags,
                ),
                parent=bench.task,
            )
            for number in range(count)
        ]


async def tags_of(bench: Bench) -> list[frozenset[str]]:
    return [frozenset(run.tags) for run in await bench.store.children(bench.task, TaskRun)]


async def test_items_of_one_golden_set_join_those_of_the_other_evals(bench: Bench) -> None:
    await add_eval(bench)
    await add_eval(bench, "Polite")
    await add_runs(bench, 6, "golden_right")
    batch = await bench.batch(4, purpose="development", eval=["Right", "Polite"])
    assert (len(batch.items), batch.new_items) == (4, 0)
    tags = await tags_of(bench)
    assert tags.count(frozenset({"golden_right", "golden_polite"})) == 4
    assert tags.count(frozenset({"golden_right"})) == 2


async def test_a_golden_set_of_all_outputs_gives_the_other_eval_its_tag_alone(
    bench: Bench,
) -> None:
    record = await add_eval(bench)
    await bench.store.save(record.replace(eval_configs_filter_id="all"))
    await add_eval(bench, "Polite")
    await add_runs(bench, 5, "prod")
    await bench.batch(3, purpose="development", eval=["Right", "Polite"])
    tags = await tags_of(bench)
    assert tags.count(frozenset({"prod", "golden_polite"})) == 3
    assert tags.count(frozenset({"prod"})) == 2


async def test_a_golden_set_that_no_tag_makes_gets_no_outputs(bench: Bench) -> None:
    record = await add_eval(bench)
    await bench.store.save(record.replace(eval_configs_filter_id="high_rating"))
    await add_runs(bench, 3, "prod")
    with pytest.raises(Refusal, match="is found by 'high_rating', and not by a tag"):
        await bench.batch(2, purpose="development", outputs="tag::prod")
    assert await tags_of(bench) == [frozenset({"prod"})] * 3


async def test_a_task_without_outputs_has_nothing_to_draw(bench: Bench) -> None:
    await add_eval(bench)
    with pytest.raises(Refusal, match="'Right' is empty, and the task has no output") as refusal:
        await bench.batch(2, purpose="development")
    assert [step.tool for step in refusal.value.next] == ["add_data"]


@pytest.mark.parametrize(
    ("purpose", "reason", "step"),
    [
        ("second_look", "No label of 'Right' is in doubt", "check_judge"),
        ("repeat", "No item of 'Right' can be shown again yet", "draw_items_to_label"),
    ],
)
async def test_without_labels_nothing_can_be_shown_again(
    bench: Bench, purpose: str, reason: str, step: str
) -> None:
    await add_eval(bench)
    await add_runs(bench, 3, "golden_right")
    with pytest.raises(Refusal, match=reason) as refusal:
        await bench.batch(2, purpose=purpose)
    assert [own.tool for own in refusal.value.next] == [step]


async def test_without_a_name_all_evals_of_the_one_task_are_labelled(bench: Bench) -> None:
    with pytest.raises(Refusal, match="there is none with a golden set") as refusal:
        await evals_to_label(bench.store, [])
    assert [step.tool for step in refusal.value.next] == ["create_evaluator"]
    right, polite = await add_eval(bench), await add_eval(bench, "Polite")
    assert set(await evals_to_label(bench.store, [])) == {right.id, polite.id}
    assert await evals_to_label(bench.store, ["Polite"]) == ["Polite"]
    other = await bench.store.save(
        Task(name="Other", instruction="Do."), parent=bench.store.project
    )
    copy = Eval(
        name="Else",
        output_scores=right.output_scores,
        eval_set_filter_id="tag::test",
        eval_configs_filter_id="tag::golden",
    )
    await bench.store.save(copy, parent=other)
    with pytest.raises(Refusal, match="Name the evals to label outputs for:") as refusal:
        await evals_to_label(bench.store, [])
    assert all(name in str(refusal.value) for name in ("Right", "Polite", "Else"))


async def test_an_agreement_of_the_assistant_itself_names_the_client_that_judged(
    bench: Bench,
) -> None:
    record = await add_eval(bench, model="host")
    (config,) = await bench.store.children(record, EvalConfig)
    runs = await add_runs(bench, 4, "golden_right")
    async with bench.store.transaction() as change:
        for run in runs:
            result = EvalRun(
                dataset_id=run.id,
                eval_config_eval=True,
                input="i",
                output="o",
                scores={"right": 1.0},
                intermediate_outputs={"kiln_mcp_judge_client": "Claude Desktop"},
            )
            change.save(result, parent=config)
    await bench.label({run.id: "pass" for run in runs})
    report = await bench.measure(purpose="development")
    (warning,) = [w for w in report.warnings if "not blind" in w]
    assert "The judge is the connected assistant (Claude Desktop), which" in warning
    assert report.rows[0].agreement == 1.0


@pytest.mark.parametrize(
    ("steps", "variants"),
    [(["One?", "Two?"], ["strict", "lenient", "reversed"]), (["One?"], ["strict", "lenient"])],
)
async def test_the_slow_embedded_model_joins_no_panel_of_many_items(
    bench: Bench, steps: list[str], variants: list[str]
) -> None:
    await add_eval(bench, steps=steps)
    measurement = await load_measurement(bench.store, await find_eval(bench.store, "Right"), None)
    rows = [RecordRow(run.id, run.saved.path) for run in await add_runs(bench, 1, "golden_right")]
    plan = await plan_panel(bench.workspace, measurement, rows * 301, 8)
    assert [record.name.rpartition(" ")[2] for record in plan.new_records] == variants


async def test_a_judge_that_is_the_embedded_model_is_no_member_of_its_own_panel(
    bench: Bench,
) -> None:
    await add_eval(bench, steps=["One?", "Two?"], model=EMBEDDED)
    measurement = await load_measurement(bench.store, await find_eval(bench.store, "Right"), None)
    plan = await plan_panel(bench.workspace, measurement, [], 8)
    names = [record.name.rpartition(" ")[2] for record in plan.new_records]
    assert names == ["strict", "lenient", "reversed"]


async def test_a_check_without_a_prompt_has_no_variants(bench: Bench) -> None:
    await add_eval(bench)
    await bench.evaluator(name="check", type="contains", substring="cat")
    task_eval = await find_eval(bench.store, "Right")
    measurement = await load_measurement(bench.store, task_eval, "check")
    plan = await plan_panel(bench.workspace, measurement, [], 8)
    assert (list(plan.new_records), plan.members) == ([], 1), "the eval's other judge is left"
