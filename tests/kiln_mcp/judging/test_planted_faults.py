"""The audit of labels reads minimal pairs: an output that was edited to break a clause fails."""

import pytest

from bench import Bench, BenchSetup
from judge_script import NO_DIGITS, add_name_judge, names_setup
from kiln_mcp.datasets.lineage import BROKEN_CLAUSE, OUTCOME, PAIR_TAG, SPEC
from kiln_mcp.evals.lookups import find_eval
from kiln_mcp.judging.golden_sets import audit_golden_set
from kiln_mcp.labels.golden_set import open_golden_set
from storage import DataSource, Eval, Spec, TaskOutput, TaskRun
from storage.records.run import PAIR_ADAPTER


@pytest.fixture
def bench_setup() -> BenchSetup:
    return names_setup()


async def add_spec(bench: Bench, eval_id: str | None) -> Spec:
    spec = Spec.model_validate(
        {
            "name": "Names",
            "definition": "No digits.",
            "eval_id": eval_id,
            "properties": {
                "spec_type": "desired_behaviour",
                "desired_behaviour_description": "No digits.",
            },
        }
    )
    return await bench.store.save(spec, parent=bench.task)


async def add_outputs(bench: Bench, spec: Spec, *outcomes: str) -> list[TaskRun]:
    """Add outputs of the golden set "Right" that were edited to an outcome."""
    runs: list[TaskRun] = []
    for number, outcome in enumerate(outcomes):
        properties: dict[str, str | int | float] = {
            "model_name": "m",
            "model_provider": "p",
            "adapter_name": PAIR_ADAPTER,
            OUTCOME: outcome,
            BROKEN_CLAUSE: "c1",
            SPEC: spec.id,
        }
        source = DataSource(type="synthetic", properties=properties)
        output = TaskOutput(output=f"name {number}", source=source)
        tags = ("golden_right", PAIR_TAG)
        runs.append(TaskRun(input=f"animal {number}", output=output, tags=tags))
    async with bench.store.transaction() as change:
        return [change.save(run, parent=bench.task) for run in runs]


async def doubts(bench: Bench) -> dict[str, str]:
    """Return why labels are in doubt, by item."""
    golden_set = await open_golden_set(bench.store, await find_eval(bench.store, "Right"))
    (audit,) = (await audit_golden_set(bench.store, golden_set)).values()
    return {label.item: label.why for label in audit.doubtful}


async def eval_of(bench: Bench) -> Eval:
    await add_name_judge(bench, NO_DIGITS)
    return await bench.store.find(Eval, "Right", parent=bench.task)


async def test_a_passing_label_on_an_output_that_was_edited_to_fail_is_in_doubt(
    bench: Bench,
) -> None:
    spec = await add_spec(bench, (await eval_of(bench)).id)
    runs = await add_outputs(bench, spec, "fail", "fail", "borderline")
    await bench.save_labels(
        [
            {"item": run.id, "label": label, "reason": "I read it."}
            for run, label in zip(runs, ("pass", "fail", "pass"), strict=True)
        ]
    )
    assert await doubts(bench) == {
        runs[0].id: "the edit that broke a clause says the opposite",
    }


async def test_a_pair_of_another_spec_says_nothing_of_the_label(bench: Bench) -> None:
    await eval_of(bench)
    spec = await add_spec(bench, None)
    runs = await add_outputs(bench, spec, "fail")
    await bench.save_labels([{"item": runs[0].id, "label": "pass", "reason": "I read it."}])
    assert await doubts(bench) == {}


async def test_a_pair_that_a_person_corrected_says_nothing_of_the_label(bench: Bench) -> None:
    spec = await add_spec(bench, (await eval_of(bench)).id)
    (run,) = await add_outputs(bench, spec, "fail")
    await bench.save_labels([{"item": run.id, "label": "pass", "reason": "I read it."}])
    labelled = await bench.store.find(TaskRun, run.id, parent=bench.task)
    repaired = labelled.replace(
        repair_instructions="No digits.", repaired_output=TaskOutput(output="cat")
    )
    await bench.store.save(repaired)
    assert await doubts(bench) == {}
