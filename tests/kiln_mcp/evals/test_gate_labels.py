"""The gate's rates as labels of a run config's own outputs correct them, and the uses it counts."""

import json

import pytest

from bench import Agrees, Bench, BenchSetup
from kiln_mcp.evals.gate.checks import CheckOutcome, GateCheck
from kiln_mcp.evals.gate.gate_report import GateReport, GateRequest, open_gate, pass_gate
from kiln_mcp.evals.gate.rules import GateRules
from kiln_mcp.evals.results.service import show_results
from kiln_mcp.evals.service import run_eval
from kiln_mcp.llm import ModelRequest
from storage import Task

ITEMS = 60


def answer(request: ModelRequest) -> str:
    """Answer every third question rudely; the judge passes whatever it reads."""
    asked = str(request.messages[-1].content)
    if "You judge" not in str(request.messages[0].content):
        number = int("".join(character for character in asked if character.isdigit()))
        return "rude" if number % 3 == 0 else "kind"
    return json.dumps({"reasoning": "Fine.", "right": "pass"})


@pytest.fixture
def bench_setup() -> BenchSetup:
    return BenchSetup(Task(name="Support", instruction="Help."), answer, Agrees())


async def make_results(bench: Bench) -> None:
    await bench.add_items({f"Question {number}": "kind" for number in range(ITEMS)})
    steps = ["Is it polite?"]
    await bench.evaluator(type="llm_judge", steps=steps, test_filter="tag::eval_right")
    await bench.config("v1", "Help.")
    await bench.run()


async def gate(bench: Bench, threshold: float, config: str = "v1") -> GateReport:
    rules = GateRules(at_least={"right": threshold})
    candidates = await open_gate(bench.store, GateRequest(run_config=config, rules=rules))
    return await pass_gate(bench.store, candidates, rules)


def threshold_check(report: GateReport) -> GateCheck:
    return next(check for check in report.checks if "is at least" in check.name)


async def label_outputs(bench: Bench, count: int) -> None:
    """Label drawn outputs of the run config as a person does, to whom a rude one fails."""
    batch = await bench.batch(count, outputs="v1")
    labels = {i.item: "fail" if i.output == "rude" else "pass" for i in batch.items}
    await bench.label(labels)


async def test_labels_of_its_own_outputs_fail_a_run_config_that_the_judge_passes(
    bench: Bench,
) -> None:
    await make_results(bench)
    assert threshold_check(await gate(bench, 0.9)).outcome is CheckOutcome.PASS
    await label_outputs(bench, 50)
    sliced = await show_results(bench.workspace, bench.folder, "Right", slice_by="source")
    [row] = sliced.model_dump()["slices"]
    assert (row["rate"], row["corrected_low"] > 0.2) == (0, True)
    check = threshold_check(await gate(bench, 0.9))
    assert check.outcome is CheckOutcome.FAIL
    assert "Corrected by" in check.says
    assert "as judged it is 1.000" in check.says
    open_check = threshold_check(await gate(bench, 0.67))
    assert open_check.outcome is CheckOutcome.CANNOT_TELL
    assert "More labels of these outputs would narrow it" in open_check.says


async def test_labels_of_one_run_config_correct_no_other(bench: Bench) -> None:
    await make_results(bench)
    await label_outputs(bench, 50)
    await bench.config("v2", "Help again.")
    await bench.run()
    assert "labels" not in threshold_check(await gate(bench, 0.9, "v2")).says
    report = await show_results(bench.workspace, bench.folder, "Right")
    (said,) = report.model_dump()["conclusions"]
    assert said.startswith("v1, right: corrected by")
    assert "labels of its own outputs" in said


async def test_labels_of_some_outputs_say_why_they_correct_nothing(bench: Bench) -> None:
    await make_results(bench)
    batch = await bench.batch(10, purpose="development", outputs="v1")
    await bench.label({item.item: "pass" for item in batch.items})
    check = threshold_check(await gate(bench, 0.9))
    assert (
        "labels do not correct it: they were drawn from the golden set, which lacks" in check.says
    )
    report = await show_results(bench.workspace, bench.folder, "Right")
    (said,) = report.model_dump()["conclusions"]
    assert "labels do not correct its rate: they were drawn from the golden set" in said


async def test_a_gate_counts_its_use_of_the_test_part_once_for_the_same_results(
    bench: Bench,
) -> None:
    await make_results(bench)
    notes = ["1st use of this test part, tested at 2.5 %"] * 2
    for note in notes:
        assert any(note in text for text in (await gate(bench, 0.9)).notes)
    await bench.config("v2", "Help again.")
    await bench.run()
    second = await gate(bench, 0.9, "v2")
    assert any("2nd use of this test part, tested at 0.83 %" in text for text in second.notes)
    compared = await show_results(bench.workspace, bench.folder, "Right", compare=["v1", "v2"])
    assert compared.model_dump()["use"] == 3, "a comparison asks more than the gates did"


async def test_a_gate_without_a_threshold_or_a_baseline_uses_up_nothing(bench: Bench) -> None:
    await make_results(bench)
    rules = GateRules(critical=("right",))
    candidates = await open_gate(bench.store, GateRequest(rules=rules))
    report = await pass_gate(bench.store, candidates, rules)
    assert not any("use of this test part" in text for text in report.notes)


async def test_the_plan_of_a_run_says_what_so_many_items_can_show(bench: Bench) -> None:
    await make_results(bench)
    await bench.config("v2", "Help again.")
    proposal = await run_eval.propose(bench.workspace, bench.arguments(run_configs=["v2"]))
    says = "60 items tell a pass rate to about 10 points, and show a gain of 10 points over another"
    assert says in proposal.plan.summary
    assert "in about 40% of cases" in proposal.plan.summary
    stored = await run_eval.propose(bench.workspace, bench.arguments(outputs="all"))
    assert "60 outputs tell a pass rate to about 10 points." in stored.plan.summary
