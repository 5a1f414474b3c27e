import json
import re
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import JsonValue

from data_writer import new_text
from kiln_mcp.approvals.errors import MissingApproval
from kiln_mcp.llm import Engine, EngineSettings, ModelRequest
from kiln_mcp.llm.errors import UnknownModel
from kiln_mcp.settings import Settings
from kiln_mcp.synthesis.answers import GeneratedData
from kiln_mcp.synthesis.generation_service import generate_data
from kiln_mcp.workbench.workspace import KnownProjects, Workspace
from scripted_model import ScriptedModel
from storage import Project, ProjectStore, Task, TaskRun, TaskRunConfig
from storage.errors import RecordNotFound, Refusal

QUESTIONS = (
    "Where is my parcel from last week?",
    "Can I return a coat that I wore once?",
    "Do you ship books to Iceland?",
    "My gift card says it is empty.",
    "How do I change my password?",
)


class Writer:
    """Answers as a capable model would: topics, inputs and outputs, each different."""

    def __init__(self, *, repeat_inputs: bool = False) -> None:
        self.requests: list[ModelRequest] = []
        self._repeat = repeat_inputs

    def __call__(self, request: ModelRequest) -> str:
        self.requests.append(request)
        asked = json.dumps(dict(request.schema or {}))
        number = len(self.requests)
        if '"topics"' in asked:
            return json.dumps({"topics": ["refunds", "delivery", "refunds"]})
        if '"inputs"' in asked:
            slots = re.findall(r"(?:^|<slots>)(\d+)\. ", request.messages[-1].content, re.MULTILINE)
            same = "the same words again"
            return json.dumps(
                {
                    "inputs": [
                        {
                            "slot": int(slot),
                            "input": same if self._repeat else new_text(number, slot),
                        }
                        for slot in slots
                    ]
                }
            )
        if request.schema is not None and "Iceland" in request.messages[1].content:
            return "no JSON"
        return json.dumps({"reply": number}) if request.schema else f"answer {number}"


@asynccontextmanager
async def support(
    tmp_path: Path,
    writer: Writer | None = None,
    *,
    schema: str | None = None,
    output: str | None = None,
    default: str = "embedded",
) -> AsyncGenerator[tuple[Workspace, str]]:
    model = "scripted" if writer else default
    engine_settings = EngineSettings(default_model=model, environment={})
    settings = Settings(home=tmp_path / "home", engine=engine_settings)
    store = await ProjectStore.create(tmp_path / "p", Project(name="Support"))
    task = Task(
        name="Reply",
        instruction="Answer the customer.",
        input_json_schema=schema,
        output_json_schema=output,
    )
    await store.save(task, parent=store.project)
    await store.close()
    models = {"scripted": ScriptedModel(writer)} if writer else {}
    async with Engine(engine_settings, models) as engine:
        known = KnownProjects(settings.home / "projects.json")
        yield Workspace(settings=settings, engine=engine, projects=known), str(tmp_path / "p")
        await known.close()


async def runs_in(workspace: Workspace, project: str) -> list[TaskRun]:
    store = await workspace.open_project(project)
    (task,) = await store.children(store.project, Task)
    return await store.children(task, TaskRun)


async def generated(workspace: Workspace, project: str, **arguments: JsonValue) -> GeneratedData:
    result = await generate_data.invoke(workspace, {"project": project, **arguments})
    assert isinstance(result, GeneratedData)
    return result


async def test_a_capable_model_covers_topics_and_difficulties(tmp_path: Path) -> None:
    async with support(tmp_path, Writer()) as (workspace, project):
        made = await generated(workspace, project, count=12)
        assert (made.items, made.inputs_by, made.outputs_by) == (12, "scripted", "Starting prompt")
        assert {row.outcome: row.items for row in made.by_outcome} == {
            "pass": 5,
            "fail": 5,
            "borderline": 2,
        }
        assert {row.topic: row.items for row in made.by_topic} == {"refunds": 6, "delivery": 6}
        rows = [*made.by_outcome, *made.by_topic]
        assert all(row.items == row.quota for row in rows)
        runs = await runs_in(workspace, project)
        assert len({run.input for run in runs}) == 12
        sources = [run.input_source for run in runs if run.input_source]
        assert Counter(source.properties["topic_path"] for source in sources) == {
            "refunds": 6,
            "delivery": 6,
        }
        assert all({"synthetic", made.session} == set(run.tags) for run in runs)
        store = await workspace.open_project(project)
        (task,) = await store.children(store.project, Task)
        (config,) = await store.children(task, TaskRunConfig)
        assert {run.output.source.run_config_id for run in runs if run.output.source} == {config.id}


async def test_a_job_that_is_killed_after_it_has_saved_adds_nothing_when_it_begins_anew(
    tmp_path: Path,
) -> None:
    writer = Writer()
    async with support(tmp_path, writer) as (workspace, project):
        attempt = replace(workspace, job="4711")
        first = await generated(attempt, project, count=4)
        asked, runs = len(writer.requests), await runs_in(workspace, project)
        again = await generated(attempt, project, count=4)
        assert again == first
        assert await runs_in(workspace, project) == runs
        assert len(writer.requests) == asked
        other = await generated(replace(workspace, job="4712"), project, inputs=["Why?"])
        assert (other.items, other.session != first.session) == (1, True)


async def test_too_like_inputs_are_dropped_and_the_shortfall_is_shown(tmp_path: Path) -> None:
    async with support(tmp_path, Writer(repeat_inputs=True)) as (workspace, project):
        made = await generated(workspace, project, count=4, topics=["refunds"])
        assert made.items == 1
        assert made.rejected_inputs > 3
        assert sum(row.quota - row.items for row in made.by_outcome) == 3
        assert "no usable input" in made.by_outcome[0].why


async def test_the_assistants_inputs_only_get_outputs(tmp_path: Path) -> None:
    async with support(tmp_path, Writer()) as (workspace, project):
        given: list[JsonValue] = [*QUESTIONS, QUESTIONS[0]]
        made = await generated(workspace, project, inputs=given)
        assert (made.items, made.rejected_inputs, made.inputs_by) == (5, 1, "you")
        runs = await runs_in(workspace, project)
        assert {run.input for run in runs} == set(QUESTIONS)
        with pytest.raises(Refusal, match="No usable item was made"):
            await generate_data(workspace, project, inputs=given)


async def test_json_inputs_must_fit_the_tasks_schema(tmp_path: Path) -> None:
    schema = json.dumps({"type": "object", "properties": {"q": {"type": "string"}},
                         "required": ["q"]})  # fmt: skip
    async with support(tmp_path, Writer(), schema=schema) as (workspace, project):
        made = await generated(workspace, project, inputs=[{"q": "why"}])
        assert made.items == 1
        assert (await runs_in(workspace, project))[0].input == '{"q": "why"}'
        with pytest.raises(Refusal, match="Item 2"):
            await generate_data(workspace, project, inputs=[{"q": "how"}, {"a": 1}])


async def test_an_input_whose_output_fails_is_left_out_and_named(tmp_path: Path) -> None:
    output = json.dumps({"type": "object", "properties": {"reply": {"type": "integer"}},
                         "required": ["reply"]})  # fmt: skip
    async with support(tmp_path, Writer(), output=output) as (workspace, project):
        made = await generated(workspace, project, inputs=list(QUESTIONS))
        assert (made.items, made.failed) == (4, 1)
        assert "no answer that fits the schema" in made.failures[0]
        assert not any("Iceland" in run.input for run in await runs_in(workspace, project))
        with pytest.raises(Refusal, match="first failure: The model scripted"):
            await generate_data(workspace, project, inputs=["Iceland again?"])


async def test_a_named_run_config_that_is_not_there_is_refused(tmp_path: Path) -> None:
    async with support(tmp_path, Writer()) as (workspace, project):
        with pytest.raises(RecordNotFound):
            await generate_data(workspace, project, inputs=["x"], run_config="Best")


async def test_the_embedded_model_needs_examples_to_go_on_with(tmp_path: Path) -> None:
    async with support(tmp_path) as (workspace, project):
        with pytest.raises(Refusal, match="there are 2"):
            await generate_data(
                workspace,
                project,
                examples=["Where is it?", "I want it back."],
            )


async def test_a_run_config_that_cannot_answer_is_named_beside_a_model_that_can(
    tmp_path: Path,
) -> None:
    async with support(tmp_path, default="openai/gpt-4.1") as (workspace, project):
        with pytest.raises(Refusal, match=r"answered by the run config .*create_run_config"):
            await generate_data(workspace, project, count=2, model="host")


async def test_generation_that_may_cost_money_is_planned_first(tmp_path: Path) -> None:
    async with support(tmp_path, Writer()) as (workspace, project):
        with pytest.raises(MissingApproval, match="Generate 12 items"):
            await generate_data(
                workspace,
                project,
                count=12,
                model="fireworks_ai/some-model",
            )
        assert await runs_in(workspace, project) == []


async def test_a_misspelt_model_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    async with support(tmp_path, Writer()) as (workspace, project):
        with pytest.raises(UnknownModel, match=r"Close names: .*openai/gpt-4\.1"):
            await generate_data(workspace, project, model="openai/gpt-4.1-miny")


@pytest.mark.embedded
async def test_the_embedded_model_goes_on_with_a_list_of_examples(tmp_path: Path) -> None:
    # A small model writes until its answer is full, unless a schema ends it.
    short = {"type": "object", "properties": {"urgent": {"type": "boolean"}}}
    output = json.dumps({**short, "required": ["urgent"], "additionalProperties": False})
    async with support(tmp_path, output=output) as (workspace, project):
        made = await generated(workspace, project, count=6, examples=list(QUESTIONS))
        runs = await runs_in(workspace, project)
        assert made.items == len(runs) >= 4
        assert not {run.input for run in runs} & set(QUESTIONS)
        assert [row.outcome for row in made.by_outcome] == ["any"]
