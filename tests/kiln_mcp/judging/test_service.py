"""Labels and agreement, driven as every door drives them."""

import csv
import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import anyio
import pytest
from pydantic import JsonValue

from bench import Agrees, Bench, BenchSetup
from kiln_mcp.approvals.errors import MissingApproval
from kiln_mcp.datasets.rating_criteria import RatingCriterion, with_rating
from kiln_mcp.evals import service as evals
from kiln_mcp.judging import service
from kiln_mcp.judging.answers import LabellingBatch, SavedLabels
from kiln_mcp.labels.ledger import read_draws, read_labels
from kiln_mcp.llm import ModelRequest
from storage import (
    DataSource,
    Eval,
    EvalConfig,
    EvalOutputScore,
    EvalRun,
    LlmJudge,
    RequirementRating,
    StepsJudge,
    Task,
    TaskOutput,
    TaskOutputRating,
    TaskRun,
)
from storage.errors import Refusal, WorkbenchError

CRITERION = RatingCriterion("Right", "pass_fail", ("named::Right",))
DATA = Path(__file__).parents[2] / "data" / "kiln_demo"


def judge(request: ModelRequest) -> str:
    asked = "\n".join(str(message.content) for message in request.messages)
    output = asked.split("<model_response>")[1].split("</model_response>")[0]
    if "unreadable" in output:
        return "I cannot say."
    verdict = "fail" if any(c.isdigit() for c in output) else "pass"
    return json.dumps({"reasoning": "I looked.", "right": verdict})


@pytest.fixture
def bench_setup() -> BenchSetup:
    return BenchSetup(Task(name="Name", instruction="Name one."), judge, Agrees())


async def add_golden(bench: Bench, good: int, bad: int) -> None:
    await evals.create_evaluator.invoke(
        bench.workspace,
        {
            "project": bench.folder,
            "eval": "Right",
            "type": "llm_judge",
            "steps": ["Is it an animal?"],
            "test_filter": "tag::eval_right",
        },
    )
    async with bench.store.transaction() as change:
        for number in range(good + bad):
            output = "cat" if number < good else f"c4t {number}"
            run = TaskRun(
                input=f"animal {number}",
                output=TaskOutput(output=output),
                tags=("golden_right",),
            )
            change.save(run, parent=bench.task)


async def add_run(bench: Bench, output: str) -> TaskRun:
    run = TaskRun(input="animal", output=TaskOutput(output=output), tags=("golden_right",))
    return await bench.store.save(run, parent=bench.task)


def person(output: str) -> str:
    return "fail" if "4" in output else "pass"


async def test_a_stored_answer_that_is_not_complete_is_counted_and_neither_drawn_nor_judged(
    bench: Bench,
) -> None:
    await add_golden(bench, good=8, bad=4)
    state: dict[str, str | int | float] = {
        "model_name": "m",
        "model_provider": "p",
        "adapter_name": "import",
        "answer_state": "truncated",
    }
    source = DataSource(type="synthetic", properties=state)
    run = TaskRun(
        input="animal",
        output=TaskOutput(output="a half-fini", source=source),
        tags=("golden_right",),
    )
    run = await bench.store.save(run, parent=bench.task)
    batch = await bench.batch(20)
    assert (len(batch.items), run.id in {item.item for item in batch.items}) == (12, False)
    assert "1 golden answers are cut off" in batch.warnings[0]
    with pytest.raises(Refusal, match="not in the golden set"):
        await bench.label({run.id: "fail"})
    await bench.label({item.item: person(item.output) for item in batch.items})
    report = await bench.measure()
    assert (report.rows[0].n, report.failed) == (12, 0)
    assert "1 golden answers are cut off" in report.warnings[0]
    assert not any("half-fini" in str(request.messages) for request in bench.model.asked)


async def test_a_draw_that_begins_anew_after_a_kill_is_recorded_once(bench: Bench) -> None:
    await add_golden(bench, good=20, bad=4)
    attempt = replace(bench, workspace=replace(bench.workspace, job="4711"))
    purpose = "development"
    first, again = await attempt.batch(5, purpose=purpose), await attempt.batch(5, purpose=purpose)
    assert [item.item for item in first.items] == [item.item for item in again.items]
    (eval_record,) = await bench.store.children(bench.task, Eval)
    assert len((await read_draws(bench.store, eval_record)).entries) == 1
    await bench.batch(5, purpose=purpose)
    assert len((await read_draws(bench.store, eval_record)).entries) == 2


async def test_drawn_items_are_labelled_and_the_judge_is_measured_against_them(
    bench: Bench,
) -> None:
    await add_golden(bench, good=50, bad=14)
    batch = await bench.batch(40)
    assert batch.scores == {"right": ["pass", "fail", "both", "cannot judge", "skip"]}
    saved = await bench.label({item.item: person(item.output) for item in batch.items})
    assert (saved.certificate, saved.development, saved.labelled_items) == (40, 0, 40)
    report = await bench.measure(purpose="certificate")
    row = report.rows[0]
    assert (row.n, row.agreement, row.true_fail_rate) == (40, 1.0, 1.0)
    assert row.beats_constant
    assert [step.tool for step in report.next] == ["run_eval"]
    assert row.low < 0.97
    assert "Better than always answering 'pass'" in report.conclusions[0]
    assert not any("not drawn at random" in warning for warning in report.warnings)


async def test_the_batch_shows_neither_verdict_nor_stratum(bench: Bench) -> None:
    await add_golden(bench, good=8, bad=8)
    await bench.batch(1)  # for a certificate: the judge gives its verdicts
    batch = await bench.batch(8, purpose="development")
    assert set(batch.items[0].model_dump()) == {
        "item",
        "input",
        "output",
        "labelled_scores",
    }
    assert all(item.labelled_scores == [] for item in batch.items)
    assert [item.item for item in batch.items] == sorted(item.item for item in batch.items)


async def test_a_label_is_kept_as_kilns_rating_and_in_the_ledger_with_its_probability(
    bench: Bench,
) -> None:
    await add_golden(bench, good=30, bad=10)
    await bench.batch(1)  # for a certificate: the judge gives its verdicts
    batch = await bench.batch(10, seed=5, purpose="development")
    await bench.label({item.item: person(item.output) for item in batch.items})
    item = batch.items[0]
    run = await bench.store.get(TaskRun, item.item, parent=bench.task)
    rating = run.output.rating
    assert rating is not None
    assert rating.requirement_ratings["named::Right"].type == "pass_fail"
    eval_record = await bench.store.find(Eval, "Right", parent=bench.task)
    labels = (await read_labels(bench.store, eval_record)).entries
    draw = (await read_draws(bench.store, eval_record)).entries[-1]
    assert draw.seed == 5
    assert {name: s.size for name, s in draw.strata.items()} == {"right 0": 10, "right 1": 30}
    for label in labels:
        assert label.stratum is not None
        stratum = draw.strata[label.stratum]
        assert label.probability == pytest.approx(len(stratum.drawn) / stratum.open)
        assert (label.rater, label.purpose, label.blind) == ("ann", "development", True)


async def test_items_picked_by_hand_never_enter_the_certificate(bench: Bench) -> None:
    await add_golden(bench, good=5, bad=5)
    runs = await bench.store.children(bench.task, TaskRun)
    picked = {run.id: person(run.output.output) for run in runs[:4]}
    saved = await bench.label(picked)
    assert (saved.certificate, saved.development) == (0, 4)
    with pytest.raises(Refusal, match=r"purpose is .certificate"):
        await bench.measure(purpose="certificate")
    report = await bench.measure()
    assert any("not drawn at random" in warning for warning in report.warnings)


async def test_items_drawn_for_development_are_not_said_to_be_picked(bench: Bench) -> None:
    await add_golden(bench, good=30, bad=10)
    batch = await bench.batch(10, purpose="development")
    await bench.label({item.item: person(item.output) for item in batch.items})
    report = await bench.measure()
    assert not any("not drawn at random" in warning for warning in report.warnings)


async def test_a_labelled_item_is_not_drawn_again(bench: Bench) -> None:
    await add_golden(bench, good=4, bad=2)
    first = await bench.batch(4)
    await bench.label({item.item: "pass" for item in first.items})
    second = await bench.batch(4)
    assert not {i.item for i in first.items} & {i.item for i in second.items}
    assert len(second.items) == 2
    await bench.label({item.item: "pass" for item in second.items})
    with pytest.raises(Refusal, match=r"All 6 items"):
        await bench.batch(1)


async def test_one_wrong_label_keeps_all_of_them_from_being_saved(bench: Bench) -> None:
    await add_golden(bench, good=2, bad=0)
    runs = await bench.store.children(bench.task, TaskRun)
    with pytest.raises(Refusal, match=r"'maybe' is none of pass, fail") as caught:
        await bench.label({runs[0].id: "pass", runs[1].id: "maybe", "123": "pass"})
    assert "123 is not in the golden set" in str(caught.value)
    kept = await bench.store.get(TaskRun, runs[0].id, parent=bench.task)
    assert kept.output.rating is None


async def test_two_raters_give_the_human_ceiling(bench: Bench) -> None:
    await add_golden(bench, good=6, bad=6)
    batch = await bench.batch(12)
    await bench.label({i.item: person(i.output) for i in batch.items}, rater="ann")
    second = {i.item: person(i.output) for i in batch.items}
    second[batch.items[0].item] = "fail" if second[batch.items[0].item] == "pass" else "pass"
    await bench.label(second, rater="bo")
    report = await bench.measure()
    ceiling = report.human_ceiling[0]
    assert (ceiling.raters, ceiling.n) == (["ann", "bo"], 12)
    assert ceiling.agreement == pytest.approx(11 / 12, abs=1e-4)


async def test_a_judge_with_an_unknown_price_is_not_asked_without_approval(bench: Bench) -> None:
    await add_golden(bench, good=2, bad=2)
    await evals.create_evaluator.invoke(
        bench.workspace,
        {
            "project": bench.folder,
            "eval": "Right",
            "name": "dear",
            "type": "llm_judge",
            "steps": ["x"],
            "model": "ollama/unpriced",
        },
    )
    alone = replace(bench.workspace, person=None)
    with pytest.raises(MissingApproval):
        await replace(bench, workspace=alone).batch(2, evaluator="dear")


async def test_a_golden_set_that_nothing_can_fill_says_what_would(bench: Bench) -> None:
    await add_golden(bench, good=0, bad=0)
    with pytest.raises(Refusal, match=r"no output of a model to add.*Next: add_data"):
        await bench.batch(2)
    with pytest.raises(Refusal, match=r"no run with a complete answer fits 'tag::golden_right'"):
        await bench.measure()


async def test_labels_are_kept_as_ratings_and_in_the_ledger_or_not_at_all(bench: Bench) -> None:
    await add_golden(bench, good=2, bad=2)
    eval_record = await bench.store.find(Eval, "Right", parent=bench.task)
    items = [run.id for run in await bench.store.children(bench.task, TaskRun)]
    ledger = bench.store.side_folder(eval_record) / "kiln_mcp_labels.jsonl"
    ledger.mkdir()
    with pytest.raises(WorkbenchError, match="no ordinary file"):
        await bench.label(dict.fromkeys(items, "pass"))
    runs = await bench.store.children(bench.task, TaskRun)
    assert [run.output.rating for run in runs] == [None] * 4


async def test_labels_go_on_after_a_line_of_the_ledger_that_was_cut_off(bench: Bench) -> None:
    await add_golden(bench, good=2, bad=2)
    eval_record = await bench.store.find(Eval, "Right", parent=bench.task)
    first, second, *_ = [run.id for run in await bench.store.children(bench.task, TaskRun)]
    await bench.label({first: "pass"})
    ledger = bench.store.side_folder(eval_record) / "kiln_mcp_labels.jsonl"
    ledger.write_bytes(ledger.read_bytes() + b'{"at": "2026')
    await bench.label({second: "fail"}, rater="b\u2028b")
    labels = (await read_labels(bench.store, eval_record)).entries
    assert [(one.item, one.rater) for one in labels] == [(first, "ann"), (second, "b\u2028b")]


async def test_labels_that_two_people_give_at_once_are_all_in_the_ledger(bench: Bench) -> None:
    await add_golden(bench, good=4, bad=0)
    items = [run.id for run in await bench.store.children(bench.task, TaskRun)]
    async with anyio.create_task_group() as group:
        for rater in ("ann", "ben", "cid"):
            group.start_soon(bench.label, dict.fromkeys(items, "pass"), rater)
    eval_record = await bench.store.find(Eval, "Right", parent=bench.task)
    labels = (await read_labels(bench.store, eval_record)).entries
    expected = {(rater, item) for rater in ("ann", "ben", "cid") for item in items}
    assert {(one.rater, one.item) for one in labels} == expected


@pytest.mark.parametrize(
    "damage",
    [
        b"{broken",
        b"\xff\xfe\x00",
        b"[" * 10_000,
        b'{"item": "1", "score": "right", "value": NaN, "rater": "a", "ledger": "development"}',
        b'{"item": "1", "score": "right", "value": 1e999, "rater": "a", "ledger": "development"}',
        b'{"item": 1}',
        b"null",
        b'"' + b"x" * 5000 + b'"',
    ],
)
async def test_a_damaged_line_of_a_ledger_costs_itself_alone_and_is_named(
    bench: Bench, damage: bytes
) -> None:
    await add_golden(bench, good=8, bad=6)
    await bench.label({item.item: person(item.output) for item in (await bench.batch(6)).items})
    eval_record = await bench.store.find(Eval, "Right", parent=bench.task)
    for name in ("kiln_mcp_labels.jsonl", "kiln_mcp_draws.jsonl"):
        file = bench.store.side_folder(eval_record) / name
        file.write_bytes(damage + b"\n" + file.read_bytes())
    batch = await bench.batch(6)
    saved = await bench.label({item.item: person(item.output) for item in batch.items})
    report = await bench.measure(purpose="certificate")
    assert (saved.labelled_items, report.labelled_items) == (12, 12)
    for warnings in (batch.warnings, saved.warnings, report.warnings):
        assert any(one.startswith("Line 1 of kiln_mcp_labels.jsonl") for one in warnings)
        assert any(one.startswith("Line 1 of kiln_mcp_draws.jsonl") for one in warnings)
        assert all(len(one) < 400 for one in warnings)
    assert file.read_bytes().startswith(damage)


async def test_a_time_without_a_zone_in_a_ledger_is_one_of_utc(bench: Bench) -> None:
    await add_golden(bench, good=4, bad=2)
    batch = await bench.batch(3)
    await bench.label({item.item: "pass" for item in batch.items})
    eval_record = await bench.store.find(Eval, "Right", parent=bench.task)
    file = bench.store.side_folder(eval_record) / "kiln_mcp_labels.jsonl"
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    for line in lines:
        line.update(at="2026-01-01T00:00:00", rater="ben")
    file.write_text(
        file.read_text(encoding="utf-8") + "".join(f"{json.dumps(line)}\n" for line in lines),
        encoding="utf-8",
    )
    report = await bench.measure()
    assert report.human_ceiling[0].n == 3


async def test_labels_given_again_add_no_line_and_changed_ones_do(bench: Bench) -> None:
    await add_golden(bench, good=3, bad=1)
    items = [run.id for run in await bench.store.children(bench.task, TaskRun)]
    eval_record = await bench.store.find(Eval, "Right", parent=bench.task)
    labels = dict.fromkeys(items, "pass")
    first, again = await bench.label(labels), await bench.label(labels)
    assert (first.repeats, again.repeats) == (0, 4)
    assert len((await read_labels(bench.store, eval_record)).entries) == 4
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(bench.label, labels, "ben")
    assert len((await read_labels(bench.store, eval_record)).entries) == 8
    changed = await bench.label({**labels, items[0]: "fail"})
    back = await bench.label(labels)
    assert (changed.repeats, back.repeats) == (3, 3)
    values = [
        one.value
        for one in (await read_labels(bench.store, eval_record)).entries
        if (one.item, one.rater) == (items[0], "ann")
    ]
    assert values == [1.0, 0.0, 1.0]


async def demo_eval(bench: Bench) -> None:
    """Build the labelled part of Kiln's demo project, judges and results included."""
    eval_record = await bench.store.save(
        Eval(
            name="Right",
            output_scores=(EvalOutputScore(name="Right", type="pass_fail"),),
            eval_set_filter_id="tag::test",
            eval_configs_filter_id="tag::golden",
        ),
        parent=bench.task,
    )
    with (DATA / "labels.csv").open(encoding="utf-8", newline="") as file:
        labels = list(csv.DictReader(file))
    with (DATA / "golden.csv").open(encoding="utf-8", newline="") as file:
        verdicts = list(csv.DictReader(file))
    judges: dict[str, EvalConfig] = {}
    async with bench.store.transaction() as change:
        for row in labels:
            rating = TaskOutputRating(
                created_at=datetime.fromisoformat(row["labelled_at"]),
                requirement_ratings={
                    "named::Right": RequirementRating(value=float(row["label"]), type="pass_fail")
                },
            )
            output = TaskOutput(output="…", rating=rating)
            tags = ("golden", row["session"])
            run = TaskRun(id=row["item"], input="…", output=output, tags=tags)
            change.save(run, parent=bench.task)
        for row in verdicts:
            if row["judge_id"] not in judges:
                config = EvalConfig(
                    id=row["judge_id"],
                    name=f"Judge {len(judges)}",
                    model_name="gpt_4o",
                    model_provider="openai",
                    config_type="g_eval" if row["judge_type"] == "g_eval" else "llm_as_judge",
                    properties=StepsJudge(eval_steps=("Is it right?",)),
                )
                judges[row["judge_id"]] = change.save(config, parent=eval_record)
            result = EvalRun(
                dataset_id=row["item"],
                eval_config_eval=True,
                input="…",
                output="…",
                scores={"right": float(row["judge_score"])},
            )
            change.save(result, parent=judges[row["judge_id"]])


async def test_the_demo_projects_labels_are_blamed_and_none_of_its_judges_is_ranked(
    bench: Bench,
) -> None:
    await demo_eval(bench)
    report = await bench.measure()
    assert (report.rows, report.new_verdicts) == ([], 0)
    assert report.conclusions[0].startswith(
        "These labels of 'Right' cannot measure any judge; look"
    )
    assert "not with the judges" in report.conclusions[0]
    reasons = " ".join(report.doubts.reasons)
    assert not set(report.doubts.reasons) & set(report.warnings)
    for sign in ("too fast to have read", "in 2 blocks", "confounded with the generation session"):
        assert sign in reasons
    assert "The labels contradict the judges" in reasons
    assert [step.tool for step in report.next] == ["draw_items_to_label"]
    assert report.next[0].arguments == {"eval": "Right", "purpose": "second_look"}


async def test_no_judge_of_the_demo_project_is_audited_by_its_labels(bench: Bench) -> None:
    await demo_eval(bench)
    arguments = bench.arguments(evaluators=["Judge 1"], target=0.85)
    with pytest.raises(Refusal, match=r"The labels of 'Right' can certify no judge") as refusal:
        await service.check_judge.invoke(bench.workspace, arguments)
    assert "The labels contradict the judges" in str(refusal.value)
    assert [step.tool for step in refusal.value.next] == ["draw_items_to_label"]


async def test_labels_that_contradict_are_told_of_before_a_models_key_is_needed(
    bench: Bench,
) -> None:
    await demo_eval(bench)
    await bench.evaluator(
        type="llm_judge", name="New", steps=["Is it right?"], model="openai/gpt-5"
    )
    arguments = bench.arguments(evaluators=["New"], target=0.85)
    with pytest.raises(Refusal, match=r"The labels of 'Right' can certify no judge"):
        await service.check_judge.invoke(bench.workspace, arguments)


async def test_the_first_doubtful_labels_of_the_demo_are_passes_that_nearly_all_judges_fail(
    bench: Bench,
) -> None:
    """Eight of these eleven labels are wrong when the commands are executed."""
    await demo_eval(bench)
    first = (await bench.measure()).doubts.look_again[:11]
    assert {doubt.label for doubt in first} == {"pass"}
    assert {doubt.why for doubt in first} == {
        "10 of 10 judges say the opposite",
        "9 of 10 judges say the opposite",
    }
    batch = await bench.batch(11, purpose="second_look")
    assert {item.item for item in batch.items} == {doubt.item for doubt in first}


async def test_an_eval_without_a_judge_can_be_labelled_but_not_measured(bench: Bench) -> None:
    await bench.store.save(
        Eval(
            name="Right",
            output_scores=(EvalOutputScore(name="Right", type="pass_fail"),),
            eval_set_filter_id="tag::test",
            eval_configs_filter_id="tag::golden",
        ),
        parent=bench.task,
    )
    run = TaskRun(input="x", output=TaskOutput(output="y"), tags=("golden",))
    await bench.store.save(run, parent=bench.task)
    batch = await bench.batch(1)
    await bench.label({batch.items[0].item: "pass"})
    with pytest.raises(Refusal, match=r"has no evaluator"):
        await bench.measure()


async def test_a_check_by_reference_is_said_to_need_no_labels(bench: Bench) -> None:
    await add_golden(bench, good=3, bad=3)
    await evals.create_evaluator.invoke(
        bench.workspace,
        {
            "project": bench.folder,
            "eval": "Right",
            "name": "exact",
            "type": "exact_match",
            "reference_key": "reference_answer",
        },
    )
    runs = await bench.store.children(bench.task, TaskRun)
    await bench.label({run.id: "pass" for run in runs})
    with pytest.raises(Refusal, match=r"ask no model .*improve_prompt"):
        await bench.measure(evaluators=["exact"])


async def passed_on(bench: Bench, batch: LabellingBatch) -> SavedLabels:
    """Pass labels on as an assistant does whose client reaches no person."""
    assistant = replace(bench, workspace=replace(bench.workspace, person=None))
    return await assistant.label({item.item: person(item.output) for item in batch.items})


async def test_labels_that_an_assistant_passes_on_stay_out_of_the_certificate(
    bench: Bench,
) -> None:
    await add_golden(bench, good=12, bad=8)
    batch = await bench.batch(10)
    saved = await passed_on(bench, batch)
    assert (saved.saved, saved.certificate, saved.unconfirmed_labels) == (10, 0, 10)
    assert saved.labelled_items == 0
    assert "kiln-mcp approve ap-" in str(saved.message)
    assert [step.tool for step in saved.next] == ["label_items"]
    with pytest.raises(Refusal, match=r"purpose is .certificate"):
        await bench.measure(purpose="certificate")
    report = await bench.measure()
    assert any(warning.startswith("10 labels of drawn items") for warning in report.warnings)
    again = await bench.batch(20)
    assert {item.item for item in batch.items} <= {item.item for item in again.items}


async def test_a_batch_counts_for_the_certificate_once_the_person_has_confirmed_it(
    bench: Bench,
) -> None:
    await add_golden(bench, good=12, bad=8)
    batch = await bench.batch(10)
    await passed_on(bench, batch)
    saved = await bench.label({item.item: person(item.output) for item in batch.items})
    assert (saved.certificate, saved.unconfirmed_labels, saved.labelled_items) == (10, 0, 10)
    report = await bench.measure(purpose="certificate")
    assert (report.rows[0].n, report.rows[0].agreement) == (10, 1.0)
    assert not any("passed on" in warning for warning in report.warnings)


async def test_an_assistant_cannot_change_what_a_person_confirmed(bench: Bench) -> None:
    await add_golden(bench, good=12, bad=8)
    batch = await bench.batch(10)
    await bench.label({item.item: person(item.output) for item in batch.items})
    wrong = {i.item: "pass" if person(i.output) == "fail" else "fail" for i in batch.items}
    assistant = replace(bench, workspace=replace(bench.workspace, person=None))
    await assistant.label(wrong)
    run = await bench.store.get(TaskRun, batch.items[0].item, parent=bench.task)
    value = 0.0 if person(batch.items[0].output) == "pass" else 1.0
    await bench.store.save(with_rating(run, CRITERION, value))  # as any program may
    report = await bench.measure(purpose="certificate")
    assert (report.rows[0].n, report.rows[0].agreement) == (10, 1.0)
    assert any("1 ratings differ" in warning for warning in report.warnings)


async def test_the_person_sees_whose_labels_they_confirm_and_how_many_of_each(
    bench: Bench,
) -> None:
    await add_golden(bench, good=3, bad=1)
    batch = await bench.batch(4)
    labels: list[JsonValue] = [
        {"item": item.item, "label": person(item.output)} for item in batch.items
    ]
    given = {"project": bench.folder, "eval": "Right", "labels": labels, "rater": "ann"}
    proposal = await service.label_items.propose(bench.workspace, given)
    text = proposal.plan.text
    assert text.startswith("Record 3 pass, 1 fail as labels that 'ann' gave in 'Right'; 4 of them")
    assert "'c4t 3': fail" in text


async def test_a_rater_has_a_name_of_80_characters_at_most(bench: Bench) -> None:
    await add_golden(bench, good=2, bad=0)
    runs = await bench.store.children(bench.task, TaskRun)
    labels: list[JsonValue] = [{"item": runs[0].id, "label": "pass"}]
    draw: dict[str, JsonValue] = {"project": bench.folder, "eval": "Right", "rater": "a" * 80}
    await service.draw_items_to_label.propose(bench.workspace, draw)
    await service.label_items.propose(bench.workspace, {**draw, "labels": labels})
    draw["rater"] = "a" * 81
    with pytest.raises(Refusal, match="has 81 characters, and 80 at most are allowed"):
        await service.draw_items_to_label.propose(bench.workspace, draw)
    with pytest.raises(Refusal, match="has 81 characters, and 80 at most are allowed"):
        await service.label_items.propose(bench.workspace, {**draw, "labels": labels})


async def test_labels_of_earlier_versions_that_nobody_confirmed_do_not_certify(
    bench: Bench,
) -> None:
    await add_golden(bench, good=2, bad=0)
    runs = await bench.store.children(bench.task, TaskRun)
    eval_record = await bench.store.find(Eval, "Right", parent=bench.task)
    line = {
        "item": runs[0].id,
        "score": "right",
        "value": 1.0,
        "rater": "ann",
        "ledger": "certificate",
        "draw": "d",
        "stratum": "unjudged",
        "probability": 1.0,
    }
    file = bench.store.side_folder(eval_record) / "kiln_mcp_labels.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{json.dumps(line)}\n", encoding="utf-8")
    with pytest.raises(Refusal, match=r"purpose is .certificate"):
        await bench.measure(purpose="certificate")


async def test_items_that_a_judge_cannot_judge_are_counted_and_left_out(bench: Bench) -> None:
    await add_golden(bench, good=6, bad=4)
    await add_run(bench, "unreadable")
    runs = await bench.store.children(bench.task, TaskRun)
    await bench.label({run.id: person(run.output.output) for run in runs})
    report = await bench.measure()
    assert (report.rows[0].n, report.failed, report.new_verdicts) == (10, 1, 10)
    assert any(warning.startswith("1 items could not be judged") for warning in report.warnings)


async def test_a_measurement_in_which_every_item_fails_is_refused_with_the_reason(
    bench: Bench,
) -> None:
    await add_golden(bench, good=0, bad=0)
    await add_run(bench, "unreadable")
    (run,) = await bench.store.children(bench.task, TaskRun)
    await bench.label({run.id: "pass"})
    with pytest.raises(Refusal, match=r"No labelled item of 'Right' could be judged: \w+"):
        await bench.measure()


async def test_a_judge_that_needs_a_reference_is_refused_with_the_way_on(bench: Bench) -> None:
    await add_golden(bench, good=2, bad=0)
    record = await bench.store.find(Eval, "Right", parent=bench.task)
    (other,) = await bench.store.children(record, EvalConfig)
    assert isinstance(other.properties, LlmJudge)
    properties = other.properties.replace(reference_keys=("reference_answer",))
    judge = EvalConfig(name="by reference", config_type="v2", properties=properties)
    await bench.store.save(judge, parent=record)
    runs = await bench.store.children(bench.task, TaskRun)
    await bench.label({run.id: "pass" for run in runs})
    with pytest.raises(Refusal, match=r"has what its judges need.*Next: create_evaluator"):
        await bench.measure(evaluators=["by reference"])


async def test_an_eval_without_a_golden_filter_is_refused_with_the_way_on(bench: Bench) -> None:
    record = Eval(
        name="Right",
        output_scores=(EvalOutputScore(name="Right", type="pass_fail"),),
        eval_set_filter_id="tag::test",
    )
    await bench.store.save(record, parent=bench.task)
    with pytest.raises(Refusal, match=r"'Right' has no golden set.*Next: create_evaluator"):
        await bench.batch(1)


async def test_each_score_of_an_eval_has_its_own_row_and_warnings(bench: Bench) -> None:
    record = await bench.store.save(
        Eval(
            name="Right",
            output_scores=(
                EvalOutputScore(name="Right", type="pass_fail"),
                EvalOutputScore(name="Tone", type="five_star"),
            ),
            eval_set_filter_id="tag::test",
            eval_configs_filter_id="tag::golden_right",
        ),
        parent=bench.task,
    )
    judge = EvalConfig(
        name="J",
        model_name="gpt_4o",
        model_provider="openai",
        config_type="llm_as_judge",
        properties=StepsJudge(eval_steps=("Is it right?",)),
    )
    judge = await bench.store.save(judge, parent=record)
    labels: list[JsonValue] = []
    for number in range(4):
        run = await add_run(bench, f"cat {number}")
        labels.append({"item": run.id, "score": "right", "label": "pass"})
        labels.append({"item": run.id, "score": "tone", "label": str(number + 1)})
        verdict = EvalRun(
            dataset_id=run.id,
            eval_config_eval=True,
            input="i",
            output="o",
            scores={"right": 1.0, "tone": float(number + 1)},
        )
        await bench.store.save(verdict, parent=judge)
    saved = await service.label_items.invoke(
        bench.workspace,
        {"project": bench.folder, "eval": "Right", "labels": labels, "rater": "ann"},
    )
    assert isinstance(saved, SavedLabels)
    assert "Right: All 4 labels are the same" in " ".join(saved.warnings)
    report = await bench.measure()
    assert [(row.score, row.n, row.agreement) for row in report.rows] == [
        ("right", 4, 1.0),
        ("tone", 4, 1.0),
    ]
    assert report.rows[1].true_pass_rate is None
    assert report.conclusions[1].startswith("J on tone: ")
    assert report.new_verdicts == 0


async def test_many_damaged_lines_of_a_ledger_are_counted_after_the_first_five(
    bench: Bench,
) -> None:
    await add_golden(bench, good=2, bad=0)
    record = await bench.store.find(Eval, "Right", parent=bench.task)
    folder = bench.store.side_folder(record)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "kiln_mcp_labels.jsonl").write_text("{broken\n" * 8, encoding="utf-8")
    batch = await bench.batch(1)
    assert len(batch.warnings) == 6
    assert batch.warnings[-1] == "… and 3 more lines."


async def test_the_raters_with_the_most_shared_items_give_the_ceiling(bench: Bench) -> None:
    await add_golden(bench, good=4, bad=0)
    items = [run.id for run in await bench.store.children(bench.task, TaskRun)]
    await bench.label(dict.fromkeys(items, "pass"), "ann")
    await bench.label(dict.fromkeys(items[:1], "pass"), "ben")
    await bench.label(dict.fromkeys(items[:3], "pass"), "cid")
    ceiling = (await bench.measure()).human_ceiling[0]
    assert (ceiling.raters, ceiling.n, ceiling.agreement) == (["ann", "cid"], 3, 1.0)
    assert (ceiling.kappa, ceiling.kappa_low) == (None, None)
