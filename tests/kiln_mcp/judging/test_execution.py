"""Where outputs can be executed, judges and labels are measured against that."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from bench import Agrees, Bench, BenchSetup, open_bench
from kiln_mcp.llm import ModelRequest
from storage import (
    DataSource,
    RequirementRating,
    Task,
    TaskOutput,
    TaskOutputRating,
    TaskRun,
)

SCRIPTS: Mapping[str, float] = {
    # A script, and what a hasty person said of it.
    "true": 1.0,
    "exit 0": 0.0,
    "echo yes": 0.0,
    "false": 1.0,
    "exit 3": 1.0,
    "no-such-command": 1.0,
}


def judge(request: ModelRequest) -> str:
    """Fail what says by its words that it fails."""
    text = request.messages[-1].content
    verdict = "fail" if "false" in text or "no-such" in text else "pass"
    return f'{{"reasoning": "As it says.", "right": "{verdict}"}}'


async def add_scripts(bench: Bench, scripts: Mapping[str, float] = SCRIPTS) -> None:
    source = DataSource(
        type="synthetic",
        properties={"model_name": "m", "model_provider": "p", "adapter_name": "a"},
    )
    async with bench.store.transaction() as change:
        for script, value in scripts.items():
            mark = RequirementRating(value=value, type="pass_fail")
            rating = TaskOutputRating(requirement_ratings={"named::Right": mark})
            output = TaskOutput(output=script, source=source, rating=rating)
            change.save(TaskRun(input="Write.", output=output, tags=("golden",)), bench.task)


async def test_a_judge_is_measured_by_execution_where_the_labels_are_wrong(tmp_path: Path) -> None:
    task = Task(name="Scripts", instruction="Write a script.")
    async with open_bench(tmp_path, BenchSetup(task, judge, person=Agrees())) as bench:
        await add_scripts(bench)
        bench.workspace.trust.grant(bench.store.folder)
        filters = {"test_filter": "tag::none", "golden_filter": "tag::golden"}
        check = {"name": "execution", "type": "command_check", "command": "sh {output}"}
        await bench.evaluator_of("Right", check, filters)
        await bench.evaluator(name="judge", type="llm_judge", steps=["Does it work?"])
        report = await bench.measure(evaluators=["execution", "judge"])
    rows = {row.subject: (row.agreements, row.items) for row in report.execution}
    assert rows == {"people's labels": (1, 6), "judge": (5, 6)}
    assert all(row.low < row.agreement < row.high for row in report.execution)
    assert {row.subject: row.kappa for row in report.execution}["judge"] == pytest.approx(
        2 / 3, abs=1e-4
    )
    assert (
        "'execution' executes the outputs: the labels agree with it on 1 of 6, the judge on 83%."
        in report.conclusions
    )


async def test_four_executed_outputs_are_too_few_to_measure_a_judge(tmp_path: Path) -> None:
    task = Task(name="Scripts", instruction="Write a script.")
    async with open_bench(tmp_path, BenchSetup(task, judge, person=Agrees())) as bench:
        await add_scripts(bench, dict(list(SCRIPTS.items())[:4]))
        bench.workspace.trust.grant(bench.store.folder)
        filters = {"test_filter": "tag::none", "golden_filter": "tag::golden"}
        check = {"name": "execution", "type": "command_check", "command": "sh {output}"}
        await bench.evaluator_of("Right", check, filters)
        await bench.evaluator(name="judge", type="llm_judge", steps=["Does it work?"])
        report = await bench.measure(evaluators=["execution", "judge"])
    assert report.new_verdicts == 8, "the outputs were executed and judged"
    assert report.execution == []
    assert not any("executes the outputs" in sentence for sentence in report.conclusions)
