import itertools
import json
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from pydantic import JsonValue

from embedding_model import SYNONYMS, write_embedding_model
from kiln_mcp.datasets.parts import part_tags
from kiln_mcp.llm import Engine, EngineSettings
from kiln_mcp.settings import Settings
from kiln_mcp.synthesis.answers import DataSplit
from kiln_mcp.synthesis.new_items import DataItem
from kiln_mcp.synthesis.report import FILE, DataReport
from kiln_mcp.synthesis.report_service import report_data
from kiln_mcp.synthesis.service import add_data, split_data
from kiln_mcp.workbench.workspace import KnownProjects, Workspace
from scripted_model import ScriptedModel
from storage import Project, ProjectStore, Task, TaskRun
from storage.errors import Refusal

SCHEMA = json.dumps(
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
)
CITIES = ["Rome", "Oslo", "Lima", "Bonn", "Cairo", "Delhi", "Quito", "Paris", "Accra", "Seoul"]


@asynccontextmanager
async def extraction(
    tmp_path: Path, script: ScriptedModel | None = None
) -> AsyncGenerator[tuple[Workspace, str]]:
    settings = Settings(home=tmp_path / "home", engine=EngineSettings())
    store = await ProjectStore.create(tmp_path / "p", Project(name="Travel"))
    task = Task(name="Extract", instruction="Extract the city.", output_json_schema=SCHEMA)
    await store.save(task, parent=store.project)
    await store.close()
    models = {"scripted": script} if script else {}
    async with Engine(settings.engine, models) as engine:
        known = KnownProjects(settings.home / "projects.json")
        yield Workspace(settings=settings, engine=engine, projects=known), str(tmp_path / "p")
        await known.close()


async def runs_in(workspace: Workspace, project: str) -> list[TaskRun]:
    store = await workspace.open_project(project)
    (task,) = await store.children(store.project, Task)
    return await store.children(task, TaskRun)


async def report_in(workspace: Workspace, project: str) -> DataReport:
    store = await workspace.open_project(project)
    (task,) = await store.children(store.project, Task)
    file = anyio.Path(store.side_folder(task) / FILE)
    return DataReport.model_validate_json(await file.read_text(encoding="utf-8"))


def trip(place: int, city: str, topic: str | None = None) -> DataItem:
    words = f"note{place} about{place * 7} leaving{place * 13} soon{place}"
    output: JsonValue = {"city": city}
    return DataItem(input=f"{words} for {city}", output=output, topic=topic)


TRIPS = [trip(place, CITIES[place % 10]) for place in range(100)]


async def dealt(
    workspace: Workspace,
    project: str,
    name: str = "s",
    *,
    seed: int = 0,
    val: int | None = None,
    golden: int | None = None,
    redeal: bool = False,
) -> DataSplit:
    split = await split_data(
        workspace, project, name, seed=seed, val=val, golden=golden, redeal=redeal
    )
    assert isinstance(split, DataSplit)
    return split


async def test_items_become_runs_with_a_source_and_are_never_added_twice(tmp_path: Path) -> None:
    async with extraction(tmp_path) as (workspace, project):
        added = await add_data(workspace, project, items=[*TRIPS[:5], TRIPS[0]], tags=["mine"])
        assert (added.new_items, added.already_there) == (5, 1)
        again = await add_data(workspace, project, items=TRIPS[:6], author="person")
        assert (again.new_items, again.already_there, again.items) == (1, 5, 6)
        runs = await runs_in(workspace, project)
        assert {run.input_source.type for run in runs if run.input_source} == {"synthetic", "human"}
        assert all(json.loads(run.output.output)["city"] in CITIES for run in runs)
        assert sum({"mine", "synthetic"} <= set(run.tags) for run in runs) == 5


async def test_an_item_that_does_not_fit_the_schema_is_named_and_the_rest_goes_in(
    tmp_path: Path,
) -> None:
    wrong = DataItem(input="x", output={"town": "Rome"})
    async with extraction(tmp_path) as (workspace, project):
        added = await add_data(workspace, project, items=[*TRIPS[:2], wrong])
        (reason,) = added.bad_rows
        assert reason.startswith("item 3: its output does not fit the task's schema: 'city'")
        assert len(await runs_in(workspace, project)) == 2


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("items.csv", 'input,output,topic,tags\nTo Rome,"{""city"": ""Rome""}",air,"a, b"\n'),
        ("items.jsonl", '{"input": "To Rome", "output": {"city": "Rome"}, "topic": "air", '
                        '"tags": ["a", "b"]}\n\n'),
        ("items.json", '[{"input": "To Rome", "output": {"city": "Rome"}, "topic": "air", '
                       '"tags": ["a", "b"]}]'),
    ],
)  # fmt: skip
async def test_a_file_gives_the_same_items_in_each_format(
    tmp_path: Path, name: str, content: str
) -> None:
    await anyio.Path(tmp_path / name).write_text(content, encoding="utf-8")
    async with extraction(tmp_path) as (workspace, project):
        await add_data(workspace, project, file=str(tmp_path / name))
        (run,) = await runs_in(workspace, project)
        assert (run.input, run.output.output, run.tags) == (
            "To Rome",
            '{"city": "Rome"}',
            ("a", "b"),
        )
        assert run.input_source is not None
        assert run.input_source.properties == {"file_name": name, "topic_path": "air"}


async def test_a_hundred_items_are_dealt_40_25_25_10_and_the_seed_repeats_it(
    tmp_path: Path,
) -> None:
    async with extraction(tmp_path) as (workspace, project):
        await add_data(workspace, project, items=TRIPS)
        split = await dealt(workspace, project, "Right City", seed=3)
        assert [(part.part, part.items) for part in split.parts] == [
            ("train", 40), ("val", 25), ("test", 25), ("golden", 10)
        ]  # fmt: skip
        assert split.parts[2].filter == "tag::test_right_city"
        first = {run.id: run.tags for run in await runs_in(workspace, project)}
        again = await dealt(workspace, project, "Right City", seed=3, redeal=True)
        assert again.newly_dealt == 100
        assert {run.id: run.tags for run in await runs_in(workspace, project)} == first
        await split_data(workspace, project, "Right City", seed=4, redeal=True)
        report = await report_in(workspace, project)
        assert [(part.name, part.seed) for part in report.splits] == [
            ("right_city", 3), ("right_city", 4)
        ]  # fmt: skip
        assert report.tags["test_right_city"] == 25


async def test_topics_and_near_duplicates_stay_together_also_when_added_later(
    tmp_path: Path,
) -> None:
    def of_topic(topic: int, place: int) -> DataItem:
        return trip(topic * 50 + place, CITIES[topic], f"topic {topic}")

    async with extraction(tmp_path) as (workspace, project):
        items = [of_topic(topic, place) for topic in range(10) for place in range(4)]
        await add_data(workspace, project, items=items)
        await split_data(workspace, project, "s")
        await add_data(workspace, project, items=[of_topic(topic, 9) for topic in range(10)])
        later = await dealt(workspace, project, "s")
        assert later.newly_dealt == 10
        seen: Counter[tuple[str, str]] = Counter()
        for run in await runs_in(workspace, project):
            (part,) = [tag for tag in run.tags if tag.endswith("_s")]
            assert run.input_source is not None
            seen[str(run.input_source.properties["topic_path"]), part] += 1
        assert sorted(seen.values()) == [5] * 10
        with pytest.raises(Refusal, match="redeal=true"):
            await split_data(workspace, project, "s")


@pytest.mark.parametrize(
    ("shares", "sizes"),
    [
        ({"test": 1}, {"test": 20}),
        ({"train": 80, "test": 20}, {"train": 16, "test": 4}),
        ({"train": 0, "test": 100}, {"test": 20}),
        ({"val": 0, "golden": 0}, {"train": 12, "test": 8}),
    ],
)
async def test_parts_without_a_share_get_nothing(
    tmp_path: Path, shares: dict[str, int], sizes: dict[str, int]
) -> None:
    async with extraction(tmp_path) as (workspace, project):
        items = [trip(n, "Rome", f"topic {n}") for n in range(20)]
        await add_data(workspace, project, items=items)
        arguments: dict[str, JsonValue] = {"project": project, "name": "s", **shares}
        split = await split_data.invoke(workspace, arguments)
    assert isinstance(split, DataSplit)
    assert {part.part: part.items for part in split.parts} == sizes


async def test_an_uneven_or_small_split_is_warned_about(tmp_path: Path) -> None:
    async with extraction(tmp_path) as (workspace, project):
        await add_data(workspace, project, items=[trip(n, "Rome", "one") for n in range(8)])
        split = await dealt(workspace, project, "s", val=0, golden=0)
        assert "No test items" in split.warnings[0]
        assert "8 items are alike or of one topic" in split.warnings[1]


async def test_a_split_of_nothing_or_into_nothing_is_refused(tmp_path: Path) -> None:
    async with extraction(tmp_path) as (workspace, project):
        with pytest.raises(Refusal, match="add_data"):
            await split_data(workspace, project, "s")
        with pytest.raises(Refusal, match="all are 0"):
            await split_data(workspace, project, "s", train=0, val=0, test=0, golden=0)


async def test_a_split_keeps_what_means_the_same_together_by_an_embedding_model(
    tmp_path: Path,
) -> None:
    model = write_embedding_model(tmp_path / "embeddings")
    wishes = list(itertools.combinations(SYNONYMS, 2))
    texts = [" ".join(pair[place] for pair in wish) for wish in wishes for place in (0, 1)]
    async with extraction(tmp_path) as (workspace, project):
        await add_data(
            workspace,
            project,
            items=[DataItem(input=text, output={"city": "Rome"}) for text in texts],
        )
        by_letters = await dealt(workspace, project)
        settings = replace(workspace.settings, embeddings=model)
        by_meaning = await dealt(replace(workspace, settings=settings), project, "t")
        parts = {run.input: part_of(run, "t") for run in await runs_in(workspace, project)}
    assert by_letters.groups > len(wishes) > by_meaning.groups
    assert all(
        parts[first] == parts[second] for first, second in zip(texts[::2], texts[1::2], strict=True)
    )
    assert len(set(parts.values())) > 1


def part_of(run: TaskRun, split: str) -> str:
    """Return the tag of a run's part."""
    (tag,) = set(run.tags) & set(part_tags(split).values())
    return tag


async def test_a_report_on_part_of_the_items_compares_meanings_too(tmp_path: Path) -> None:
    model = write_embedding_model(tmp_path / "embeddings")
    wishes = list(itertools.combinations(SYNONYMS, 2))
    texts = [" ".join(pair[place] for pair in wish) for wish in wishes for place in (0, 1)]
    async with extraction(tmp_path) as (workspace, project):
        settings = replace(workspace.settings, embeddings=model)
        trained = [DataItem(input=text, output={"city": "Rome"}) for text in texts]
        await add_data(workspace, project, items=trained)
        await dealt(workspace, project)
        await add_data(workspace, project, items=[trip(1, "Oslo")])
        await report_data(workspace, project)
        by_letters = await report_in(workspace, project)
        await report_data(replace(workspace, settings=settings), project)
        by_meaning = await report_in(workspace, project)
    assert by_letters.leaks["s"].duplicate_pairs < by_meaning.leaks["s"].duplicate_pairs
