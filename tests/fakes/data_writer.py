"""A model that writes data, and a project whose task it writes for."""

import json
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from hashlib import blake2b
from pathlib import Path

from pydantic import JsonValue

from kiln_mcp.llm import Engine, EngineSettings, ModelRequest
from kiln_mcp.settings import Settings
from kiln_mcp.synthesis.answers import DataPlanReport, GeneratedData
from kiln_mcp.synthesis.generation_service import generate_data
from kiln_mcp.workbench.workspace import KnownProjects, Workspace
from scripted_model import ScriptedModel
from storage import Project, ProjectStore, Spec, Task, TaskRun

MODEL = "scripted"
SLOT = re.compile(r"(?:^|<slots>)(\d+)\. (.*?)(?:</slots>)?$", re.MULTILINE)


def new_text(*parts: object) -> str:
    """Return a text that says nothing that another one says."""
    digest = blake2b(repr(parts).encode(), digest_size=16).hexdigest()
    return " ".join(digest[start : start + 8] for start in range(0, 32, 8)) + "?"


def slots_in(request: ModelRequest) -> dict[int, str]:
    """Return the lines of the plan in a request for inputs, by their numbers."""
    text = request.messages[-1].content
    plan = text[text.index("<slots>") : text.index("</slots>") + 8]
    return {int(number): line for number, line in SLOT.findall(plan)}


def users_for(request: ModelRequest, number: int) -> list[dict[str, object]]:
    """Return a simulated user for each slot of a request, who gives up after two refusals."""
    return [
        {
            "slot": slot,
            "input": new_text(number, slot),
            "persona": f"Person {slot}.",
            "goal": f"Goal {slot}.",
            "gives_up": "After two refusals.",
        }
        for slot in slots_in(request)
    ]


def played_user(request: ModelRequest) -> int | None:
    """Return the slot of the user that a request plays; None if it plays nobody."""
    person = re.search(r"You play a person.*<persona>Person (\d+)\.", request.messages[0].content,
                       re.DOTALL)  # fmt: skip
    return int(person[1]) if person else None


class DataWriter:
    """Answers as a capable model: topics, personas, inputs, and answers to these.

    Attributes:
        requests: What it was asked; a test may clear it.
        answer_of: Gives the answer to an input; None for a new text each time.
    """

    def __init__(self, answer_of: Callable[[ModelRequest], str] | None = None) -> None:
        self.requests: list[ModelRequest] = []
        self.answer_of = answer_of
        self.count = 0

    def list_requests(self, name: str) -> list[ModelRequest]:
        """Return the requests for a list of this name."""
        return [request for request in self.requests if f'"{name}"' in _schema(request)]

    def __call__(self, request: ModelRequest) -> str:
        self.requests.append(request)
        self.count += 1
        number, schema = self.count, _schema(request)
        if '"topics"' in schema:
            return json.dumps({"topics": [f"topic {number}a", f"topic {number}b", "a/c"]})
        if '"personas"' in schema:
            return json.dumps({"personas": ["a hurried driver", "a retired teacher", "a child"]})
        if '"inputs"' in schema:
            return json.dumps({"inputs": self.inputs(request, number)})
        return self.answer_of(request) if self.answer_of else f"answer {number}"

    def inputs(self, request: ModelRequest, number: int) -> list[dict[str, object]]:
        """Return an input for each slot of a request."""
        return [{"slot": slot, "input": new_text(number, slot)} for slot in slots_in(request)]


def _schema(request: ModelRequest) -> str:
    return json.dumps(dict(request.schema or {}))


@asynccontextmanager
async def data_project(
    tmp_path: Path,
    writer: Callable[[ModelRequest], str],
    *,
    input_schema: str | None = None,
    output_schema: str | None = None,
    turn_mode: str = "single_turn",
    models: tuple[str, ...] = (),
) -> AsyncGenerator[tuple[Workspace, str]]:
    """Open a project with one task and the spec `Polite`, whose models are all the writer."""
    engine_settings = EngineSettings(default_model=MODEL, environment={})
    settings = Settings(home=tmp_path / "home", engine=engine_settings, started_in=tmp_path)
    store = await ProjectStore.create(tmp_path / "p", Project(name="Support"))
    task = Task.model_validate(
        {
            "name": "Reply",
            "instruction": "Answer the customer.",
            "input_json_schema": input_schema,
            "output_json_schema": output_schema,
            "turn_mode": turn_mode,
        }
    )
    task = await store.save(task, parent=store.project)
    spec = Spec.model_validate(
        {
            "name": "Polite",
            "definition": "The reply greets the customer. The reply names no price.",
            "eval_id": None,
            "properties": {
                "spec_type": "desired_behaviour",
                "desired_behaviour_description": "The reply greets the customer. The reply names "
                "no price.",
            },
        }
    )
    await store.save(spec, parent=task)
    await store.close()
    fakes = {name: ScriptedModel(writer) for name in (MODEL, *models)}
    async with Engine(engine_settings, fakes) as engine:
        known = KnownProjects(settings.home / "projects.json")
        try:
            yield Workspace(settings=settings, engine=engine, projects=known), str(tmp_path / "p")
        finally:
            await known.close()


async def planned(workspace: Workspace, project: str, plan: JsonValue) -> DataPlanReport:
    """Make, edit or look at a plan, or carry it out up to its drafts."""
    report = await generate_data(workspace, project, plan=plan)
    assert isinstance(report, DataPlanReport)
    return report


async def carried_out(workspace: Workspace, project: str, plan: JsonValue) -> GeneratedData:
    """Carry out the last step of a plan."""
    made = await generate_data(workspace, project, plan=plan)
    assert isinstance(made, GeneratedData)
    return made


async def runs_in(workspace: Workspace, project: str) -> list[TaskRun]:
    """Return all runs of the project's task."""
    store = await workspace.open_project(project)
    (task,) = await store.children(store.project, Task)
    return await store.children(task, TaskRun)
