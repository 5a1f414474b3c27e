"""The columns of the index say what the records say, by any writer at any time."""

import json
import random
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean

import anyio
import pytest

from storage import (
    DataSource,
    Eval,
    EvalConfig,
    EvalInput,
    EvalItemSource,
    EvalOutputScore,
    EvalRun,
    ExactMatch,
    Project,
    ProjectStore,
    RequirementRating,
    Task,
    TaskOutput,
    TaskOutputRating,
    TaskRun,
    TaskRunSplit,
    Usage,
    eval_input_filter,
    task_run_filter,
)
from storage.index.queries import RunQuery
from storage.index.results import (
    STORED,
    first_scores,
    input_items,
    items,
    judged_outputs,
    judged_run_configs,
    outputs_of_evals,
    rated_items,
    results,
    skipped_outputs,
    usage_means,
    verdicts,
)

_MADE: dict[str, str | int | float] = {
    "model_name": "m",
    "model_provider": "openai",
    "adapter_name": "a",
}
_KEYS = ("right", "kind")
_NUMBERS = (
    None,
    {"kiln_mcp_sample": "1"},
    {"kiln_mcp_verdict": "2", "kiln_mcp_empty_scores": "kind other"},
    {"kiln_mcp_sample": "-1", "kiln_mcp_verdict": "²"},
)
_CONFIGS = ("c1", "c2", "c3")
_FILTERS = ("all", "tag::golden", "tag::test", "high_rating", "multi_filter::tag::a&tag::golden")


class _World:
    """A project with the records of one eval, some of which share their moment."""

    def __init__(self, store: ProjectStore, task: Task, judges: Sequence[EvalConfig]) -> None:
        self.store = store
        self.task = task
        self.judges = judges
        self.random = random.Random(7)

    def run(self, number: int) -> TaskRun:
        chance = self.random
        tags = tuple(
            tag for tag in ("golden", "test", "a", "synthetic_session_1") if chance.random() < 0.5
        )
        rating = TaskOutputRating(
            value=chance.choice([None, 1.0, 4.0, 5.0]),
            requirement_ratings={
                key: RequirementRating(value=float(chance.randrange(2)), type="pass_fail")
                for key in ("named::Right", "other")
                if chance.random() < 0.5
            },
        )
        has_rating = chance.random() < 0.6
        output = TaskOutput(output=f"out {number}", rating=rating if has_rating else None)
        return TaskRun(input=f"in {number}", output=output, tags=tags, created_at=_moment(chance))

    def output(self, run: TaskRun, config: str) -> TaskRun:
        chance = self.random
        sample = chance.choice([{}, {"sample": 1}, {"sample": "of a colleague"}])
        source = DataSource(type="synthetic", properties={**_MADE, **sample}, run_config_id=config)
        return TaskRun(
            input=run.input,
            output=TaskOutput(output="made", source=source),
            eval_source=EvalItemSource(source_type="task_run", source_id=run.id),
            usage=_usage(chance),
            created_at=_moment(chance),
        )

    def verdict(self, run: TaskRun, config: str | None, output: TaskRun | None) -> EvalRun:
        chance = self.random
        is_skipped = chance.random() < 0.2
        scores = {key: float(chance.randrange(2)) for key in _KEYS if chance.random() < 0.9}
        return EvalRun(
            dataset_id=run.id,
            task_run_config_id=config,
            eval_config_eval=config is None,
            scored_run_id=output.id if output else None,
            input=None if output else run.input,
            output=None if output else "made",
            task_run_usage=None if output else _usage(chance),
            intermediate_outputs=chance.choice(_NUMBERS),
            scores={} if is_skipped and chance.random() < 0.5 else scores,
            skipped_reason="no_reference" if is_skipped else None,
            created_at=_moment(chance),
        )


def _usage(chance: random.Random) -> Usage | None:
    if chance.random() < 0.2:
        return None
    return Usage(
        cost=chance.choice([None, chance.random()]),
        total_llm_latency_ms=chance.choice([None, chance.randrange(5000)]),
    )


def _moment(chance: random.Random) -> datetime:
    """Return one of few moments, so that several records share it."""
    return datetime(2025, 1, 1, 0, 0, chance.randrange(5), chance.randrange(3), tzinfo=UTC)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncGenerator[_World]:
    async with await ProjectStore.create(tmp_path / "p", Project(name="P")) as store:
        task = await store.save(Task(name="T", instruction="Do."), parent=store.project)
        scores = (
            EvalOutputScore(name="Right", type="pass_fail"),
            EvalOutputScore(name="Kind", type="pass_fail"),
        )
        split = TaskRunSplit(filter_id="tag::test")
        parent = await store.save(
            Eval(name="E", output_scores=scores, splits={"test": split}), parent=task
        )
        check = ExactMatch(expected_value="x")
        judges = [
            await store.save(
                EvalConfig(name=name, config_type="v2", properties=check), parent=parent
            )
            for name in ("one", "two")
        ]
        made = _World(store, task, judges)
        async with store.transaction() as change:
            runs = [change.save(made.run(n), task) for n in range(40)]
            for config in _CONFIGS:
                for run in runs[:30]:
                    output = change.save(made.output(run, config), task)
                    for _ in range(made.random.randrange(3)):
                        judge = made.random.choice(judges)
                        given = output if made.random.random() < 0.6 else None
                        _write_as_kiln(store, judge, made.verdict(run, config, given))
            for run in runs[10:]:
                _write_as_kiln(store, judges[0], made.verdict(run, None, run))
            for number in range(12):
                tags = ("a",) if number % 3 else ("a", "b")
                data = {"type": "single_turn", "user_message": {"text": str(number)}}
                case = EvalInput.model_validate(
                    {"data": data, "tags": tags, "created_at": _moment(made.random).isoformat()}
                )
                change.save(case, task)
        await store.refresh()
        yield made


def _write_as_kiln(store: ProjectStore, judge: EvalConfig, verdict: EvalRun) -> None:
    """Write a result as another program does: past the store, which would refuse some of them."""
    folder = store.side_folder(judge) / "runs" / verdict.id
    folder.mkdir(parents=True)
    text = json.dumps({**verdict.model_dump(mode="json"), "of_another_program": True})
    (folder / "eval_run.kiln").write_text(text)


async def _check(world: _World) -> None:
    """Compare each answer of the index with what the records say."""
    store, task = world.store, world.task
    runs = await store.children(task, TaskRun)
    own = [run for run in runs if run.eval_source is None]
    by_id = {run.id: run for run in runs}
    path = task.saved.path
    for filter_id in _FILTERS:
        fits = task_run_filter(filter_id)
        query = RunQuery(filter_id, is_from_eval=False)
        expected = [run for run in own if fits(run)]
        rows = await store.ask(lambda index, query=query: items(index, path, query))
        assert [tuple(row) for row in rows] == [(run.id, run.saved.path) for run in expected]
        rated = await store.ask(
            lambda index, query=query: rated_items(index, path, query, "synthetic_session_")
        )
        assert [_rating_of(by_id[item.id]) for item in rated] == [
            (item.rating, item.ratings, item.rated_at, item.tag) for item in rated
        ]
        assert [item.id for item in rated] == [run.id for run in expected]
    inputs = await store.children(task, EvalInput)
    for tag, filter_id in ((None, "all"), ("b", "tag::b"), ("c", "tag::c")):
        cases = await store.ask(lambda index, tag=tag: input_items(index, path, tag))
        assert [case.id for case in cases] == [
            case.id for case in inputs if eval_input_filter(filter_id)(case)
        ]
    for config in _CONFIGS:
        outputs = await store.ask(
            lambda index, config=config: outputs_of_evals(index, path, config)
        )
        assert {key: row.id for key, row in outputs.items()} == {
            (run.eval_source.source_id, run.sample): run.id
            for run in runs
            if run.eval_source and run.output.source and run.output.source.run_config_id == config
        }
    for judge in world.judges:
        await _check_judge(store, judge, by_id)


def _rating_of(run: TaskRun) -> tuple[object, ...]:
    rating = run.output.rating
    session = next((tag for tag in run.tags if tag.startswith("synthetic_session_")), None)
    if rating is None:
        return None, {}, None, session
    ratings = {key: own.value for key, own in rating.requirement_ratings.items()}
    return rating.value, ratings, rating.created_at, session


async def _check_judge(store: ProjectStore, judge: EvalConfig, by_id: dict[str, TaskRun]) -> None:
    records = await store.children(judge, EvalRun)
    path = judge.saved.path
    configs = {verdict.task_run_config_id or STORED for verdict in records}
    assert await store.ask(lambda index: judged_run_configs(index, path)) == configs
    rows = await store.ask(lambda index: results(index, path))
    assert [(row.path, row.item_id, row.output_id, row.sample, row.scores) for row in rows] == [
        (v.saved.path, v.dataset_id, v.scored_run_id or "", v.sample, v.scores) for v in records
    ]
    means = await store.ask(lambda index: usage_means(index, path))
    for config in configs:
        own = [v for v in records if (v.task_run_config_id or STORED) == config]
        done = await store.ask(lambda index, config=config: judged_outputs(index, path, config))
        assert done == {(v.dataset_id, v.sample, v.verdict_number) for v in own}
        skips = await store.ask(lambda index, config=config: skipped_outputs(index, path, config))
        assert skips == {
            (v.dataset_id, v.sample, v.verdict_number) for v in own if v.skipped_reason
        }
        for key in _KEYS:
            expected: dict[tuple[str | None, int, int], tuple[float, bool]] = {}
            for v in own:
                if not v.skipped_reason and key in v.scores:
                    place = v.dataset_id, v.sample, v.verdict_number
                    expected.setdefault(place, (v.scores[key], key in v.empty_scores))
            scores = await store.ask(
                lambda index, config=config, key=key: verdicts(index, path, config, key)
            )
            assert scores == expected
            if config == STORED:
                firsts = await store.ask(lambda index, key=key: first_scores(index, path, key))
                assert firsts == {
                    item: value
                    for (item, sample, number), (value, _) in expected.items()
                    if sample == number == 0
                }
        outputs = {v.scored_run_id: v for v in own if v.scored_run_id}
        inline = [v for v in own if not v.scored_run_id and not v.verdict_number]
        usages = [_usage_of(verdict, by_id) for verdict in [*outputs.values(), *inline]]
        costs = [usage.cost for usage in usages if usage and usage.cost is not None]
        assert means[config].results == len(usages)
        assert means[config].cost_count == len(costs)
        assert means[config].cost == (pytest.approx(fmean(costs)) if costs else None)


def _usage_of(verdict: EvalRun, by_id: dict[str, TaskRun]) -> Usage | None:
    if not verdict.scored_run_id:
        return verdict.task_run_usage
    output = by_id.get(verdict.scored_run_id)
    return output.usage if output else None


async def test_the_columns_say_what_the_records_say(world: _World) -> None:
    await _check(world)


async def test_the_columns_follow_changes_deletions_and_what_others_write(world: _World) -> None:
    store, task, judge = world.store, world.task, world.judges[0]
    runs = await store.children(task, TaskRun)
    verdicts = await store.children(judge, EvalRun)
    await store.save(runs[0].replace(tags=("golden", "test", "a")))
    await store.delete(runs[1])
    await store.delete(verdicts[0])
    file = anyio.Path(store.folder / verdicts[1].saved.path)
    await file.write_text((await file.read_text()).replace('"right": 1.0', '"right": 0.0'))
    await anyio.Path(store.folder / verdicts[2].saved.path).write_text("{")
    await store.refresh()
    await _check(world)


async def test_a_look_at_one_judge_takes_in_what_others_made_and_removed(world: _World) -> None:
    store, judge = world.store, world.judges[1]
    verdicts = await store.children(judge, EvalRun)
    (run,) = (await store.children(world.task, TaskRun))[:1]
    _write_as_kiln(store, judge, world.verdict(run, "c1", None))
    gone = anyio.Path(store.folder / verdicts[0].saved.path)
    await gone.unlink()
    await gone.parent.rmdir()
    await store.look_at(judge, EvalRun)
    rows = await store.ask(lambda index: results(index, judge.saved.path))
    assert {row.path for row in rows} == {
        verdict.saved.path for verdict in await store.children(judge, EvalRun)
    }


async def test_a_score_that_is_not_a_number_does_not_break_the_index(world: _World) -> None:
    store, judge = world.store, world.judges[0]
    (run,) = (await store.children(world.task, TaskRun))[:1]
    verdict = world.verdict(run, "c9", None)
    _write_as_kiln(store, judge, verdict)
    file = anyio.Path(store.side_folder(judge) / "runs" / verdict.id / "eval_run.kiln")
    data = json.loads(await file.read_text())
    usage = {"total_llm_latency_ms": 10**30}
    text = json.dumps({**data, "scores": {"right": float("nan")}, "task_run_usage": usage})
    await file.write_text(text)
    await store.refresh()
    done = await store.ask(lambda index: judged_outputs(index, judge.saved.path, "c9"))
    scores = await store.ask(lambda index: verdicts(index, judge.saved.path, "c9", "right"))
    assert ({key.item_id for key in done}, scores) == ({run.id}, {})
