"""The search for a better judge, driven as every door drives it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bench import Bench, BenchSetup
from judge_script import (
    NO_DIGITS,
    NO_DOGS,
    add_name_judge,
    add_names,
    names_setup,
    person,
)
from kiln_mcp.judging.refinement import service
from kiln_mcp.judging.refinement.answers import JudgeImprovement
from storage import Eval, EvalConfig, EvalRun, LlmJudge
from storage.errors import Refusal


@pytest.fixture
def bench_setup() -> BenchSetup:
    return names_setup()


async def improve(bench: Bench, **arguments: object) -> JudgeImprovement:
    report = await service.improve_judge.invoke(bench.workspace, bench.arguments(**arguments))
    assert isinstance(report, JudgeImprovement)
    return report


def log_of(report: JudgeImprovement) -> str:
    return Path(report.search_log or "").read_text(encoding="utf-8")


async def judges(bench: Bench) -> list[EvalConfig]:
    eval_record = await bench.store.find(Eval, "Right", parent=bench.task)
    return await bench.store.children(eval_record, EvalConfig)


async def test_a_judge_is_rewritten_from_disagreements_and_saved_as_a_new_evaluator(
    bench: Bench,
) -> None:
    await add_name_judge(bench, NO_DIGITS)
    runs = await add_names(bench, *["cat", "dog", "c4t"] * 4)
    await bench.label({run.id: person(run) for run in runs})
    report = await improve(bench, concerns="It likes dogs.")
    assert (report.disagreements_before, report.disagreements_after) == (4, 0)
    assert report.winner == "llm judge v2"
    assert report.steps == [NO_DIGITS, NO_DOGS]
    assert report.stop_reason == "no disagreement is left"
    by_name = {record.name: record for record in await judges(bench)}
    winner = by_name["llm judge v2"].properties
    assert isinstance(winner, LlmJudge)
    assert winner.judge_instructions == (NO_DIGITS, NO_DOGS)
    assert len(await bench.store.children(by_name["llm judge v2"], EvalRun)) == 12
    eval_record = await bench.store.find(Eval, "Right", parent=bench.task)
    assert eval_record.current_config_id == by_name["llm judge"].id, "a call sets it, no search"


async def test_what_a_search_reports_is_corrected_and_told_as_optimistic(bench: Bench) -> None:
    await add_name_judge(bench, NO_DIGITS)
    runs = await add_names(bench, *["cat", "dog", "c4t"] * 4)
    await bench.label({run.id: person(run) for run in runs})
    report = await improve(bench)
    assert report.agreement_after == 1.0
    assert report.agreement_at_least < 0.9
    assert report.agreement_corrected <= report.agreement_after
    assert "Development numbers are optimistic" in report.warnings[0]
    assert (report.next[0].arguments or {})["panel"] == 3
    assert (report.next[1].arguments or {})["purpose"] == "certificate"
    plan = (await service.improve_judge.propose(bench.workspace, bench.arguments())).plan
    assert "Always answering 'fail' agrees on 8 of 12" in plan.summary
    assert "12 labels show a gain of 10 points in about" in plan.summary
    checked = await bench.measure(evaluators=["llm judge v2"])
    assert any("12 of these labels are older than 'llm judge v2'" in w for w in checked.warnings)
    checked = await bench.measure(evaluators=["llm judge"])
    assert not any("are older than" in warning for warning in checked.warnings)


async def test_four_labels_show_no_gain_even_if_all_disagreements_are_gone(bench: Bench) -> None:
    await add_name_judge(bench, NO_DIGITS)
    runs = await add_names(bench, "cat", "dog", "c4t", "cow")
    await bench.label({run.id: person(run) for run in runs})
    report = await improve(bench)
    assert (report.agreement_after, report.gain_shown) == (1.0, False)
    assert "No gain is shown" in report.verdict


async def test_no_model_ever_reads_a_label_for_the_certificate(bench: Bench) -> None:
    await add_name_judge(bench, NO_DIGITS)
    secrets = await add_names(bench, *[f"secret dog number {n}" for n in "abcdef"])
    batch = await bench.batch(6)
    entries = [
        {"item": item.item, "label": "fail", "reason": "a hidden reason"} for item in batch.items
    ]
    await bench.save_labels(entries)
    runs = await add_names(bench, "cat", "dog", "c4t", "dog")
    await bench.label({run.id: person(run) for run in runs})
    asked = len(bench.model.asked)
    report = await improve(bench, with_examples=True)
    assert (report.development_labels, report.hidden_items) == (4, len(secrets))
    texts = [str(request.messages) for request in bench.model.asked[asked:]]
    assert texts
    assert not [text for text in texts if "secret dog" in text or "a hidden reason" in text]
    assert "secret" not in log_of(report)


async def test_a_judge_without_a_disagreement_costs_nothing_to_improve(bench: Bench) -> None:
    await add_name_judge(bench, NO_DIGITS, NO_DOGS)
    runs = await add_names(bench, "cat", "dog", "c4t", "cow")
    await bench.label({run.id: person(run) for run in runs})
    await bench.measure()
    asked = len(bench.model.asked)
    report = await improve(bench)
    assert (report.winner, report.calls, len(bench.model.asked)) == (None, 0, asked)
    assert "nothing to learn" in report.warnings[0]


async def test_a_version_that_differs_more_is_logged_and_dropped(bench: Bench) -> None:
    await add_name_judge(bench, NO_DIGITS, NO_DOGS)
    runs = await add_names(bench, "cat", "dog", "c4t", "mouse")
    labels = {run.id: person(run) for run in runs} | {runs[3].id: "fail"}
    await bench.label(labels)
    report = await improve(bench)
    assert (report.winner, report.versions[0].is_accepted) == (None, False)
    assert report.versions[0].disagreements == 2
    steps = [json.loads(line)["steps"] for line in log_of(report).splitlines()]
    assert steps == [[NO_DIGITS, NO_DOGS], [NO_DIGITS]]
    assert len(await judges(bench)) == 1


async def test_items_shown_as_examples_count_as_the_judge_that_has_not_seen_them(
    bench: Bench,
) -> None:
    await add_name_judge(bench, NO_DIGITS, NO_DOGS)
    runs = await add_names(bench, *["mouse", "cat", "cow", "cat"] * 2)
    labels = {run.id: "fail" if run.output.output == "mouse" else "pass" for run in runs}
    await bench.label(labels)
    report = await improve(bench, with_examples=True)
    shown = [version for version in report.versions if "as examples" in version.change]
    assert [version.disagreements for version in shown] == [2] * len(shown)
    assert shown


async def test_a_check_that_asks_no_model_cannot_be_rewritten(bench: Bench) -> None:
    await bench.evaluator(type="contains", substring="cat", test_filter="tag::eval_right")
    (run,) = await add_names(bench, "cat")
    await bench.label({run.id: "pass"})
    with pytest.raises(Refusal, match="no steps to rewrite"):
        await improve(bench)


async def test_too_few_calls_are_refused_before_any_is_made(bench: Bench) -> None:
    await add_name_judge(bench, NO_DIGITS)
    runs = await add_names(bench, *["cat", "dog"] * 5)
    await bench.label({run.id: person(run) for run in runs})
    with pytest.raises(Refusal, match="are too few"):
        await improve(bench, max_calls=8)
    report = await improve(bench, max_calls=20)
    assert report.development_labels == 5
    assert any("left out at random" in warning for warning in report.warnings)


async def test_the_same_job_after_a_kill_saves_one_judge(bench: Bench) -> None:
    await add_name_judge(bench, NO_DIGITS)
    runs = await add_names(bench, *["cat", "dog", "c4t"] * 2)
    await bench.label({run.id: person(run) for run in runs})
    attempt = replace(bench, workspace=replace(bench.workspace, job="4711"))
    first, again = await improve(attempt), await improve(attempt)
    assert first.winner_id == again.winner_id
    assert len(await judges(bench)) == 2


async def test_the_embedded_model_rewrites_nothing_and_examples_are_tried_instead(
    bench: Bench,
) -> None:
    await add_name_judge(bench, NO_DIGITS)
    runs = await add_names(bench, *["cat", "dog", "cow", "dog"] * 2)
    await bench.label({run.id: person(run) for run in runs})
    report = await improve(bench, model="embedded")
    changes = {version.change for version in report.versions}
    assert "The judge is too lenient." in changes
    assert any("as examples" in change for change in changes)
    assert not any("You mend" in str(request.messages) for request in bench.model.asked)


async def test_no_judge_is_written_from_labels_that_the_panel_contradicts(bench: Bench) -> None:
    await add_name_judge(bench, NO_DIGITS, "Any other name passes.")
    runs = await add_names(bench, *["cat", "c4t"] * 6)
    opposite = {"pass": "fail", "fail": "pass"}
    await bench.label({run.id: opposite[person(run)] for run in runs})
    await bench.measure(panel=3)
    with pytest.raises(Refusal, match="cannot measure any judge") as refusal:
        await improve(bench)
    assert (refusal.value.next[0].arguments or {})["purpose"] == "second_look"
