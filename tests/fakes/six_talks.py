"""The six conversations of the copilot, played by programs: what is said, and what is left."""

import json
import re
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bench import open_bench
from chat_programs import Body, Calls, ChatPrograms, Step, Worker, chat_programs
from data_writer import DataWriter, data_project
from judge_script import (
    NO_DIGITS,
    add_name_judge,
    add_names,
    judge_or_rewrite,
    names_setup,
    person,
)
from kiln_mcp.llm import ModelRequest
from search_bench import (
    PRICED_ENVIRONMENT,
    PRICED_WORKERS,
    by_demonstrations,
    open_search_bench,
    priced_search,
)
from spec_bench import assistant
from tuning_services import environment_of, serve

LAST_WORDS: Final = "That is all done."
COMPLAINT: Final = "Replies promise refunds, and some are rude."
JUDGES: Final = "tasks/*/evals/*/configs/*/eval_config.kiln"


Call = tuple[str, Mapping[str, object]]


def steps_of(calls: Sequence[Call]) -> list[Step]:
    """Return calls as the answers of the chat's model, one each."""
    return [[call] for call in calls]


@dataclass(frozen=True)
class WholeTalk:
    """One of the six conversations.

    Attributes:
        sentence: The person's first sentence.
        script: The calls of the chat's model; `LAST_WORDS` follow.
        check: Fails if the project is not as it should be at the end.
        workers: The other models, by their names on the server `paid`.
        environment: Further variables.
        servers: The prices of further servers with the same models, in US dollars a million.
    """

    sentence: str
    script: Sequence[Step]
    check: Callable[[], None]
    workers: Mapping[str, Worker] = field(default_factory=dict[str, Worker])
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    servers: Mapping[str, float] = field(default_factory=dict[str, float])

    @asynccontextmanager
    async def programs(self, folder: Path) -> AsyncGenerator[ChatPrograms]:
        """Yield kiln-chat with the models of this conversation."""
        script = [*self.script, LAST_WORDS]
        async with chat_programs(folder, script, self.workers, self.environment) as programs:
            file = programs.home / "servers.json"
            entries = json.loads(file.read_text("utf-8"))
            for name, usd in self.servers.items():
                prices = dict.fromkeys(("input_usd_per_million", "output_usd_per_million"), usd)
                entries.append({**entries[0], "name": name, **prices})
            file.write_text(json.dumps(entries), "utf-8")
            yield programs


def records(folder: Path, pattern: str) -> list[dict[str, Any]]:
    """Return the records of a project that lie at a pattern."""
    return [json.loads(file.read_text("utf-8")) for file in sorted(folder.glob(pattern))]


def complaint_calls(project: Path) -> list[Call]:
    """Return the calls that make a project, and draft specs from a complaint."""
    create = {"name": "Shop", "folder": str(project), "task": "Reply", "instruction": "Answer."}
    draft = {"project": str(project), "wish": COMPLAINT, "wait_s": 60}
    return [("create_project", create), ("build_spec", draft)]


def saving_call(project: Path, report: str) -> Call:
    """Return the call that saves the drafts of a report."""
    session = re.search(r"session: (\S+)", report)
    assert session is not None
    return ("build_spec", {"project": str(project), "session": session[1], "save": True})


@asynccontextmanager
async def two_specs(folder: Path) -> AsyncGenerator[WholeTalk]:
    """Build two specs from a complaint."""
    project = folder / "shop"

    def save(body: Body) -> Calls:
        return [saving_call(project, body["messages"][-1]["content"])]

    def check() -> None:
        names = {spec["name"] for spec in records(project, "tasks/*/specs/*/spec.kiln")}
        assert len(names) == 2
        assert "Promises" in names

    script: list[Step] = [*steps_of(complaint_calls(project)), save]
    environment = {"KILN_MCP_MODEL": "paid/worker"}
    yield WholeTalk(COMPLAINT, script, check, {"worker": assistant}, environment)


def name_judge_model(project: Path) -> None:
    """Name the judge's model as the server of the programs does."""
    for file in project.glob(JUDGES):
        file.write_text(file.read_text("utf-8").replace('"scripted"', '"paid/judge"'), "utf-8")


async def weak_judge_project(folder: Path) -> Path:
    """Return a project with labels, and a judge that lets dogs pass."""
    async with open_bench(folder, names_setup()) as bench:
        await add_name_judge(bench, NO_DIGITS)
        runs = await add_names(bench, *["cat", "dog", "c4t"] * 4)
        await bench.label({run.id: person(run) for run in runs})
        return Path(bench.folder)


def judge_calls(project: Path) -> list[Call]:
    """Return the calls that find why a judge is weak, and mend it."""
    where = {"project": str(project), "eval": "Right", "wait_s": 60}
    return [
        ("check_judge", where),
        ("improve_judge", {**where, "concerns": "It lets dogs pass."}),
        ("check_judge", {**where, "evaluators": ["llm judge v2"]}),
    ]


@asynccontextmanager
async def weak_judge(folder: Path) -> AsyncGenerator[WholeTalk]:
    """Find why a judge is weak, and fix it."""
    project = await weak_judge_project(folder)
    name_judge_model(project)

    def check() -> None:
        judges = records(project, JUDGES)
        assert "llm judge v2" in [judge["name"] for judge in judges]
        assert "dog" in json.dumps(judges)

    workers = {"judge": judge_or_rewrite}
    environment = {"KILN_MCP_MODEL": "paid/judge"}
    script = steps_of(judge_calls(project))
    yield WholeTalk("Why is my judge weak? Mend it.", script, check, workers, environment)


def clause_calls(project: Path) -> list[Call]:
    """Return the calls that make six items for the clauses of a spec."""
    where = {"project": str(project)}
    return [
        ("find", {**where, "kind": "spec"}),
        ("generate_data", {**where, "spec": "Polite", "count": 6, "wait_s": 60}),
    ]


@asynccontextmanager
async def clause_data(folder: Path) -> AsyncGenerator[WholeTalk]:
    """Make data for a clause."""
    writer = DataWriter()
    async with data_project(folder, writer) as (_, name):
        project = Path(name)

    def check() -> None:
        runs = records(project, "tasks/*/runs/*/task_run.kiln")
        clauses = [run["input_source"]["properties"].get("clause") for run in runs]
        assert (len(runs), set(clauses)) == (6, {"c1", "c2"})

    workers, environment = {"writer": writer}, {"KILN_MCP_MODEL": "paid/writer"}
    script = steps_of(clause_calls(project))
    yield WholeTalk("Make six cases for the clauses.", script, check, workers, environment)


@asynccontextmanager
async def better_prompt(folder: Path) -> AsyncGenerator[WholeTalk]:
    """Optimise a prompt within two dollars, as a job."""
    async with open_search_bench(folder, by_demonstrations) as bench:
        project = Path(bench.store.folder)

    def check() -> None:
        assert len(records(project, "tasks/*/prompts/*/prompt.kiln")) == 1

    script: list[Step] = [*priced_search(project, wait_s=0), "It runs."]
    sentence = "Optimise the prompt. Two dollars at most."
    yield WholeTalk(sentence, script, check, PRICED_WORKERS, PRICED_ENVIRONMENT)


def doubles(request: ModelRequest) -> str:
    return json.dumps({"n": int(request.messages[-1].content) * 2})


CHEAPEST_WORKERS: Final[Mapping[str, Worker]] = {
    "m": doubles,
    "bad": lambda _: json.dumps({"n": 1}),
}


def cheapest_calls(project: Path) -> list[Call]:
    """Return the calls that compare a dear model with two cheap ones, of which one is bad."""
    where = {"project": str(project)}
    models = {"large": "dear/m", "cheap": "thrifty/m", "bad": "thrifty/bad"}
    names = list(models)
    return [
        *(("create_run_config", {**where, "name": n, "model": m}) for n, m in models.items()),
        ("run_eval", {**where, "eval": "Right", "run_configs": names, "wait_s": 60}),
        ("show_results", {**where, "eval": "Right", "compare": names, "baseline": "large"}),
    ]


@asynccontextmanager
async def cheapest_model(folder: Path) -> AsyncGenerator[WholeTalk]:
    """Find the cheapest model that is not worse."""
    async with open_search_bench(folder, by_demonstrations) as bench:
        project = Path(bench.store.folder)

    def check() -> None:
        results = records(project, "tasks/*/evals/*/configs/*/runs/*/eval_run.kiln")
        assert len(results) == 180

    environment, servers = {"KILN_MCP_MODEL": "dear/m"}, {"dear": 20.0, "thrifty": 1.0}
    sentence = "Which is the cheapest model that is not worse?"
    script = steps_of(cheapest_calls(project))
    yield WholeTalk(sentence, script, check, CHEAPEST_WORKERS, environment, servers)


def tuning_calls(project: Path) -> list[Call]:
    """Return the calls that train a model on forty answers, and find it as a run config."""
    where = {"project": str(project)}
    items = [
        {"input": f"word{n} other{n * 3} third{n * 5}", "output": f"answer {n}"} for n in range(40)
    ]
    create = {"name": "P", "folder": str(project), "task": "T", "instruction": "Answer."}
    train = {
        "split": "F", "provider": "openai", "base_model": "gpt-4.1-mini-2025-04-14",
        "name": "Tuned", "parameters": {"epochs": 2}, "wait_s": 60,
    }  # fmt: skip
    return [
        ("create_project", create),
        ("add_data", {**where, "items": items}),
        ("split_data", {**where, "name": "Right", "seed": 1}),
        ("split_data", {**where, "name": "Right", "freeze": "F"}),
        ("train_model", {**where, **train}),
        ("find", {**where, "kind": "run_config"}),
    ]


@asynccontextmanager
async def tuned_model(folder: Path) -> AsyncGenerator[WholeTalk]:
    """Tune a small model, and find it as a run config to compare."""
    project = folder / "p"
    async with serve("openai") as services:

        def check() -> None:
            assert len(services.trainings) == 1
            [tune] = records(project, "tasks/*/finetunes/*/finetune.kiln")
            assert tune["latest_status"] == "completed"

        environment = environment_of("openai", services.address)
        script = steps_of(tuning_calls(project))
        yield WholeTalk("Tune a small model.", script, check, environment=environment)


SIX_TALKS: Final[Mapping[str, Callable[[Path], AbstractAsyncContextManager[WholeTalk]]]] = {
    "specs": two_specs,
    "judge": weak_judge,
    "data": clause_data,
    "optimise": better_prompt,
    "cheapest": cheapest_model,
    "tune": tuned_model,
}
