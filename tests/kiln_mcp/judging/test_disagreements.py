"""Disagreements of a judge with people's development labels, and the panel's part in them."""

import pytest

from bench import Bench, BenchSetup
from judge_script import NO_DIGITS, add_name_judge, add_names, names_setup, person
from kiln_mcp.judging import service
from kiln_mcp.judging.answers import DisagreementReport
from storage import Eval, EvalConfig
from storage.errors import Refusal, WorkbenchError


@pytest.fixture
def bench_setup() -> BenchSetup:
    return names_setup()


async def add_judge(bench: Bench) -> None:
    await add_name_judge(bench, NO_DIGITS, "Any other name passes.")


async def list_disagreements(bench: Bench, **arguments: object) -> DisagreementReport:
    call = bench.arguments(show="disagreements", **arguments)
    report = await service.check_judge.invoke(bench.workspace, call)
    assert isinstance(report, DisagreementReport)
    return report


async def test_one_call_shows_verdict_label_and_both_reasons_of_each_disagreement(
    bench: Bench,
) -> None:
    await add_judge(bench)
    runs = await add_names(bench, "cat", "dog", "d0g", "mouse")
    entries = [
        {"item": run.id, "label": person(run), "reason": f"I saw {run.output.output}."}
        for run in runs
    ]
    await bench.save_labels(entries)
    report = await list_disagreements(bench)
    assert report.summary.startswith("1 of 4 verdicts differ from development labels")
    (row,) = report.disagreements
    assert (row.item, row.verdict, row.label) == (runs[1].id, "pass", "fail")
    assert (row.judge_reason, row.label_reason) == ("I read dog.", "I saw dog.")
    assert (row.input, row.output, row.rater) == ("animal 1", "dog", "ann")
    assert (report.counts[0].too_lenient, report.counts[0].too_strict) == (1, 0)
    assert report.next[0].tool == "improve_judge"


async def test_labels_for_a_certificate_are_counted_and_not_shown(bench: Bench) -> None:
    await add_judge(bench)
    runs = await add_names(bench, *["dog"] * 6)
    batch = await bench.batch(4)
    await bench.label({item.item: "fail" for item in batch.items})
    hidden = {item.item for item in batch.items}
    await bench.label({run.id: "fail" for run in runs if run.id not in hidden})
    report = await list_disagreements(bench)
    assert report.hidden_items == 4
    assert {row.item for row in report.disagreements} == {run.id for run in runs} - hidden


async def test_without_a_label_for_development_the_way_on_is_a_draw(bench: Bench) -> None:
    await add_judge(bench)
    await add_names(bench, "dog")
    with pytest.raises(Refusal, match="has a label for development") as refusal:
        await list_disagreements(bench)
    assert refusal.value.next[0].tool == "draw_items_to_label"


async def test_a_label_that_calls_each_value_defensible_is_no_disagreement(bench: Bench) -> None:
    await add_judge(bench)
    (run,) = await add_names(bench, "dog")
    await bench.save_labels([{"item": run.id, "label": "both"}])
    report = await list_disagreements(bench)
    assert (report.total, report.counts[0].labels) == (0, 1)


async def test_a_panel_is_stored_as_evaluators_and_is_measured_by_no_call(bench: Bench) -> None:
    await add_judge(bench)
    runs = await add_names(bench, "cat", "mouse", "dog", "cow")
    await bench.label({run.id: person(run) for run in runs})
    report = await list_disagreements(bench, panel=2)
    (row,) = report.disagreements
    assert row.panel == "0 of 3 agree with the label"
    eval_record = await bench.store.find(Eval, "Right", parent=bench.task)
    names = {record.name for record in await bench.store.children(eval_record, EvalConfig)}
    assert {name.rpartition(" ")[2] for name in names} == {"judge", "strict", "lenient"}
    asked = len(bench.model.asked)
    measured = await bench.measure(panel=2)
    assert len({line.evaluator for line in measured.rows}) == 1
    assert len(bench.model.asked) == asked


async def test_the_worst_disagreement_comes_first_and_a_doubtful_label_last(bench: Bench) -> None:
    await add_judge(bench)
    runs = await add_names(bench, "dog", "mouse", "c4t")
    labels = {runs[0].id: "fail", runs[1].id: "fail", runs[2].id: "pass"}
    await bench.label(labels)
    report = await list_disagreements(bench, panel=3)
    order = [row.item for row in report.disagreements]
    assert order[0] == runs[1].id, "one member of the panel agrees with this label"
    doubtful = {row.item for row in report.disagreements if row.label_doubt}
    assert doubtful == {runs[0].id, runs[2].id}
    assert (report.next[0].arguments or {})["purpose"] == "second_look"


async def test_one_call_makes_a_named_evaluator_the_current_one(bench: Bench) -> None:
    await add_judge(bench)
    await bench.evaluator(type="llm_judge", steps=["Any name passes."], name="Second")
    runs = await add_names(bench, "cat", "c4t")
    await bench.label({run.id: person(run) for run in runs})
    with pytest.raises(WorkbenchError, match="make_current goes with the summary"):
        await bench.measure(make_current=True)
    await bench.measure(evaluators=["Second"], make_current=True)
    eval_record = await bench.store.find(Eval, "Right", parent=bench.task)
    second = await bench.store.find(EvalConfig, "Second", parent=eval_record)
    assert eval_record.current_config_id == second.id


async def test_several_judges_are_compared_on_the_same_labels(bench: Bench) -> None:
    await add_judge(bench)
    await bench.evaluator(type="llm_judge", steps=["Any name passes."], name="Second")
    runs = await add_names(bench, *["cat", "c4t"] * 20)
    await bench.label({run.id: person(run) for run in runs})
    report = await bench.measure()
    (comparison,) = report.comparisons
    assert comparison.may_be_best == ["llm judge"]
    assert comparison.against_best["Second"].startswith("-50 points")
    assert comparison.at_least < 1
