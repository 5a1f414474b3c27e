"""A person looks at passages and traces, and changes or drops them, before a model sees them."""

from pathlib import Path

import pytest
from pydantic import JsonValue

from data_writer import DataWriter, carried_out, data_project, planned, runs_in, slots_in
from kiln_mcp.errors import InvalidArguments
from kiln_mcp.llm import ModelRequest
from kiln_mcp.synthesis.plan_sources import spread
from kiln_mcp.workbench.workspace import Workspace
from storage import DataSource, Task, TaskOutput, TaskRun
from storage.errors import Refusal

TRACES = (
    "Good day, Quentin wrote that parcel one is lost.",
    "The cat of Émile sat on parcel two; quentin knows.",
    "東京の田中に荷物が届きません。",
)


async def with_traces(workspace: Workspace, project: str) -> None:
    store = await workspace.open_project(project)
    (task,) = await store.children(store.project, Task)
    source = DataSource(
        type="synthetic",
        properties={"model_name": "m", "model_provider": "p", "adapter_name": "import"},
    )
    for text in TRACES:
        await store.save(TaskRun(input=text, output=TaskOutput(output="We look.", source=source)),
                         parent=task)  # fmt: skip


async def test_a_name_that_was_missed_is_hidden_everywhere_before_it_is_sent(
    tmp_path: Path,
) -> None:
    writer = DataWriter()
    async with data_project(tmp_path, writer) as (workspace, project):
        await with_traces(workspace, project)
        settings: JsonValue = {"count": 3, "topics": ["a"], "traces": 3, "examples": ["Where?"]}
        plan = await planned(workspace, project, settings)
        assert any("Quentin" in text for text in plan.sources)
        assert '"hide": ["a name"]' in plan.next[1].reason
        edit: JsonValue = {"id": plan.id, "hide": ["Quentin", "Émile", "田中"]}
        plan = await planned(workspace, project, edit)
        shown = " ".join(plan.sources)
        assert shown.count("[name 1]") == 2
        await carried_out(workspace, project, plan.id)
        (request,) = writer.list_requests("inputs")
        sent = " ".join([shown, *(message.content for message in request.messages)])
        for name in ("uentin", "Émile", "田中"):
            assert name not in sent


async def test_a_hidden_word_leaves_longer_words_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "guide.md").write_text("Ann and Anna Lee met Ann Lee at the old mill. " * 3)
    async with data_project(tmp_path, DataWriter()) as (workspace, project):
        plan = await planned(workspace, project, {"topics": ["a"], "documents": ["guide.md"]})
        edit: JsonValue = {"id": plan.id, "hide": ["Ann", "Ann Lee"]}
        plan = await planned(workspace, project, edit)
        assert plan.sources[0].startswith("1. guide.md 1: [name 2] and Anna Lee met [name 1] at")


async def test_dropped_sources_are_used_by_no_input_and_new_texts_are(tmp_path: Path) -> None:
    writer = DataWriter()
    async with data_project(tmp_path, writer) as (workspace, project):
        await with_traces(workspace, project)
        settings: JsonValue = {"count": 6, "topics": ["a"], "traces": 3, "examples": ["Where?"]}
        plan = await planned(workspace, project, settings)
        kept = [text for text in plan.sources if "two" not in text]
        dropped = next(n for n, text in enumerate(plan.sources, 1) if "two" in text)
        edited = next(n for n, text in enumerate(plan.sources, 1) if "one" in text)
        edit: JsonValue = {
            "id": plan.id,
            "drop_sources": [dropped],
            "source_texts": {str(edited): "A parcel is lost."},
        }
        plan = await planned(workspace, project, edit)
        assert len(plan.sources) == len(kept) == 2
        await carried_out(workspace, project, plan.id)
        (request,) = writer.list_requests("inputs")
        assert request.messages[-1].content.count("material: A parcel is lost.") == 3
        assert "parcel two" not in request.messages[-1].content


async def test_a_plan_that_was_carried_out_begins_again_when_its_sources_change(
    tmp_path: Path,
) -> None:
    async with data_project(tmp_path, DataWriter()) as (workspace, project):
        await with_traces(workspace, project)
        settings: JsonValue = {"count": 2, "topics": ["a"], "traces": 3, "examples": ["Where?"]}
        plan = await planned(workspace, project, settings)
        await carried_out(workspace, project, plan.id)
        plan = await planned(workspace, project, {"id": plan.id, "drop_sources": [1]})
        assert plan.stage == "plan"
        assert (await carried_out(workspace, project, plan.id)).items == 2
        assert len(await runs_in(workspace, project)) == 3 + 4


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        ({"drop_sources": [4]}, "has no sources 4. It has 3"),
        ({"source_texts": {"0": "x"}}, "has no sources 0"),
        ({"drop_sources": [1, 2, 3]}, "No source .* is left"),
        ({"hide": ["Nobody"]}, "do not say Nobody"),
        ({"hide": ["parce"]}, "do not say parce"),
    ],
)
async def test_an_edit_of_sources_that_cannot_be_says_why(
    tmp_path: Path, edit: dict[str, JsonValue], reason: str
) -> None:
    async with data_project(tmp_path, DataWriter()) as (workspace, project):
        await with_traces(workspace, project)
        settings: JsonValue = {"topics": ["a"], "traces": 3, "examples": ["Where?"]}
        plan = await planned(workspace, project, settings)
        with pytest.raises(Refusal, match=reason):
            await planned(workspace, project, {"id": plan.id, **edit})
        with pytest.raises(InvalidArguments):
            await planned(workspace, project, {"id": plan.id, "hide": [""]})


async def test_a_plan_without_sources_has_none_to_edit(tmp_path: Path) -> None:
    async with data_project(tmp_path, DataWriter()) as (workspace, project):
        plan = await planned(workspace, project, {"topics": ["a"], "count": 2})
        with pytest.raises(Refusal, match="none: give `documents` or `traces` first"):
            await planned(workspace, project, {"id": plan.id, "drop_sources": [1]})


def chapters(count: int) -> str:
    paragraph = "The lock keeper wrote this down in chapter {}. " + "It rained on the canal. " * 60
    return "\n\n".join(paragraph.format(number) for number in range(count))


class Quoter(DataWriter):
    """Asks about passages and quotes their first words."""

    def inputs(self, request: ModelRequest, number: int) -> list[dict[str, object]]:
        rows = super().inputs(request, number)
        return [{**row, "answer": "Rain.", "quotation": "It rained"} for row in rows]


async def test_of_many_passages_some_of_all_parts_are_used_and_it_is_said(tmp_path: Path) -> None:
    (tmp_path / "book.md").write_text(chapters(900))
    async with data_project(tmp_path, Quoter()) as (workspace, project):
        settings: dict[str, JsonValue] = {"topics": ["a"], "documents": ["book.md"], "count": 10}
        plan = await planned(workspace, project, settings)
        numbers = [int(text.split("chapter ")[1].split(".")[0]) for text in plan.sources]
        assert len(numbers) == 400
        assert numbers == sorted(set(numbers))
        assert all(any(begin <= n < begin + 9 for n in numbers) for begin in range(0, 891, 9))
        sentence = (
            "Inputs come from 10 of 900 passages. The plan holds 400, drawn from all of them by "
            "its seed. A count of 400 uses each that it holds."
        )
        assert sentence in plan.warnings
        made = await carried_out(workspace, project, plan.id)
        assert (made.items, sentence in made.warnings) == (10, True)
        other = await planned(workspace, project, {**settings, "seed": 1})
        assert other.sources != plan.sources


async def test_a_plan_that_uses_every_passage_says_nothing_of_it(tmp_path: Path) -> None:
    (tmp_path / "book.md").write_text(chapters(4))
    async with data_project(tmp_path, Quoter()) as (workspace, project):
        settings: JsonValue = {"topics": ["a"], "documents": ["book.md"], "count": 4}
        plan = await planned(workspace, project, settings)
        assert not any("Inputs come from" in text for text in plan.warnings)


@pytest.mark.parametrize(("size", "count"), [(0, 3), (2, 3), (3, 3), (19, 10), (1000, 7)])
def test_a_spread_takes_one_of_each_stretch(size: int, count: int) -> None:
    places = spread(range(size), count, seed=4)
    assert len(places) == min(size, count)
    if size > count:
        for number, place in enumerate(places):
            assert number * size // count <= place < (number + 1) * size // count
    assert places == spread(range(size), count, seed=4)


async def test_a_slot_of_a_trace_is_told_of_its_material_once(tmp_path: Path) -> None:
    writer = DataWriter()
    async with data_project(tmp_path, writer) as (workspace, project):
        await with_traces(workspace, project)
        settings: JsonValue = {"count": 3, "topics": ["a"], "traces": 3, "examples": ["Where?"]}
        plan = await planned(workspace, project, settings)
        await carried_out(workspace, project, plan.id)
        (request,) = writer.list_requests("inputs")
        assert len(slots_in(request)) == request.messages[-1].content.count("material: ") == 3
