"""How often stored outputs fail: judged as they are, corrected by labels, sliced."""

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from bench import Agrees, Bench, BenchSetup
from imported_answers import DIGITS_JUDGE, add, add_answers, answer, fail_digits
from kiln_mcp.evals.answers import EvalReport, EvalRunReport
from kiln_mcp.evals.errors import NothingToEvaluate
from kiln_mcp.evals.results.service import show_results
from storage import (
    DataSource,
    EvalConfig,
    EvalRun,
    Task,
    TaskOutput,
    TaskRun,
    TraceMessage,
    Usage,
)
from storage.errors import InvalidValue


@pytest.fixture
def bench_setup() -> BenchSetup:
    return BenchSetup(Task(name="Support", instruction="Help."), fail_digits, Agrees())


async def shown(bench: Bench, **arguments: object) -> EvalReport:
    report = await show_results.invoke(bench.workspace, bench.arguments(**arguments))
    assert isinstance(report, EvalReport)
    return report


async def test_two_calls_tell_how_often_imported_answers_fail(bench: Bench) -> None:
    await add_answers(bench, fine=45, bad_1=15)
    created = await bench.evaluator(**DIGITS_JUDGE)
    [step] = created.next
    assert (step.tool, step.arguments) == (
        "run_eval",
        {"eval": "Right", "outputs": "tag::production"},
    )
    report = await bench.run(outputs="tag::production")
    [row] = report.rates
    assert (row.failures, row.n, row.rate, row.labels) == (15, 60, 0.25, 0)
    assert 0.14 < row.low < 0.25 < row.high < 0.38
    assert "not checked on these outputs yet" in row.says
    assert [step.tool for step in report.next] == [
        "show_results",
        "draw_items_to_label",
        "show_results",
    ]
    assert (report.newly_scored, report.outputs_made, report.table) == (60, 0, [])


async def test_stored_outputs_need_neither_run_config_nor_split_nor_golden_set(
    bench: Bench,
) -> None:
    await add_answers(bench, fine=2, bad_1=1)
    await bench.evaluator(**DIGITS_JUDGE)
    assert (await bench.run(outputs="all")).rates[0].n == 3
    with pytest.raises(NothingToEvaluate, match=r'run_eval \{"eval": "Right", "outputs"'):
        await bench.run()


async def test_results_are_stored_as_kiln_stores_judged_outputs(bench: Bench) -> None:
    await add_answers(bench, fine=1, bad_1=0)
    created = await bench.evaluator(**DIGITS_JUDGE)
    await bench.run(outputs="all")
    evaluator = await bench.store.get(EvalConfig, created.evaluator_id)
    [result] = await bench.store.children(evaluator, EvalRun)
    [run] = await bench.store.children(bench.task, TaskRun)
    assert (result.dataset_id, result.scored_run_id, result.task_run_config_id) == (
        run.id,
        run.id,
        None,
    )
    assert result.eval_config_eval
    assert (result.input, result.output) == (None, None)


async def test_outputs_that_are_judged_are_not_paid_for_again(bench: Bench) -> None:
    await add_answers(bench, fine=4, bad_1=2)
    await bench.evaluator(**DIGITS_JUDGE)
    await bench.run(outputs="all", most_items=4)
    asked = len(bench.model.asked)
    report = await bench.run(outputs="all")
    assert (asked, len(bench.model.asked)) == (4, 6)
    assert (report.newly_scored, report.already_scored) == (2, 4)


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("all", 6),
        ("tag::beta", 2),
        ("beta", 2),
        ("multi_filter::tag::beta&tag::production", 1),
        ("synthetic", 5),
        ("human", 1),
        ("model::gpt-y", 1),
    ],
)
async def test_stored_outputs_are_called_by_filter_tag_source_or_model(
    bench: Bench, name: str, count: int
) -> None:
    person = DataSource(type="human", properties={"created_by": "ann"})
    by_hand = TaskRun(input="q", output=TaskOutput(output="fine", source=person))
    tagged = [answer("one", tags=("beta",)), answer("two", tags=("beta", "production"))]
    await add(bench, by_hand, *tagged, answer("three", model="gpt-y"))
    await add_answers(bench, fine=2, bad_1=0)
    await bench.evaluator(**DIGITS_JUDGE)
    assert (await bench.run(outputs=name)).rates[0].n == count


async def test_an_unknown_name_of_outputs_is_refused_with_the_valid_ones(bench: Bench) -> None:
    await add_answers(bench, fine=1, bad_1=0)
    await bench.evaluator(**DIGITS_JUDGE)
    with pytest.raises(InvalidValue, match=r"'nothing'\. Give a filter .* model::<model>"):
        await bench.run(outputs="nothing")
    with pytest.raises(InvalidValue, match="not both"):
        await bench.run(outputs="all", run_configs=["one"])
    with pytest.raises(InvalidValue, match="leave `repeats` out"):
        await bench.run(outputs="all", repeats=2)


async def test_a_sample_is_random_and_lies_within_a_larger_one(bench: Bench) -> None:
    await add_answers(bench, fine=20, bad_1=20)
    await bench.evaluator(**DIGITS_JUDGE)
    first = await bench.run(outputs="all", most_items=10)
    second = await bench.run(outputs="all", most_items=20)
    assert (second.already_scored, second.newly_scored) == (10, 10)
    assert "10 of 40 outputs were drawn at random" in first.warnings[0]
    assert 0 < first.rates[0].failures < 10


async def test_answers_that_are_cut_off_count_beside_the_rate(bench: Bench) -> None:
    await add_answers(bench, fine=3, bad_1=1)
    await add(bench, answer("bad 2", answer_state="truncated"))
    await bench.evaluator(**DIGITS_JUDGE)
    report = await bench.run(outputs="all")
    assert (report.rates[0].failures, report.rates[0].n) == (1, 4)
    assert report.warnings[0].startswith("1 answers are cut off, refused or empty (20.0% of all).")


async def test_an_output_that_changed_is_judged_again_and_its_old_result_stays_apart(
    bench: Bench,
) -> None:
    [run] = await add(bench, answer("bad 1"))
    created = await bench.evaluator(**DIGITS_JUDGE)
    assert (await bench.run(outputs="all")).rates[0].failures == 1
    await bench.store.save(run.replace(output=run.output.replace(output="fine")))
    report = await bench.run(outputs="all")
    assert (report.newly_scored, report.already_scored) == (1, 0)
    assert (report.rates[0].failures, report.rates[0].n) == (0, 1)
    evaluator = await bench.store.get(EvalConfig, created.evaluator_id)
    assert len(await bench.store.children(evaluator, EvalRun)) == 2


async def test_a_conversation_counts_once_and_the_judge_reads_all_of_it(bench: Bench) -> None:
    texts = [
        ("user", "My bill?"),
        ("assistant", "Which one?"),
        ("user", "May."),
        ("assistant", "3"),
    ]
    trace = tuple(TraceMessage(role=role, content=text) for role, text in texts)
    [first] = await add(bench, answer("Which one?").replace(trace=trace[:2]))
    last = answer("3").replace(trace=trace, parent_task_run_id=first.id)
    await add(bench, last)
    await bench.evaluator(**DIGITS_JUDGE)
    assert (await bench.run(outputs="all")).rates[0].n == 1
    [request] = bench.model.asked
    prompt = str(request.messages[-1].content)
    assert "<conversation>\nuser: My bill?\n\nassistant: Which one?\n\nuser: May." in prompt


async def test_several_evaluators_judge_each_output_and_one_that_fails_stops_no_other(
    bench: Bench,
) -> None:
    await add_answers(bench, fine=3, bad_1=1)
    await add(bench, answer("unreadable"))
    await bench.evaluator(**DIGITS_JUDGE)
    await bench.evaluator(type="contains", substring="fine", name="word")
    report = await bench.run(outputs="all", evaluators=["digits", "word"])
    rates = {row.evaluator: (row.failures, row.n) for row in report.rates}
    assert rates == {"digits": (1, 4), "word": (2, 5)}
    counts = {row.evaluator: (row.newly_scored, row.failed) for row in report.evaluators}
    assert counts == {"digits": (4, 1), "word": (5, 0)}
    assert report.evaluator == "digits, word"


async def test_several_evaluators_share_each_new_output(bench: Bench) -> None:
    await bench.add_items({f"question {number}": "fine" for number in range(4)})
    await bench.evaluator(**DIGITS_JUDGE)
    await bench.evaluator(type="contains", substring="i", name="word")
    await bench.config("only", "Help me: <model_response>x</model_response>")
    report = await bench.run(evaluators=["digits", "word"])
    assert report.outputs_made == 4
    assert len(bench.model.asked) == 8
    means = {row.evaluator: row.mean for row in report.table}
    assert means.keys() == {"digits", "word"}
    again: EvalRunReport = await bench.run(evaluators=["digits", "word"])
    assert (again.newly_scored, again.already_scored) == (0, 8)


async def test_several_judges_are_asked_about_an_output_at_the_same_time(bench: Bench) -> None:
    await add_answers(bench, fine=2, bad_1=1)
    await bench.evaluator(**DIGITS_JUDGE)
    await bench.evaluator(**{**DIGITS_JUDGE, "name": "again", "steps": ["No numbers."]})
    report = await bench.run(outputs="all", evaluators=["digits", "again"])
    assert {row.evaluator: row.failures for row in report.rates} == {"digits": 1, "again": 1}
    assert len(bench.model.asked) == 6


async def test_an_evaluator_that_cannot_run_is_named_and_the_others_run(bench: Bench) -> None:
    await add_answers(bench, fine=2, bad_1=0)
    await bench.evaluator(**DIGITS_JUDGE)
    await bench.evaluator(**{**DIGITS_JUDGE, "name": "elsewhere", "model": "openai/gpt-5"})
    report = await bench.run(outputs="all", evaluators=["digits", "elsewhere"])
    assert [row.evaluator for row in report.rates] == ["digits"]
    problems = {row.evaluator: row.problem for row in report.evaluators}
    assert problems["digits"] is None
    assert "key" in (problems["elsewhere"] or "")


async def test_the_worst_outputs_are_one_call_away_with_their_reasons(bench: Bench) -> None:
    await add_answers(bench, fine=3, bad_1=2)
    await bench.evaluator(**DIGITS_JUDGE)
    report = await bench.run(outputs="all")
    arguments: Mapping[str, object] = report.next[0].arguments or {}
    assert arguments == {"eval": "Right", "outputs": "all", "items": "failures"}
    page = await shown(bench, outputs="all", items="failures")
    assert [item.output for item in page.items] == ["bad 1", "bad 1"]
    assert {item.why for item in page.items} == {"I looked."}
    assert page.items_found == 2


async def test_rates_are_sliced_by_tag_with_the_caution_that_many_slices_need(
    bench: Bench,
) -> None:
    await add(bench, *(answer("bad 1", tags=("refund",), number=n) for n in range(12)))
    await add(bench, *(answer("fine", tags=("bill",), number=n) for n in range(20)))
    await add(bench, *(answer("fine", tags=("rare",), number=n) for n in range(2)))
    await bench.evaluator(**DIGITS_JUDGE)
    await bench.run(outputs="all")
    report = await shown(bench, outputs="all", slice_by="tag")
    rows = {row.slice: row for row in report.slices}
    assert (rows["refund"].failures, rows["refund"].n, rows["refund"].rate) == (12, 12, 1.0)
    p_value, shrunken = rows["refund"].p_value, rows["refund"].shrunken
    assert p_value is not None
    assert p_value < 0.001
    assert shrunken is not None
    assert shrunken > 0.5
    assert (rows["rare"].rate, rows["rare"].n) == (None, 2)
    assert report.slices[0].slice == "refund"
    says, of_labels = report.conclusions
    assert "labels correct the rate of 0 of 3 slices" in of_labels
    assert "'refund' (12 of 12): more failures than in the rest" in says
    assert "Too few outputs (below 5) to say anything: rare" in says


async def test_the_worst_of_equal_slices_is_said_to_look_worse_than_it_is(bench: Bench) -> None:
    for name, bad in {"a": 3, "b": 1, "c": 2}.items():
        await add(bench, *(answer("bad 1", tags=(name,), number=n) for n in range(bad)))
        await add(bench, *(answer("fine", tags=(name,), number=n) for n in range(10 - bad)))
    await bench.evaluator(**DIGITS_JUDGE)
    await bench.run(outputs="all")
    says, _ = (await shown(bench, outputs="all", slice_by="tag")).conclusions
    assert "No tag can be told from the rest" in says
    assert "'a' has 30%, and 20% shrunken to the whole" in says


@pytest.mark.parametrize(
    ("slice_by", "names"),
    [
        ("model", {"gpt-x", "gpt-y"}),
        ("source", {"synthetic"}),
        ("month", {"2026-03", "2026-04"}),
        ("topic", {"bills", "(none)"}),
    ],
)
async def test_rates_are_sliced_by_model_source_month_and_topic(
    bench: Bench, slice_by: str, names: set[str]
) -> None:
    topic = DataSource(type="file_import", properties={"file_name": "t", "topic_path": "bills"})
    march, april = (datetime(2026, month, 5, tzinfo=UTC) for month in (3, 4))
    await add(
        bench,
        *(answer("fine", number=n).replace(created_at=march, input_source=topic) for n in range(5)),
        *(answer("bad 1", model="gpt-y", number=n).replace(created_at=april) for n in range(5)),
    )
    await bench.evaluator(**DIGITS_JUDGE)
    await bench.run(outputs="all")
    report = await shown(bench, outputs="all", slice_by=slice_by)
    assert {row.slice for row in report.slices} == names


async def test_cost_time_and_tokens_of_stored_outputs_are_in_the_report(bench: Bench) -> None:
    usage = Usage(cost=0.01, total_llm_latency_ms=2000, input_tokens=10, output_tokens=5)
    await add(bench, *(answer("fine", number=n).replace(usage=usage) for n in range(3)))
    await bench.evaluator(**DIGITS_JUDGE)
    report = await bench.run(outputs="all")
    numbers = {row.name: (row.n, row.mean, row.better) for row in report.numbers}
    assert numbers == {
        "cost_usd": (3, 0.01, "less"),
        "seconds": (3, 2.0, "less"),
        "tokens": (3, 15.0, "less"),
    }
