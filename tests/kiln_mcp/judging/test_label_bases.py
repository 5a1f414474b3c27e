"""Labels are weighed by the draw that they come from, and picked ones by none."""

import json

import pytest

from bench import Agrees, Bench, BenchSetup
from kiln_mcp.judging.answers import AgreementRow, LabellingBatch
from kiln_mcp.llm import ModelRequest
from storage import Task, TaskOutput, TaskRun


def judge(request: ModelRequest) -> str:
    asked = "\n".join(str(message.content) for message in request.messages)
    output = asked.split("<model_response>")[1].split("</model_response>")[0]
    verdict = "fail" if any(c.isdigit() for c in output) else "pass"
    return json.dumps({"reasoning": "I looked.", "right": verdict})


@pytest.fixture
def bench_setup() -> BenchSetup:
    return BenchSetup(Task(name="Name", instruction="Name one."), judge, Agrees())


async def add_golden(bench: Bench, good: int, bad: int) -> set[str]:
    """Add items that the judge passes and fails; return those drawn for a certificate."""
    await bench.evaluator_of(
        "Right",
        {"type": "llm_judge", "steps": ["Is it an animal?"]},
        {"test_filter": "tag::eval_right"},
    )
    async with bench.store.transaction() as change:
        for number in range(good + bad):
            output = "cat" if number < good else f"c4t {number}"
            run = TaskRun(
                input=f"animal {number}", output=TaskOutput(output=output), tags=("golden_right",)
            )
            change.save(run, parent=bench.task)
    batch = await bench.batch(1, rater="ben")  # for a certificate: the judge gives its verdicts
    return {item.item for item in batch.items}


async def development_row(bench: Bench, evaluator: str = "llm judge") -> AgreementRow:
    report = await bench.measure(purpose="development")
    (row,) = [row for row in report.rows if row.evaluator == evaluator]
    return row


def person(output: str) -> str:
    return "fail" if "4" in output else "pass"


def right_labels(batch: LabellingBatch) -> dict[str, str]:
    return {item.item: person(item.output) for item in batch.items}


async def test_labels_for_development_are_weighed_by_the_sizes_of_their_strata(
    bench: Bench,
) -> None:
    await add_golden(bench, good=30, bad=10)
    batch = await bench.batch(10, purpose="development")
    failed_items = [item for item in batch.items if person(item.output) == "fail"]
    assert len(failed_items) == 4, "it is more than a quarter, so that weights show"
    await bench.label({item.item: "pass" for item in batch.items})
    row = await development_row(bench)
    assert (row.basis, row.n, row.skips) == ("drawn", 10, 0)
    # The judge is right on all of the 30 that it passes, and on none of the 10 that it fails.
    assert row.agreement == 0.75


async def test_one_label_of_a_picked_item_takes_the_weights_from_all(bench: Bench) -> None:
    drawn = await add_golden(bench, good=30, bad=10)
    batch = await bench.batch(10, purpose="development")
    await bench.label({item.item: "pass" for item in batch.items})
    drawn |= {item.item for item in batch.items}
    runs = await bench.store.children(bench.task, TaskRun)
    picked = next(run for run in runs if run.id not in drawn and run.output.output == "cat")
    await bench.label({picked.id: "pass"})
    row = await development_row(bench)
    assert (row.basis, row.n, row.agreement) == ("by hand", 11, round(7 / 11, 4))


async def test_a_drawn_item_that_nobody_can_judge_makes_the_limits_wider(bench: Bench) -> None:
    await add_golden(bench, good=30, bad=10)
    batch = await bench.batch(10, purpose="development")
    labels = right_labels(batch)
    doubtful = next(item.item for item in batch.items if person(item.output) == "fail")
    await bench.label({**labels, doubtful: "cannot judge"})
    row = await development_row(bench)
    assert (row.basis, row.n, row.skips) == ("drawn", 9, 1)
    narrow_low = row.low
    # It counts as one disagreement of the four that were drawn of a quarter of the items.
    assert row.agreement == 1 - 0.25 / 4
    await bench.label({doubtful: "fail"})
    row = await development_row(bench)
    assert (row.n, row.skips, row.agreement) == (10, 0, 1.0)
    assert row.low > narrow_low


async def test_items_passed_over_before_a_later_draw_count_as_disagreements(bench: Bench) -> None:
    await add_golden(bench, good=30, bad=10)
    first = await bench.batch(6, seed=1, purpose="development")
    later = await bench.batch(6, seed=2, purpose="development")
    passed_over = right_labels(first).keys() - right_labels(later).keys()
    assert passed_over
    await bench.label(right_labels(later))
    row = await development_row(bench)
    assert (row.basis, row.n, row.skips) == ("drawn", 6, len(passed_over))
    assert row.agreement < 1
    await bench.label(right_labels(first))
    row = await development_row(bench)
    assert (row.n, row.skips, row.agreement) == (6 + len(passed_over), 0, 1.0)


async def test_items_of_the_last_draw_that_still_wait_are_not_passed_over(bench: Bench) -> None:
    await add_golden(bench, good=30, bad=10)
    batch = await bench.batch(10, purpose="development")
    await bench.label({item.item: person(item.output) for item in batch.items[:8]})
    row = await development_row(bench)
    assert (row.basis, row.n, row.skips, row.agreement) == ("drawn", 8, 0, 1.0)


async def test_a_judge_is_measured_by_labels_that_another_judges_verdicts_drew(
    bench: Bench,
) -> None:
    await add_golden(bench, good=30, bad=10)
    batch = await bench.batch(10, purpose="development")
    await bench.label(right_labels(batch))
    await bench.evaluator(name="generous", type="contains", substring="c")
    row = await development_row(bench, "generous")
    assert (row.basis, row.n) == ("drawn", 10)
    # It passes everything, and ten of the 40 are wrong.
    assert row.agreement == 0.75


async def test_certificate_labels_of_another_judges_audit_are_weighed_by_its_strata(
    bench: Bench,
) -> None:
    await add_golden(bench, good=30, bad=10)
    batch = await bench.batch(20, rater="ben")
    await bench.label(right_labels(batch), rater="ben")
    await bench.evaluator(name="generous", type="contains", substring="c")
    report = await bench.measure(purpose="certificate")
    rows = {row.evaluator: row for row in report.rows}
    assert (rows["generous"].basis, rows["generous"].n) == ("drawn", 20)
    assert (rows["llm judge"].agreement, rows["generous"].agreement) == (1.0, 0.75)
