"""Pages of runs from the index say what looking at every run would say."""

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import (
    DataSource,
    EvalItemSource,
    Project,
    ProjectStore,
    RequirementRating,
    Task,
    TaskOutput,
    TaskOutputRating,
    TaskRun,
    task_run_filter,
)
from storage.errors import InvalidQuery
from storage.index.queries import Order, RunQuery

_START = datetime(2026, 1, 1, tzinfo=UTC)
_TAGS = ("golden", "tag-1_é", 'quo"te', "é", "%")
_WORDS = ("seven", "it's", "naïve", "日本", "AND")
_KEYS = ("named::Polite", "named::Right")


@st.composite
def _runs(draw: st.DrawFn) -> TaskRun:
    value = draw(st.sampled_from((None, 1.0, 3.0, 4.0, 5.0)))
    rated_for = draw(st.sets(st.sampled_from(_KEYS)))
    rating = TaskOutputRating(
        value=value,
        requirement_ratings={k: RequirementRating(value=2, type="five_star") for k in rated_for},
    )
    made_by = draw(st.sampled_from(("human", "synthetic")))
    properties = (
        {"created_by": "ana"}
        if made_by == "human"
        else {"model_name": "m", "model_provider": "p", "adapter_name": "a"}
    )
    return TaskRun(
        created_at=_START + timedelta(seconds=draw(st.integers(0, 5))),
        input=" ".join(draw(st.lists(st.sampled_from(_WORDS), max_size=3))),
        output=TaskOutput(
            output=" ".join(draw(st.lists(st.sampled_from(_WORDS), max_size=3))) or "x",
            source=DataSource.model_validate({"type": made_by, "properties": properties}),
            rating=rating if value is not None or rated_for else None,
        ),
        tags=tuple(draw(st.lists(st.sampled_from(_TAGS), unique=True, max_size=3))),
        eval_source=draw(
            st.sampled_from((None, EvalItemSource(source_type="task_run", source_id="1")))
        ),
        intermediate_outputs=draw(st.sampled_from((None, {"reasoning": "hm"}))),
    )


_QUERIES = st.builds(
    RunQuery,
    filter_id=st.sampled_from(
        (
            "all",
            "high_rating",
            "thinking_model",
            "thinking_model_high_rated",
            "tag::golden",
            "multi_filter::tag::é&high_rating",
        )
    ),
    tags=st.lists(st.sampled_from(_TAGS), max_size=2, unique=True).map(tuple),
    without_tags=st.lists(st.sampled_from(_TAGS), max_size=1).map(tuple),
    source=st.sampled_from((None, "human")),
    is_from_eval=st.sampled_from((None, True, False)),
    is_rated=st.sampled_from((None, True, False)),
    least_rating=st.sampled_from((None, 3.0)),
    most_rating=st.sampled_from((None, 4.0)),
    unrated_score=st.sampled_from((None, "named::Polite")),
    text=st.sampled_from((None, "seven", "naïve 日本", "AND", "it's", "sev", "本", "  ")),
)


def _is_meant(run: TaskRun, query: RunQuery) -> bool:
    rating = run.output.rating
    value = rating.value if rating else None
    source = run.output.source
    words = f"{run.input} {run.output.output}".split()
    return all(
        (
            task_run_filter(query.filter_id)(run),
            set(query.tags) <= set(run.tags),
            not set(query.without_tags) & set(run.tags),
            query.source is None or (source is not None and source.type == query.source),
            query.is_from_eval in {None, run.eval_source is not None},
            query.is_rated is None or (value is not None) == query.is_rated,
            query.least_rating is None or (value is not None and value >= query.least_rating),
            query.most_rating is None or (value is not None and value <= query.most_rating),
            query.unrated_score is None
            or query.unrated_score not in (rating.requirement_ratings if rating else {}),
            all(any(part in word for word in words) for part in (query.text or "").split()),
        )
    )


def _value(run: TaskRun, otherwise: float) -> float:
    rating = run.output.rating
    return otherwise if rating is None or rating.value is None else rating.value


_KEYS_OF_ORDER: dict[Order, Callable[[TaskRun], float]] = {
    "newest": lambda run: -run.created_at.timestamp(),
    "oldest": lambda run: run.created_at.timestamp(),
    "best": lambda run: -_value(run, -9),
    "worst": lambda run: _value(run, 9),
}


async def _all_pages(store: ProjectStore, task: Task, query: RunQuery, order: Order) -> list[str]:
    seen: list[TaskRun] = []
    cursor: str | None = None
    while True:
        page = await store.page_of_runs(task, query, order=order, limit=2, cursor=cursor)
        seen += page.records
        cursor = page.next_cursor
        if cursor is None:
            break
    keys = [_KEYS_OF_ORDER[order](run) for run in seen]
    assert keys == sorted(keys)
    assert page.total == len(seen)
    assert page.total_is_exact
    return [run.id for run in seen]


@settings(max_examples=settings().max_examples // 4)
@given(
    runs=st.lists(_runs(), max_size=12),
    others=st.lists(_runs(), max_size=3),
    queries=st.lists(_QUERIES, min_size=3, max_size=6),
    order=st.sampled_from(("newest", "oldest", "best", "worst")),
)
def test_pages_hold_exactly_the_runs_that_are_meant_in_order(
    runs: Sequence[TaskRun], others: Sequence[TaskRun], queries: Sequence[RunQuery], order: Order
) -> None:
    async def check() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with await ProjectStore.create(Path(folder) / "p", Project(name="P")) as store:
                task = await store.save(Task(name="A", instruction="Do."), parent=store.project)
                other = await store.save(Task(name="B", instruction="Do."), parent=store.project)
                async with store.transaction() as change:
                    for run in runs:
                        change.save(run, task)
                    for run in others:
                        change.save(run, other)
                for query in queries:
                    expected = {run.id for run in runs if _is_meant(run, query)}
                    found = await _all_pages(store, task, query, order)
                    assert len(found) == len(set(found))
                    assert set(found) == expected
                    assert await store.count_runs(task, query) == len(expected)
                    every = await store.runs(task, query)
                    assert {run.id for run in every} == expected
                    assert every == sorted(every, key=lambda run: (run.created_at, run.id))

    asyncio.run(check())


@pytest.fixture
async def big(tmp_path: Path) -> tuple[Path, Task]:
    """A task of 1,200 runs; every third is golden, every one has the word seven."""
    async with await ProjectStore.create(tmp_path / "p", Project(name="P")) as store:
        task = await store.save(Task(name="T", instruction="Do."), parent=store.project)
        async with store.transaction() as change:
            for number in range(1200):
                rating = TaskOutputRating(value=1 + number % 5)
                tags = ("golden",) if number % 3 == 0 else ()
                output = TaskOutput(output="seven", rating=rating)
                change.save(TaskRun(input=str(number), output=output, tags=tags), task)
        return store.folder, task


async def test_beyond_a_thousand_a_page_says_that_not_all_were_counted(
    big: tuple[Path, Task],
) -> None:
    folder, task = big
    async with await ProjectStore.open(folder) as store:
        every = await store.page_of_runs(task, RunQuery())
        assert (every.total, every.total_is_exact) == (1200, True)
        words = await store.page_of_runs(task, RunQuery(text="seven"))
        assert (words.total, words.total_is_exact) == (1000, False)
        both = await store.page_of_runs(task, RunQuery(text="seven", tags=("golden",)))
        assert (both.total, both.total_is_exact) == (400, True)
        assert await store.count_runs(task, RunQuery(text="seven")) == 1200


async def test_of_a_word_that_a_thousand_runs_have_no_longer_ones_are_looked_for(
    big: tuple[Path, Task],
) -> None:
    folder, task = big
    async with await ProjectStore.open(folder) as store:
        longer = TaskRun(input="seventeen", output=TaskOutput(output="x"))
        await store.save(longer, parent=task)
        assert await store.count_runs(task, RunQuery(text="seven")) == 1200
        assert await store.count_runs(task, RunQuery(text="seve")) == 1201
        assert await store.count_runs(task, RunQuery(text="sevent")) == 1


async def test_the_best_of_many_matches_come_first(big: tuple[Path, Task]) -> None:
    folder, task = big
    async with await ProjectStore.open(folder) as store:
        page = await store.page_of_runs(task, RunQuery(text="seven"), order="best", limit=240)
        assert {run.output.rating.value for run in page.records if run.output.rating} == {5}
        after = await store.page_of_runs(
            task, RunQuery(text="seven"), order="best", limit=1, cursor=page.next_cursor
        )
        (best_of_the_rest,) = after.records
        assert best_of_the_rest.output.rating is not None
        assert best_of_the_rest.output.rating.value == 4


@pytest.mark.parametrize("cursor", ["", "x", "bm90IGpzb24=", "W10=", "WyJhIiwgImIiXQ=="])
async def test_a_cursor_that_no_page_gave_is_refused(tmp_path: Path, cursor: str) -> None:
    async with await ProjectStore.create(tmp_path / "p", Project(name="P")) as store:
        task = await store.save(Task(name="T", instruction="Do."), parent=store.project)
        with pytest.raises(InvalidQuery, match="next_cursor"):
            await store.page_of_runs(task, RunQuery(), cursor=cursor)


@pytest.mark.parametrize("text", ['"', "* OR", "a NEAR b", "}", "\0", "!!!", "x:y", "-a"])
async def test_words_that_look_like_a_query_are_only_words(tmp_path: Path, text: str) -> None:
    async with await ProjectStore.create(tmp_path / "p", Project(name="P")) as store:
        task = await store.save(Task(name="T", instruction="Do."), parent=store.project)
        run = TaskRun(input=text.replace("\0", ""), output=TaskOutput(output="other"))
        await store.save(run, parent=task)
        page = await store.page_of_runs(task, RunQuery(text=text))
        assert page.total <= 1


@pytest.mark.parametrize("limit", [0, -1])
async def test_a_page_of_nothing_is_refused(tmp_path: Path, limit: int) -> None:
    async with await ProjectStore.create(tmp_path / "p", Project(name="P")) as store:
        task = await store.save(Task(name="T", instruction="Do."), parent=store.project)
        with pytest.raises(InvalidQuery, match="at least 1 record"):
            await store.page_of_runs(task, RunQuery(), limit=limit)
        with pytest.raises(InvalidQuery, match="at least 1 record"):
            await store.page_of(Task, limit=limit)
