"""A labelling session at its edges: its last item, its first score, and audits of others."""

import json
from collections.abc import Sequence

import pytest

from bench import Agrees, Bench, BenchSetup
from kiln_mcp.judging.batches import BatchRequest
from kiln_mcp.judging.golden_sets import open_labelling_pass
from kiln_mcp.judging.labelling_session import LabellingSession, open_session
from kiln_mcp.judging.live_limits import live_limits
from kiln_mcp.labels.ledger import Label, Purpose, read_labels
from kiln_mcp.llm import ModelRequest
from storage import Eval, Task, TaskOutput, TaskRun
from storage.errors import RecordNotFound, Refusal


def judge(request: ModelRequest) -> str:
    return json.dumps({"reasoning": "I looked.", "right": "pass"})


@pytest.fixture
def bench_setup() -> BenchSetup:
    return BenchSetup(Task(name="Name", instruction="Name one."), judge, Agrees())


async def add_items(bench: Bench, count: int = 15, *tags: str) -> list[TaskRun]:
    for name in ("Right", "Polite"):
        await bench.evaluator_of(
            name, {"type": "llm_judge", "steps": ["Is it?"]}, {"test_filter": f"tag::t_{name}"}
        )
    async with bench.store.transaction() as change:
        return [
            change.save(
                TaskRun(
                    input=f"animal {number}",
                    output=TaskOutput(output=f"cat {number}"),
                    tags=tags or ("golden_right", "golden_polite"),
                ),
                parent=bench.task,
            )
            for number in range(count)
        ]


async def session_of(
    bench: Bench,
    *evals: str,
    count: int = 5,
    purpose: Purpose = "development",
    outputs: str | None = None,
) -> LabellingSession:
    request = BatchRequest(
        evals or ("Right",), count, rater="ann", purpose=purpose, outputs=outputs
    )
    session = await open_session(bench.workspace, bench.store, request, is_person=True)
    session.show()
    return session


async def labels_of(bench: Bench) -> Sequence[Label]:
    record = await bench.store.find(Eval, "Right", parent=bench.task)
    return (await read_labels(bench.store, record)).entries


async def test_the_answer_to_the_last_drawn_item_brings_the_next_ones(bench: Bench) -> None:
    await add_items(bench)
    session = await session_of(bench, count=12)
    answers = 0
    while session.question is not None:
        await session.answer("pass")
        answers += 1
    assert (answers, session.labelled_count) == (12, 12)
    assert len({label.item for label in await labels_of(bench)}) == 12


async def test_a_reason_after_the_end_is_kept_nowhere(bench: Bench) -> None:
    await add_items(bench)
    session = await session_of(bench, count=1)
    await session.answer("pass")
    await session.give_reason("It is late.")
    assert [label.reason for label in await labels_of(bench)] == [""]
    assert session.go_back()
    assert session.question is not None
    assert session.question.reason == ""


async def test_one_step_back_from_the_second_score_is_the_first_of_the_same_item(
    bench: Bench,
) -> None:
    await add_items(bench)
    session = await session_of(bench, "Right", "Polite")
    first = session.question
    await session.answer("pass")
    assert session.go_back()
    back = session.question
    assert first is not None
    assert back is not None
    assert (back.item, back.place.name, back.answer) == (first.item, "right", "pass")


async def test_items_that_were_shown_already_end_the_draws(bench: Bench) -> None:
    await add_items(bench)
    session = await session_of(bench, count=100)
    first = session.question
    assert first is not None
    for _ in range(8):
        await session.answer("pass")
    assert session.needs_items
    await session.take_items([first.item])
    assert not session.needs_items
    assert session.question is not None
    assert (session.question.number, session.question.total) == (9, 10)


async def test_outputs_that_are_named_join_the_golden_set_once(bench: Bench) -> None:
    await add_items(bench, 12, "prod")
    session = await session_of(bench, count=4, outputs="tag::prod")
    assert session.notes[0] == "4 outputs were added to the golden set."
    assert session.request.outputs is None
    runs = await bench.store.children(bench.task, TaskRun)
    assert sum("golden_right" in run.tags for run in runs) == 4


async def test_a_session_of_repeats_shows_what_its_rater_has_labelled(bench: Bench) -> None:
    runs = await add_items(bench)
    await bench.label({run.id: "pass" for run in runs[:12]})
    session = await session_of(bench, count=2, purpose="repeat")
    assert session.question is not None
    assert session.question.total == 2
    assert session.question.item in {run.id for run in runs[:12]}


async def test_a_session_of_second_looks_needs_a_label_in_doubt(bench: Bench) -> None:
    await add_items(bench)
    with pytest.raises(Refusal, match="No label of 'Right' is in doubt"):
        await session_of(bench, purpose="second_look")


async def test_a_label_of_an_output_that_was_deleted_meanwhile_is_refused(bench: Bench) -> None:
    await add_items(bench)
    session = await session_of(bench)
    question = session.question
    assert question is not None
    await bench.store.delete(await bench.store.get(TaskRun, question.item, parent=bench.task))
    with pytest.raises(RecordNotFound, match=question.item):
        await session.answer("pass")
    assert await labels_of(bench) == []


async def test_a_certificate_without_a_judge_has_no_limits(bench: Bench) -> None:
    await add_items(bench)
    record = await bench.store.find(Eval, "Right", parent=bench.task)
    bare = Eval(
        name="Bare",
        output_scores=record.output_scores,
        eval_set_filter_id="tag::test",
        eval_configs_filter_id="tag::golden_right",
    )
    await bench.store.save(bare, parent=bench.task)
    session = await session_of(bench, "Bare", purpose="certificate")
    await session.answer("pass")
    assert (session.labelled_count, session.limits) == (1, "")


async def test_the_limits_of_an_audit_for_one_rater_are_told_to_no_other(bench: Bench) -> None:
    await add_items(bench)
    await bench.batch(1, rater="Ben")
    labelling = await open_labelling_pass(bench.store, ["Right"])
    limits = await live_limits(bench.store, labelling, None)
    assert limits is not None
    audited_rater = limits.record.opening.rater
    sentence = f"The audit of llm judge counts the labels of {audited_rater} alone."
    assert limits.sentence([], "ann") == sentence
    assert limits.sentence([], audited_rater).endswith("after 0 labels.")


async def test_an_item_that_was_skipped_and_labelled_later_counts_as_labelled(
    bench: Bench,
) -> None:
    await add_items(bench)
    session = await session_of(bench)
    await session.answer("skip")
    await session.answer("pass")
    assert (session.labelled_count, session.skipped_count) == (2, 1)
    assert session.go_back()
    assert session.go_back()
    await session.answer("fail")
    assert (session.labelled_count, session.skipped_count) == (2, 0)
