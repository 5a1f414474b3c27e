"""Several people, each with a clone of one project."""

import re
from pathlib import Path

import pytest

from storage import (
    Project,
    ProjectStore,
    Task,
    TaskOutput,
    TaskOutputRating,
    TaskRun,
)
from storage.collaboration.sync import Sharing
from storage.errors import RecordNotFound, Refusal
from storage.git.errors import GitError
from storage.git.git import Git


async def _task(store: ProjectStore) -> Task:
    (task,) = await store.children(store.project, Task)
    return task


async def _run(store: ProjectStore) -> TaskRun:
    (run,) = await store.children(await _task(store), TaskRun)
    return run


def _with_stars(run: TaskRun, stars: float) -> TaskRun:
    return run.replace(output=run.output.replace(rating=TaskOutputRating(value=stars)))


async def test_two_people_who_rate_and_tag_one_run_never_see_a_conflict(
    ana: ProjectStore, ben: ProjectStore
) -> None:
    run = await _run(ana)
    await ana.save(_with_stars(run, 4))
    theirs = await _run(ben)
    await ben.save(theirs.replace(tags=("first", "golden")))
    assert (await Sharing(ana).sync()).outgoing == "Rate 1 run"
    report = await Sharing(ben).sync()
    assert (report.outgoing, report.incoming) == ("Tag 1 run", "Rate 1 run")
    assert report.conflicts == ()
    assert (await Sharing(ana).sync()).incoming.endswith("Tag 1 run")
    for store in (ana, ben):
        merged = await _run(store)
        assert merged.tags == ("first", "golden")
        assert merged.output.rating is not None
        assert merged.output.rating.value == 4


async def test_two_values_of_one_field_become_a_question_that_blocks_nothing(
    ana: ProjectStore, ben: ProjectStore
) -> None:
    task, other = await _task(ana), await _task(ben)
    await ana.save(task.replace(instruction="Answer briefly."))
    await ben.save(other.replace(instruction="Answer at length.", description="Ben's"))
    await Sharing(ana).sync()
    (question,) = (await Sharing(ben).sync()).conflicts
    assert "Answer at length." in question.text
    assert "Answer briefly." in question.text
    assert (await _task(ben)).description == "Ben's"
    await Sharing(ana).sync()
    assert await Sharing(ana).conflicts() == [question]
    number = next(i for i, c in enumerate(question.choices) if c.value == "Answer at length.")
    await Sharing(ana).decide(question.id, number)
    await Sharing(ana).sync()
    await Sharing(ben).sync()
    for store in (ana, ben):
        assert (await _task(store)).instruction == "Answer at length."
        assert await Sharing(store).conflicts() == []


async def test_a_value_that_is_given_before_a_question_is_decided_is_a_choice_too(
    ana: ProjectStore, ben: ProjectStore
) -> None:
    for store, stars in ((ana, 1), (ben, 5)):
        await store.save(_with_stars(await _run(store), stars))
        await Sharing(store).sync()
    await Sharing(ana).sync()
    (question,) = await Sharing(ana).conflicts()
    assert question.text == "the run 'hi': is the overall rating 1 or 5?"
    await ana.save(_with_stars(await _run(ana), 3))
    (question,) = await Sharing(ana).conflicts()
    assert question.text.endswith("1, 5 or 3?")
    with pytest.raises(Refusal, match=r"no choice 4\. Choose by the number: 1: 1, 2: 5, 3: 3"):
        await Sharing(ana).decide(question.id, 3)
    await Sharing(ana).decide(question.id, 2)
    assert await Sharing(ana).conflicts() == []
    rating = (await _run(ana)).output.rating
    assert rating is not None
    assert rating.value == 3


async def test_the_history_of_a_record_tells_both_sides_of_a_question(
    ana: ProjectStore, ben: ProjectStore
) -> None:
    for store, stars in ((ana, 1), (ben, 5)):
        await store.save(_with_stars(await _run(store), stars))
        await Sharing(store).sync()
    await Sharing(ana).sync()
    for store in (ana, ben):
        history = (await Sharing(store).history((await _run(store)).saved.path)).entries
        values = [field.new for entry in history for field in entry.fields]
        assert sorted(map(str, values)) == ["1.0", "5.0"]
    assert len((await Sharing(ben).history((await _run(ben)).saved.path)).entries) == 3


async def test_a_decision_is_told_as_one(ana: ProjectStore, ben: ProjectStore) -> None:
    for store, stars in ((ana, 1), (ben, 5)):
        await store.save(_with_stars(await _run(store), stars))
        await Sharing(store).sync()
    (question,) = (await Sharing(ana).sync()).conflicts
    rating = (await _run(ben)).output.rating
    assert rating is not None
    same = next(at for at, choice in enumerate(question.choices) if choice.value == rating.value)
    await Sharing(ben).decide(question.id, same)
    assert (await Sharing(ben).sync()).outgoing == "Decide the overall rating of the run 'hi'"
    assert (await Sharing(ana).sync()).incoming == "Decide the overall rating of the run 'hi'"


@pytest.mark.parametrize("changes_the_run", [True, False])
async def test_a_decision_is_undone_so_that_its_question_is_open_again(
    ana: ProjectStore, ben: ProjectStore, changes_the_run: bool
) -> None:
    for store, stars in ((ana, 1), (ben, 5)):
        await store.save(_with_stars(await _run(store), stars))
        await Sharing(store).sync()
    await Sharing(ana).sync()
    (question,) = await Sharing(ben).conflicts()
    run = await _run(ben)
    rating = run.output.rating
    assert rating is not None
    choice = next(
        at
        for at, choice in enumerate(question.choices)
        if (choice.value != rating.value) == changes_the_run
    )
    await Sharing(ben).decide(question.id, choice)
    await Sharing(ben).sync()
    decision = (await Sharing(ben).history()).entries[0]
    done = await Sharing(ben).undo(decision.change)
    assert "sk the overall rating of the run 'hi'" in done
    assert [conflict.id for conflict in await Sharing(ben).conflicts()] == [question.id]
    assert (await _run(ben)).output.rating == rating
    await Sharing(ben).sync()
    with pytest.raises(Refusal, match="undone already"):
        await Sharing(ben).undo(decision.change)
    await Sharing(ana).sync()
    assert [conflict.id for conflict in await Sharing(ana).conflicts()] == [question.id]


def _with_repair(run: TaskRun, who: str) -> TaskRun:
    return run.replace(repair_instructions=who, repaired_output=TaskOutput(output=f"{who} out"))


async def test_two_repairs_are_one_question_and_are_never_mixed(
    ana: ProjectStore, ben: ProjectStore
) -> None:
    for store, who in ((ana, "Ann"), (ben, "Ben")):
        await store.save(_with_repair(await _run(store), who))
        await Sharing(store).sync()
    await Sharing(ana).sync()
    (question,) = await Sharing(ana).conflicts()
    assert question.text == (
        'the run \'hi\': is the repaired output "Ann out" or "Ben out"? '
        "Each comes with its repair instructions."
    )
    for who, option in zip(("Ann", "Ben"), question.options, strict=True):
        assert option.startswith(f'"{who} out", repair instructions "{who}" (')
    await Sharing(ana).decide(question.id, 0)
    assert await _repair(ana) == ("Ann", "Ann out")
    await Sharing(ben).decide(question.id, 1)
    await Sharing(ana).sync()
    await Sharing(ben).sync()
    await Sharing(ana).sync()
    (next_question,) = await Sharing(ben).conflicts()
    assert await Sharing(ana).conflicts() == [next_question]
    await ana.save((await _run(ana)).replace(repair_instructions="Else."))
    (next_question,) = await Sharing(ana).conflicts()
    assert len(next_question.options) == 3
    await Sharing(ana).decide(next_question.id, 1)
    await Sharing(ana).sync()
    await Sharing(ben).sync()
    for store in (ana, ben):
        assert await _repair(store) == ("Ben", "Ben out")
        assert await Sharing(store).conflicts() == []


async def _repair(store: ProjectStore) -> tuple[str | None, str]:
    run = await _run(store)
    assert run.repaired_output is not None
    return run.repair_instructions, run.repaired_output.output


async def test_every_kind_of_change_of_one_record_is_told(ana: ProjectStore) -> None:
    run = _with_repair(_with_stars(await _run(ana), 4), "Ann").replace(tags=("golden",))
    await ana.save(run)
    await ana.save((await _task(ana)).replace(name="Help", instruction="Else."))
    report = await Sharing(ana).sync()
    assert report.outgoing == (
        "Rename the task Help, change the task Help, rate 1 run, repair 1 run, tag 1 run"
    )
    (latest, _) = (await Sharing(ana).history(run.saved.path)).entries
    assert latest.summary == "rate, repair, tag"


async def test_a_question_says_who_gave_each_value_and_when(
    ana: ProjectStore, ben: ProjectStore
) -> None:
    for store, who, stars in ((ana, "Ann", 5), (ben, "Bob", 4)):
        Git(store.folder).run("config", "user.name", who)
        await store.save(_with_stars(await _run(store), stars))
        await Sharing(store).sync()
    (question,) = (await Sharing(ana).sync()).conflicts
    bob, ann = question.options
    today = r"20\d\d-\d\d-\d\d \d\d:\d\d UTC"
    assert re.fullmatch(rf"4 \(Bob, {today}\)", bob)
    assert re.fullmatch(rf"5 \(Ann, {today}\)", ann)
    await ana.save(_with_stars(await _run(ana), 2))
    (question,) = await Sharing(ana).conflicts()
    assert question.options == (bob, ann, "2")


async def test_a_question_about_long_texts_shows_where_they_differ(
    ana: ProjectStore, ben: ProjectStore
) -> None:
    for store, end in ((ana, "briefly"), (ben, "at length")):
        text = f"{'Be kind. ' * 3_000}Answer {end}.{' Always.' * 500}"
        await store.save((await _task(store)).replace(instruction=text))
        await Sharing(store).sync()
    (question,) = await Sharing(ben).conflicts()
    assert question.text == "the task 'Support': which instruction is right?"
    assert sum(map(len, question.options)) < 900
    for end in ("briefly", "at length"):
        (option,) = (conflict for conflict in question.options if f"Answer {end}." in conflict)
        assert "31,0" in option
    await Sharing(ben).decide(question.id, 0)
    assert len((await _task(ben)).instruction) > 30_000


async def test_nothing_is_asked_of_a_deleted_record_until_it_is_back(
    ana: ProjectStore, ben: ProjectStore
) -> None:
    for store, stars in ((ana, 1), (ben, 5)):
        await store.save(_with_stars(await _run(store), stars))
        await Sharing(store).sync()
    assert len(await Sharing(ben).conflicts()) == 1
    deleted = await ben.delete(await _run(ben))
    assert await Sharing(ben).conflicts() == []
    await ben.restore(deleted.key)
    assert len(await Sharing(ben).conflicts()) == 1


async def test_offline_work_is_kept_and_sent_later(
    ana: ProjectStore, ben: ProjectStore, hub: Path
) -> None:
    moved_hub = hub.with_name("away.git")
    hub.rename(moved_hub)  # noqa: ASYNC240 - one rename in a test
    await ana.save(_with_stars(await _run(ana), 3))
    report = await Sharing(ana).sync()
    assert report.offline_reason
    assert not report.is_sent
    moved_hub.rename(hub)
    assert (await Sharing(ana).sync()).is_sent
    await Sharing(ben).sync()
    assert (await _run(ben)).output.rating is not None


async def test_the_history_of_a_run_is_told_in_words_and_a_change_undone(
    ana: ProjectStore,
) -> None:
    run = await ana.save(_with_stars(await _run(ana), 2))
    await Sharing(ana).sync()
    run = await ana.save(run.replace(tags=("first", "bad")))
    await Sharing(ana).sync()
    tag_entry, rate_entry, add_entry = (await Sharing(ana).history(run.saved.path)).entries
    assert (tag_entry.summary, rate_entry.summary, add_entry.summary) == ("tag", "rate", "add")
    assert tag_entry.fields[0].new == ["first", "bad"]
    await Sharing(ana).undo(rate_entry.change, run.saved.path)
    undone = await _run(ana)
    assert undone.output.rating is None
    assert undone.tags == ("first", "bad")


async def test_a_change_of_a_field_that_changed_again_is_not_undone(ana: ProjectStore) -> None:
    task = await _task(ana)
    task = await ana.save(task.replace(instruction="Two."))
    await Sharing(ana).sync()
    task = await ana.save(task.replace(instruction="Three."))
    await Sharing(ana).sync()
    _, second, _ = (await Sharing(ana).history(task.saved.path)).entries
    with pytest.raises(Refusal, match="the instruction of the task Support"):
        await Sharing(ana).undo(second.change, task.saved.path)


async def test_what_brought_two_sides_together_is_no_change_to_be_undone(
    ana: ProjectStore, ben: ProjectStore
) -> None:
    await ana.save(_with_stars(await _run(ana), 4))
    await ben.save((await _run(ben)).replace(tags=("golden",)))
    for store in (ana, ben):
        await Sharing(store).sync()
    merge = Git(ben.folder).text("rev-parse", "HEAD")
    assert merge not in [entry.change for entry in (await Sharing(ben).history()).entries]
    with pytest.raises(RecordNotFound):
        await Sharing(ben).undo(merge)


async def test_no_token_is_stored_or_shown(ana: ProjectStore) -> None:
    for address in ("https://me:secret@host/x.git", "https://secret@host/x.git"):
        with pytest.raises(Refusal, match="password or token") as error:
            await Sharing(ana).share(address)
        assert "secret" not in str(error.value)
    assert "secret" not in str(GitError("send", "fatal: https://u:secret@h/x denied"))


async def test_a_project_without_a_history_says_how_to_begin_one(tmp_path: Path) -> None:
    async with await ProjectStore.create(tmp_path / "p", Project(name="Alone")) as store:
        with pytest.raises(Refusal, match="Sync the project first"):
            await Sharing(store).sync()
        await Sharing(store).share()
        report = await Sharing(store).sync()
        assert report.outgoing == "Add the project Alone"
        assert (report.is_shared, report.unsent_count, report.offline_reason) == (False, 0, "")
        assert "kept on this machine alone" in report.notice
