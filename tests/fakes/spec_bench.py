"""A task of a shoe shop with real outputs, and a model that drafts, questions and words answers."""

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import JsonValue

from kiln_mcp.llm import Engine, EngineSettings, ModelRequest
from kiln_mcp.settings import Settings
from kiln_mcp.specs.answers import SpecSessionReport
from kiln_mcp.specs.service import build_spec
from kiln_mcp.workbench.workspace import KnownProjects, Workspace
from scripted_model import ScriptedModel
from storage import DataSource, Project, ProjectStore, Spec, Task, TaskOutput, TaskRun

INSTRUCTION: Final = "Answer the customer of a shoe shop."
SOURCE: Final = DataSource(
    type="synthetic",
    properties={"model_name": "m", "model_provider": "p", "adapter_name": "a"},
)
Script = Callable[[ModelRequest], str]


def clause(text: str, *, assumed: bool = False) -> dict[str, JsonValue]:
    return {"text": text, "is_assumed": assumed}


def drafted(kind: str, name: str, *clauses: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Return a spec as the model drafts it."""
    examples: list[JsonValue] = [
        {"input": "Where is it?", "output": "Guess.", "verdict": "fail", "reason": "rude"},
        {"input": "Where is it?", "output": "It left.", "verdict": "pass", "reason": "says so"},
    ]
    return {
        "kind": kind,
        "name": name,
        "priority": 0,
        "tags": ["support bot"],
        "clauses": [*clauses],
        "examples": examples,
        "assumptions": ["English only."],
    }


DRAFTS: Final[dict[str, JsonValue]] = {
    "specs": [
        drafted("tone", "Polite: replies", clause("The reply must hold no insult.")),
        drafted(
            "issue",
            "Promises",
            clause("The reply promises a refund."),
            clause("It names a day of arrival.", assumed=True),
        ),
    ],
    "omissions": ["Nothing on length."],
}
FINDINGS: Final[dict[str, JsonValue]] = {
    "findings": [
        {
            "clause": "c1",
            "words": "insult",
            "kind": "underspecified",
            "why": "Readers draw the line elsewhere.",
            "mend": "The reply must hold no swear word.",
            "confidence": 0.9,
        }
    ]
}
CHECKS: Final[dict[str, JsonValue]] = {
    "checks": [{"number": 1, "reason": "it holds", "kind": "underspecified", "holds": True}]
}
QUESTIONS: Final[dict[str, JsonValue]] = {
    "questions": [
        {
            "clause": "c1",
            "output": "o1",
            "question": "Is 'dear customer' an insult to somebody who gave a name?",
            "options": [
                {"text": "No", "clause": "It may say 'dear customer'."},
                {"text": "Yes", "clause": "It must use a name that the customer gave."},
            ],
        },
        {"clause": "", "output": "o99", "question": "May it joke?", "options": []},
    ]
}
EDITS: Final[dict[str, JsonValue]] = {
    "edits": [
        {"clause": "", "text": "It may joke once.", "reason": "said so", "question": "q3"},
    ],
    "unused_answers": [],
}


ANSWERS: Final = (
    ("specs", DRAFTS),
    ("findings", FINDINGS),
    ("checks", CHECKS),
    ("questions", QUESTIONS),
    ("edits", EDITS),
)


def assistant(request: ModelRequest) -> str:
    """Answer as a careful model would, by what is asked."""
    schema = json.dumps(request.schema)
    for key, answer in ANSWERS:
        if f'"{key}"' in schema and f'"{key}": {{"items"' in schema:
            return json.dumps(answer)
    return json.dumps({"specs": []})


@dataclass(frozen=True, slots=True)
class SpecBench:
    """The project and a person's workspace.

    Attributes:
        folder: The project's folder.
        workspace: The workspace, as a door makes it.
        model: The scripted model.
    """

    folder: Path
    workspace: Workspace
    model: ScriptedModel

    @property
    def project(self) -> str:
        return str(self.folder)

    async def call(self, wish: str | None = None, **arguments: Any) -> SpecSessionReport:
        """Call `build_spec` as Python does."""
        report = await build_spec(self.workspace, self.project, wish, **arguments)
        assert isinstance(report, SpecSessionReport)
        return report

    async def store(self) -> ProjectStore:
        return await self.workspace.open_project(self.project)

    async def task(self) -> Task:
        store = await self.store()
        (task,) = await store.children(store.project, Task)
        return task

    async def specs(self) -> list[Spec]:
        store = await self.store()
        return await store.children(await self.task(), Spec)

    async def runs(self) -> list[TaskRun]:
        store = await self.store()
        return await store.children(await self.task(), TaskRun)


@asynccontextmanager
async def open_spec_bench(
    tmp_path: Path,
    script: Script = assistant,
    *,
    outputs: int = 6,
    default_model: str | None = None,
) -> AsyncGenerator[SpecBench]:
    """Make the project, if it is not there, and open a workspace of it."""
    folder = tmp_path / "p"
    if not folder.exists():
        store = await ProjectStore.create(folder, Project(name="Shop"))
        task = await store.save(Task(name="Reply", instruction=INSTRUCTION), parent=store.project)
        async with store.transaction() as change:
            for number in range(outputs):
                text = f"Dear customer, order {number} arrives tomorrow. {'Thanks. ' * number}"
                run = TaskRun(
                    input=f"Where is order {number}?",
                    output=TaskOutput(output=text.strip(), source=SOURCE),
                )
                change.save(run, parent=task)
        await store.close()
    engine_settings = (
        EngineSettings(default_model=default_model) if default_model else EngineSettings()
    )
    settings = Settings(home=tmp_path / "home", engine=engine_settings)
    model = ScriptedModel(script)
    async with Engine(settings.engine, {"scripted": model}) as engine:
        projects = KnownProjects(settings.home / "projects.json")
        try:
            yield SpecBench(folder, Workspace(settings, engine, projects), model)
        finally:
            await projects.close()
