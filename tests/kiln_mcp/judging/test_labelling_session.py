"""A person's session: what is asked, saved, withdrawn, and told meanwhile."""

import json
import re
from collections.abc import Sequence

import pytest

from bench import Agrees, Bench, BenchSetup
from kiln_mcp.judging.batches import BatchRequest
from kiln_mcp.judging.golden_sets import open_labelling_pass
from kiln_mcp.judging.labelling_session import LabellingSession, open_session
from kiln_mcp.labels.ledger import Label, Purpose, read_labels
from kiln_mcp.llm import ModelRequest
from storage import Eval, Task, TaskOutput, TaskRun
from storage.errors import Refusal


def judge(request: ModelRequest) -> str:
    return json.dumps({"reasoning": "I looked.", "right": "pass"})


@pytest.fixture
def bench_setup() -> BenchSetup:
    return BenchSetup(Task(name="Name", instruction="Name one."), judge, Agrees())


async def add_items(bench: Bench, count: int = 15) -> None:
    for name in ("Right", "Polite"):
        await bench.evaluator_of(
            name, {"type": "llm_judge", "steps": ["Is it?"]}, {"test_filter": f"tag::t_{name}"}
        )
    async with bench.store.transaction() as change:
        for number in range(count):
            run = TaskRun(
                input=f"animal {number}",
                output=TaskOutput(output=f"cat {number}"),
                tags=("golden_right", "golden_polite"),
            )
            change.save(run, parent=bench.task)


async def session_of(
    bench: Bench,
    *,
    evals: Sequence[str] = ("Right",),
    count: int = 5,
    rater: str = "ann",
    purpose: Purpose = "development",
    is_person: bool = True,
) -> LabellingSession:
    request = BatchRequest(evals, count, rater=rater, purpose=purpose)
    session = await open_session(bench.workspace, bench.store, request, is_person=is_person)
    session.show()
    return session


async def labels_of(bench: Bench, name: str = "Right") -> Sequence[Label]:
    record = await bench.store.find(Eval, name, parent=bench.task)
    return (await read_labels(bench.store, record)).entries


async def test_each_answer_is_saved_before_the_next_item_is_asked(bench: Bench) -> None:
    await add_items(bench)
    session = await session_of(bench, count=2)
    first = session.question
    assert first is not None
    assert (first.number, first.total) == (1, 2)
    assert not await session.answer("perhaps")
    assert await session.answer("fail")
    (label,) = await labels_of(bench)
    assert (label.item, label.value, label.rater) == (first.item, 0.0, "ann")
    assert label.seconds is not None
    second = session.question
    assert second is not None
    assert second.item != first.item
    await session.answer("both")
    assert session.question is None
    assert session.labelled_count == 2


async def test_two_evals_are_asked_of_one_output(bench: Bench) -> None:
    await add_items(bench)
    session = await session_of(bench, evals=("Right", "Polite"), count=1)
    first = session.question
    await session.answer("pass")
    second = session.question
    assert first is not None
    assert second is not None
    assert (first.item, first.place.name, second.place.name) == (second.item, "right", "polite")
    await session.answer("fail")
    assert session.question is None
    assert [label.value for label in await labels_of(bench, "Polite")] == [0.0]


async def test_an_undone_answer_is_withdrawn_and_its_rating_taken_back(bench: Bench) -> None:
    await add_items(bench)
    session = await session_of(bench)
    assert not await session.undo()
    first = session.question
    assert first is not None
    await session.answer("pass")
    assert await session.undo()
    assert session.question == first
    run = await bench.store.get(TaskRun, first.item, parent=bench.task)
    assert run.output.rating is None
    assert [label.state for label in await labels_of(bench)] == ["value", "withdrawn"]
    again = await session_of(bench, rater="ann")
    assert again.question is not None
    assert again.question.item == first.item


async def test_a_reason_given_before_or_after_belongs_to_its_label(bench: Bench) -> None:
    await add_items(bench)
    session = await session_of(bench)
    await session.give_reason("It is rude.")
    await session.answer("fail")
    await session.answer("pass")
    assert session.go_back()
    await session.give_reason("Kind words.")
    assert session.go_forward()
    reasons = [(label.value, label.reason) for label in await labels_of(bench)]
    assert reasons == [(0.0, "It is rude."), (1.0, ""), (1.0, "Kind words.")]


async def test_an_answer_is_shown_and_may_be_changed_after_going_back(bench: Bench) -> None:
    await add_items(bench)
    session = await session_of(bench)
    assert not session.go_back()
    assert not session.go_forward()
    await session.answer("pass")
    assert session.go_back()
    assert session.question is not None
    assert session.question.answer == "pass"
    await session.answer("fail")
    assert [label.value for label in await labels_of(bench)] == [1.0, 0.0]
    assert session.labelled_count == 1


async def test_a_session_goes_on_with_what_was_shown_and_not_labelled(bench: Bench) -> None:
    await add_items(bench)
    session = await session_of(bench, count=4)
    await session.answer("pass")
    left = session.question
    later = await session_of(bench, count=4)
    assert left is not None
    assert later.question is not None
    assert later.question.item == left.item


async def test_a_skipped_item_is_not_shown_first_again(bench: Bench) -> None:
    await add_items(bench)
    session = await session_of(bench, count=3)
    first = session.question
    await session.answer("skip")
    left = session.question
    later = await session_of(bench, count=3)
    assert first is not None
    assert left is not None
    assert later.question is not None
    assert later.question.item == left.item
    assert later.question.item != first.item


async def test_an_undone_label_for_a_certificate_still_counts_and_that_is_said(
    bench: Bench,
) -> None:
    await add_items(bench)
    session = await session_of(bench, purpose="certificate")
    await session.answer("pass")
    await session.undo()
    await session.answer("fail")
    assert session.notes == [
        "The first label counts for the certificate. What you say now stands beside it."
    ]
    golden_set = (await open_labelling_pass(bench.store, ["Right"])).first
    (item,) = golden_set.complete
    assert golden_set.label(golden_set.item(item), golden_set.scores[0]) == 1.0


async def test_items_are_drawn_ahead_until_the_golden_set_ends(bench: Bench) -> None:
    await add_items(bench, count=13)
    session = await session_of(bench, count=100)
    seen: list[str] = []
    while (question := session.question) is not None:
        seen.append(question.item)
        await session.answer("skip" if len(seen) == 2 else "pass")
        await session.draw_ahead()
    assert (len(seen), len(set(seen))) == (13, 13)
    assert [label.state for label in await labels_of(bench)].count("skipped") == 1


async def test_two_raters_at_once_get_different_items(bench: Bench) -> None:
    await add_items(bench, count=8)
    ann, ben = await session_of(bench, count=4), await session_of(bench, count=4, rater="ben")
    seen: list[str] = []
    for session in (ann, ben):
        while (question := session.question) is not None:
            seen.append(question.item)
            await session.answer("pass")
    assert len(set(seen)) == 8
    with pytest.raises(Refusal, match="All 8 items"):
        await session_of(bench, rater="cid")


async def test_the_limits_narrow_while_labels_for_a_certificate_come(bench: Bench) -> None:
    await add_items(bench, count=40)
    await bench.batch(1)  # the judge gives its verdicts, and its audit opens
    session = await session_of(bench, count=30, purpose="certificate")
    low, high = 0.0, 1.0
    for number in range(1, 21):
        await session.answer("pass")
        await session.draw_ahead()
        match = re.search(r"on (\d+)% to (\d+)%, after (\d+) labels", session.limits)
        assert match is not None
        limits = int(match[1]) / 100, int(match[2]) / 100
        assert limits[0] >= low
        assert limits[1] <= high
        assert int(match[3]) == number
        low, high = limits
    assert low > 0.5
    assert all(label.certifies for label in await labels_of(bench))


async def test_no_rater_draws_in_an_audit_of_another(bench: Bench) -> None:
    await add_items(bench)
    await bench.batch(1, rater="Ben")
    with pytest.raises(Refusal, match="'llm judge' counts the labels of Ben alone, so ann cannot"):
        await session_of(bench, purpose="certificate")
    with pytest.raises(Refusal, match="Let Ben label these items, or draw with the purpose"):
        await bench.batch(1, rater="ann")
    assert len((await bench.batch(1, rater="ben ")).items) == 1
    assert len((await bench.batch(1, rater="ann", purpose="development")).items) == 1


async def test_without_a_person_at_a_terminal_nothing_counts_for_a_certificate(
    bench: Bench,
) -> None:
    await add_items(bench)
    session = await session_of(bench, purpose="certificate", is_person=False)
    await session.answer("pass")
    (label,) = await labels_of(bench)
    assert (label.certifies, label.confirmed, label.purpose) == (False, False, "development")
