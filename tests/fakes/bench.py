"""A bench for tests of measuring: one project with one task, and a model that a test writes."""

import json
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import JsonValue

from kiln_mcp.approvals.approval import Door, ProposedCall
from kiln_mcp.approvals.decision import Person, Reply
from kiln_mcp.evals import service as evals
from kiln_mcp.evals.answers import EvalRunReport, EvaluatorCreated
from kiln_mcp.evals.results.answers import Comparison
from kiln_mcp.evals.results.service import show_results
from kiln_mcp.judging import service as judging
from kiln_mcp.judging.answers import AgreementReport, LabellingBatch, SavedLabels
from kiln_mcp.llm import Engine, EngineSettings, ModelAnswer, ModelRequest, ServerSettings
from kiln_mcp.run_configs import service as run_configs
from kiln_mcp.settings import Settings
from kiln_mcp.workbench.workspace import KnownProjects, Workspace
from scripted_model import ScriptedModel
from storage import DataSource, Project, ProjectStore, Task, TaskOutput, TaskRun

Answer = Callable[[ModelRequest], str | ModelAnswer]


class Agrees:
    """A person who agrees to everything."""

    door = Door.TERMINAL

    async def ask(self, call: ProposedCall) -> Reply:
        return Reply.ACCEPT


@dataclass
class CountedModel:
    """Answers by a function of the request; keeps the requests."""

    answer: Answer
    asked: list[ModelRequest] = field(default_factory=list[ModelRequest])

    def __call__(self, request: ModelRequest) -> str | ModelAnswer:
        self.asked.append(request)
        return self.answer(request)


@dataclass(frozen=True)
class BenchSetup:
    """What a module's bench is made of.

    Attributes:
        task: The task.
        answer: The model's answers.
        person: Who approves; None for nobody.
        servers: Configured model servers.
        environment: The variables that doors hand over.
    """

    task: Task
    answer: Answer
    person: Person | None = None
    servers: tuple[ServerSettings, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass
class Bench:
    """A workspace with a project, its task, and the model of all roles."""

    workspace: Workspace
    store: ProjectStore
    task: Task
    model: CountedModel

    @property
    def folder(self) -> str:
        return str(self.store.folder)

    def arguments(self, **arguments: object) -> dict[str, JsonValue]:
        """Return the arguments of a call about the eval "Right", as they arrive at a door."""
        call: dict[str, JsonValue] = json.loads(
            json.dumps({"project": self.folder, "eval": "Right", **arguments})
        )
        return call

    async def add_items(self, right_outputs: Mapping[str, str]) -> None:
        """Add items to the eval "Right", with the outputs that a person gave for their inputs."""
        person = DataSource(type="human", properties={"created_by": "ann"})
        async with self.store.transaction() as change:
            for task_input, right_output in right_outputs.items():
                output = TaskOutput(output=right_output, source=person)
                run = TaskRun(input=task_input, output=output, tags=("eval_right",))
                change.save(run, parent=self.task)

    async def generated_runs(self) -> list[TaskRun]:
        """Return the runs that evals made."""
        runs = await self.store.children(self.task, TaskRun)
        return [run for run in runs if run.eval_source]

    async def config(self, name: str, prompt: str, model: str | None = None) -> str:
        arguments: dict[str, JsonValue] = {"name": name, "prompt": prompt, "model": model}
        made = await run_configs.create_run_config.invoke(
            self.workspace, {"project": self.folder, **arguments}
        )
        return str(made.model_dump()["id"])

    async def config_of(self, task: str, name: str) -> None:
        """Make a run config of another task."""
        arguments: dict[str, JsonValue] = {
            "project": self.folder,
            "task": task,
            "name": name,
            "prompt": name,
        }
        await run_configs.create_run_config.invoke(self.workspace, arguments)

    async def evaluator(self, **evaluator: object) -> EvaluatorCreated:
        return await self.evaluator_of("Right", evaluator, None)

    async def evaluator_of(
        self, eval: str, evaluator: Mapping[str, object], new_eval: Mapping[str, object] | None
    ) -> EvaluatorCreated:
        arguments = self.arguments(eval=eval, **evaluator_arguments(evaluator), **(new_eval or {}))
        made = await evals.create_evaluator.invoke(self.workspace, arguments)
        assert isinstance(made, EvaluatorCreated)
        return made

    async def run(self, **arguments: object) -> EvalRunReport:
        report = await evals.run_eval.invoke(self.workspace, self.arguments(**arguments))
        assert isinstance(report, EvalRunReport)
        return report

    async def compare(self, first: str, second: str) -> Comparison:
        return await compared(self.workspace, self.folder, first, second)

    async def batch(
        self, count: int = 10, seed: int = 0, purpose: str = "certificate", **arguments: object
    ) -> LabellingBatch:
        """Draw items of the eval "Right", unless other evals are named."""
        request = {"count": count, "seed": seed, "purpose": purpose, **arguments}
        call = self.arguments(**request)
        batch = await judging.draw_items_to_label.invoke(self.workspace, call)
        assert isinstance(batch, LabellingBatch)
        return batch

    async def label(self, labels: Mapping[str, str], rater: str = "ann") -> SavedLabels:
        entries = [{"item": item, "label": label} for item, label in labels.items()]
        return await self.save_labels(entries, rater)

    async def save_labels(
        self, entries: Sequence[Mapping[str, str]], rater: str = "ann", evals: Sequence[str] = ()
    ) -> SavedLabels:
        """Save labels of the eval "Right", unless other evals are named."""
        call = self.arguments(labels=entries, rater=rater, eval=[*evals] or "Right")
        made = await judging.label_items.invoke(self.workspace, call)
        assert isinstance(made, SavedLabels)
        return made

    async def measure(self, **arguments: object) -> AgreementReport:
        call = self.arguments(**arguments)
        report = await judging.check_judge.invoke(self.workspace, call)
        assert isinstance(report, AgreementReport)
        return report


def evaluator_arguments(definition: Mapping[str, object]) -> dict[str, object]:
    """Return the arguments of create_evaluator that make an evaluator with some settings."""
    own = set(evals.create_evaluator.arguments.model_fields)
    settings = {name: value for name, value in definition.items() if name not in own}
    arguments = {name: value for name, value in definition.items() if name in own}
    return {**arguments, "settings": settings} if settings else arguments


async def compared(workspace: Workspace, folder: str, first: str, second: str) -> Comparison:
    """Return the comparison of two run configs by the eval "Right"."""
    answer = await show_results(workspace, folder, "Right", compare=[first, second])
    assert isinstance(answer, Comparison)
    return answer


@asynccontextmanager
async def open_bench(folder: Path, setup: BenchSetup) -> AsyncGenerator[Bench]:
    """Open a bench below an empty folder."""
    model = CountedModel(setup.answer)
    settings = Settings(
        home=folder / "home",
        engine=EngineSettings(
            default_model="scripted",
            environment=setup.environment,
            servers=setup.servers,
            first_wait_s=0.01,
        ),
    )
    async with Engine(settings.engine, models={"scripted": ScriptedModel(model)}) as engine:
        projects = KnownProjects(settings.home / "projects.json")
        workspace = Workspace(
            settings=settings, engine=engine, projects=projects, person=setup.person
        )
        created = await ProjectStore.create(folder / "project", Project(name="Bench"))
        task = await created.save(setup.task, parent=created.project)
        await created.close()
        store = await workspace.open_project(str(folder / "project"))
        yield Bench(workspace, store, task, model)
        await projects.close()
