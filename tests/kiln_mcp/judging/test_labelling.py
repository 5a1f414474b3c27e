"""Items are drawn by purpose, and one reading serves several evals."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bench import Agrees, Bench, BenchSetup
from kiln_mcp.datasets.held_out import runs_to_show
from kiln_mcp.judging.answers import LabellingBatch
from kiln_mcp.judging.golden_sets import open_labelling_pass
from kiln_mcp.labels.ledger import read_draws, read_labels
from kiln_mcp.llm import ModelRequest
from storage import (
    DataSource,
    Eval,
    RequirementRating,
    Task,
    TaskOutput,
    TaskOutputRating,
    TaskRun,
)
from storage.errors import Refusal

WRITTEN_BY_A_MODEL = DataSource(
    type="synthetic",
    properties={"model_name": "m", "model_provider": "p", "adapter_name": "import"},
)


def judge(request: ModelRequest) -> str:
    asked = "\n".join(str(message.content) for message in request.messages)
    output = asked.split("<model_response>")[1].split("</model_response>")[0]
    verdict = "fail" if any(c.isdigit() for c in output) else "pass"
    return json.dumps({"reasoning": "I looked.", "right": verdict})


@pytest.fixture
def bench_setup() -> BenchSetup:
    return BenchSetup(Task(name="Name", instruction="Name one."), judge, Agrees())


async def add_eval(bench: Bench, name: str = "Right", **settings: object) -> Eval:
    await bench.evaluator_of(
        name,
        {"type": "llm_judge", "steps": ["Is it an animal?"], **settings},
        {"test_filter": f"tag::test_{name}"},
    )
    return await bench.store.find(Eval, name, parent=bench.task)


async def add_runs(bench: Bench, count: int, *tags: str) -> list[TaskRun]:
    runs = [
        TaskRun(
            input=f"animal {number}",
            output=TaskOutput(
                output=f"c4t {number}" if number % 3 else "cat", source=WRITTEN_BY_A_MODEL
            ),
            tags=tags,
        )
        for number in range(count)
    ]
    async with bench.store.transaction() as change:
        return [change.save(run, parent=bench.task) for run in runs]


async def rate_in_kiln(bench: Bench, runs: list[TaskRun]) -> None:
    """Rate runs a second apart, first all passes and then all fails, as nobody who reads does."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    async with bench.store.transaction() as change:
        for place, run in enumerate(runs):
            value = RequirementRating(value=float(place < len(runs) / 2), type="pass_fail")
            rating = TaskOutputRating(
                created_at=start + timedelta(seconds=place),
                requirement_ratings={"named::Right": value},
            )
            change.save(run.replace(output=run.output.replace(rating=rating)))


def passes(batch: LabellingBatch) -> Mapping[str, str]:
    return {item.item: "pass" for item in batch.items}


async def tags_of(bench: Bench) -> dict[str, frozenset[str]]:
    runs = await bench.store.children(bench.task, TaskRun)
    return {run.id: frozenset(run.tags) for run in runs}


async def test_an_empty_golden_set_is_filled_from_the_tasks_outputs_and_says_so(
    bench: Bench,
) -> None:
    await add_eval(bench)
    await add_runs(bench, 30, "prod")
    batch = await bench.batch(12, purpose="development")
    assert (len(batch.items), batch.new_items) == (12, 12)
    assert batch.warnings[0] == "12 outputs were added to the golden set."
    tags = await tags_of(bench)
    assert sum("golden_right" in own for own in tags.values()) == 12
    assert bench.model.asked == []


async def test_outputs_that_a_filter_names_are_added_and_no_training_data(bench: Bench) -> None:
    await add_eval(bench)
    await add_runs(bench, 5, "golden_right")
    await add_runs(bench, 4, "prod")
    trained = await add_runs(bench, 4, "prod", "train_all")
    batch = await bench.batch(10, purpose="development", outputs="tag::prod")
    assert (len(batch.items), batch.new_items) == (9, 4)
    tags = await tags_of(bench)
    assert not any("golden_right" in tags[run.id] for run in trained)
    with pytest.raises(Refusal, match=r"No stored outputs are called 'elsewhere'"):
        await bench.batch(1, purpose="development", outputs="elsewhere")


async def test_a_golden_set_of_all_outputs_needs_none_added(bench: Bench) -> None:
    record = await add_eval(bench)
    await bench.store.save(record.replace(eval_configs_filter_id="all"))
    await add_runs(bench, 4, "prod")
    batch = await bench.batch(3, purpose="development", outputs="tag::prod")
    assert (len(batch.items), batch.new_items) == (3, 0)
    assert set((await tags_of(bench)).values()) == {frozenset({"prod"})}


async def test_one_reading_serves_two_evals(bench: Bench) -> None:
    first, second = await add_eval(bench), await add_eval(bench, "Polite")
    await add_runs(bench, 20, "prod")
    batch = await bench.batch(12, purpose="development", eval=["Right", "Polite"])
    assert len(batch.items) == 12
    assert list(batch.scores) == ["right", "polite"]
    entries = [
        {"item": item.item, "score": score, "label": "fail", "reason": "It is a cat."}
        for item in batch.items
        for score in ("right", "polite")
    ]
    saved = await bench.save_labels(entries, evals=["Right", "Polite"])
    assert (saved.saved, saved.development, saved.unlabelled_items) == (24, 24, 0)
    for record in (first, second):
        lines = (await read_labels(bench.store, record)).entries
        assert [line.reason for line in lines] == ["It is a cat."] * 12
        assert {line.draw for line in lines} == {
            draw.id for draw in (await read_draws(bench.store, record)).entries
        }
    labelling = await open_labelling_pass(bench.store, ["Right", "Polite"])
    assert len(labelling.complete) == 12


async def test_evals_of_two_tasks_are_not_labelled_in_one_reading(bench: Bench) -> None:
    await add_eval(bench)
    other = await bench.store.save(
        Task(name="Other", instruction="Do."), parent=bench.store.project
    )
    record = (await bench.store.find(Eval, "Right", parent=bench.task)).model_dump()
    copy = Eval(
        name="Else",
        output_scores=record["output_scores"],
        eval_set_filter_id="tag::test",
        eval_configs_filter_id="tag::golden",
    )
    await bench.store.save(copy, parent=other)
    with pytest.raises(Refusal, match=r"of several: Right \(Name\), Else \(Other\)"):
        await bench.batch(1, purpose="development", eval=["Right", "Else"])


async def test_a_draw_never_needs_the_judges_key(bench: Bench) -> None:
    await add_eval(bench, model="openai/gpt-5")
    await add_runs(bench, 10, "golden_right")
    batch = await bench.batch(4)
    assert (len(batch.items), batch.purpose) == (4, "certificate")
    assert any("10 of 10 items have no verdict" in warning for warning in batch.warnings)


async def test_outputs_that_a_certificate_adds_are_judged_before_they_are_drawn(
    bench: Bench,
) -> None:
    await add_eval(bench)
    await add_runs(bench, 20, "prod")
    batch = await bench.batch(5, outputs="prod")
    assert (len(batch.items), batch.new_items, len(bench.model.asked)) == (5, 20, 20)
    assert not any("no verdict" in warning for warning in batch.warnings)
    record = await bench.store.find(Eval, "Right", parent=bench.task)
    (draw,) = (await read_draws(bench.store, record)).entries
    assert sum(stratum.size for stratum in draw.strata.values()) == 20


async def test_careless_labels_of_before_do_not_spoil_a_certificate(bench: Bench) -> None:
    await add_eval(bench)
    old = await add_runs(bench, 20, "golden_right")
    await add_runs(bench, 40, "prod")
    await rate_in_kiln(bench, old)
    batch = await bench.batch(30, outputs="prod")
    await bench.label({i.item: "fail" if "4" in i.output else "pass" for i in batch.items})
    assert (await bench.measure(purpose="development")).doubts.cannot_measure == ["right"]
    assert (await bench.measure(purpose="certificate")).doubts.cannot_measure == []


async def test_a_label_for_a_certificate_is_no_rating_and_stays_out_of_prompts(
    bench: Bench,
) -> None:
    await add_eval(bench)
    await add_runs(bench, 12, "golden_right")
    certificate = await bench.batch(4)
    await bench.label(passes(certificate))
    development = await bench.batch(4, purpose="development")
    await bench.label(passes(development))
    runs = {run.id: run for run in await bench.store.children(bench.task, TaskRun)}
    assert [runs[item.item].output.rating for item in certificate.items] == [None] * 4
    assert all(runs[item.item].output.rating for item in development.items)
    labelling = await open_labelling_pass(bench.store, ["Right"])
    golden_set = labelling.first
    learnt = golden_set.development_labels(golden_set.scores[0])
    assert learnt.keys() == passes(development).keys()
    score = golden_set.scores[0]
    assert sum(golden_set.is_hidden(run, score) for run in golden_set.runs) == 4
    assert await runs_to_show(bench.store, bench.task) == []


async def test_a_confirmed_label_takes_back_the_rating_that_an_assistant_wrote(
    bench: Bench,
) -> None:
    await add_eval(bench)
    await add_runs(bench, 6, "golden_right")
    batch = await bench.batch(2)
    assistant = replace(bench, workspace=replace(bench.workspace, person=None))
    await assistant.label(passes(batch))
    runs = await bench.store.children(bench.task, TaskRun)
    assert sum(run.output.rating is not None for run in runs) == 2
    await bench.label(passes(batch))
    runs = await bench.store.children(bench.task, TaskRun)
    assert sum(run.output.rating is not None for run in runs) == 0


async def test_a_tenth_of_a_raters_items_comes_again_and_replaces_no_label(bench: Bench) -> None:
    record = await add_eval(bench)
    await add_runs(bench, 60, "golden_right")
    first = await bench.batch(30, purpose="development", rater="ann")
    await bench.label(passes(first))
    second = await bench.batch(10, purpose="development", rater="ann")
    shown_again = {item.item for item in first.items} & {item.item for item in second.items}
    assert (len(second.items), len(shown_again)) == (10, 4)
    await bench.label(dict.fromkeys(shown_again, "fail"))
    golden_set = (await open_labelling_pass(bench.store, ["Right"])).first
    score = golden_set.scores[0]
    assert {golden_set.label(golden_set.item(item), score) for item in shown_again} == {1.0}
    purposes = [label.purpose for label in (await read_labels(bench.store, record)).entries]
    assert purposes.count("repeat") == 4


async def test_an_item_that_one_rater_sees_is_not_drawn_for_another(bench: Bench) -> None:
    await add_eval(bench)
    await add_runs(bench, 12, "golden_right")
    ann = await bench.batch(6, purpose="development", rater="ann")
    ben = await bench.batch(12, purpose="development", rater="ben")
    assert (len(ann.items), len(ben.items)) == (6, 6)
    assert not passes(ann).keys() & passes(ben).keys()
    with pytest.raises(Refusal, match="another rater is at them"):
        await bench.batch(1, purpose="development", rater="cid")


async def test_passed_over_items_are_counted(bench: Bench) -> None:
    await add_eval(bench)
    await add_runs(bench, 20, "golden_right")
    first = await bench.batch(3, purpose="development", seed=1)
    later = await bench.batch(3, purpose="development", seed=2)
    await bench.label(passes(later))
    again = await bench.batch(1, purpose="development", seed=3)
    skipped = len(passes(first).keys() - passes(later).keys())
    assert skipped
    assert any(warning.startswith(f"{skipped} drawn items") for warning in again.warnings)


async def test_a_label_that_was_looked_at_again_is_no_longer_in_doubt(bench: Bench) -> None:
    record = await add_eval(bench)
    await bench.evaluator(name="check", type="contains", substring="cat")
    runs = await add_runs(bench, 6, "golden_right")
    await bench.label({run.id: "pass" for run in runs})
    await bench.measure()
    batch = await bench.batch(10, purpose="second_look")
    assert {item.output for item in batch.items} == {"c4t 1", "c4t 2", "c4t 4", "c4t 5"}
    kept, changed = batch.items[0].item, batch.items[1].item
    await bench.label({kept: "pass", changed: "fail"})
    labels = (await read_labels(bench.store, record)).entries
    assert [label.purpose for label in labels[-2:]] == ["second_look"] * 2
    report = await bench.measure()
    assert {kept, changed}.isdisjoint(doubt.item for doubt in report.doubts.look_again)
    run = await bench.store.get(TaskRun, changed, parent=bench.task)
    assert run.output.rating is not None
    assert run.output.rating.requirement_ratings["named::Right"].value == 0.0
