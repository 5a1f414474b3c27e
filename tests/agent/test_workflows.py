"""Six conversations, from the first sentence to what is on disk, by a scripted model."""

import json
import re
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from aiohttp import web

from agent.chat_setup import Chat
from agent.events import ApprovalAsked, Event, ToolFinished, TurnEnd
from bench import open_bench
from chat_server import serve_chat
from data_writer import DataWriter, data_project
from judge_script import (
    NO_DIGITS,
    add_name_judge,
    add_names,
    judge_or_rewrite,
    names_setup,
    person,
)
from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.doors.server import build_server
from kiln_mcp.llm import EngineSettings, Message, ModelAnswer, ModelRequest, ServerSettings
from kiln_mcp.settings import Settings
from kiln_mcp.workbench.lifecycle import open_workspace
from scripted_chat import Step, calling, scripted
from scripted_model import ScriptedModel
from search_bench import by_demonstrations, edits, open_search_bench
from spec_bench import assistant
from talks import Person, chat_options, events_of, talk
from tuning_services import environment_of, serve

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

Answer = Callable[[ModelRequest], str]
Script = Sequence[tuple[str, Mapping[str, object]] | Callable[[ModelRequest], ModelAnswer]]
WORKER = "worker"


def steps_of(script: Script) -> list[Step]:
    """Return the answers of the model: a call each, and words after the last one."""
    calls = [step if callable(step) else calling(step) for step in script]
    return [*calls, "That is done."]


@asynccontextmanager
async def at_work(
    folder: Path,
    script: Script,
    person: Person,
    models: Mapping[str, Answer],
    engine: EngineSettings | None = None,
) -> AsyncGenerator[tuple[Chat, ScriptedModel]]:
    """Yield a conversation with a whole workbench, whose models are functions."""
    engine = engine or EngineSettings(default_model=WORKER, environment={})
    settings = Settings(
        home=folder / "home",
        engine=engine,
        started_in=folder,
        poll_s=0.05,
        toolsets=("team", "admin"),
    )
    catalogue = installed_catalogue()
    workspace = open_workspace(
        settings,
        catalogue.carry_out,
        {name: ScriptedModel(answer) for name, answer in models.items()},
    )
    model = scripted(*steps_of(script), *["Reported."] * 5)
    options = chat_options(folder, folder=folder)
    with anyio.fail_after(500):
        async with talk(options, model, build_server(workspace, catalogue), person) as chat:
            yield chat, model


async def converse(chat: Chat, sentence: str) -> list[Event]:
    """Say a sentence, then wait for the jobs that it started; no call may fail."""
    events = await events_of(chat.conversation, sentence)
    while await chat.conversation.jobs.wait():
        events += await events_of(chat.conversation, "")
    failures = [e for e in events if isinstance(e, ToolFinished) and e.is_error]
    assert not failures, failures[0].text
    ends = [event for event in events if isinstance(event, TurnEnd)]
    assert [end.reason for end in ends] == ["answered"] * len(ends)
    return events


def records(folder: Path, pattern: str) -> list[dict[str, Any]]:
    """Return the records of a project that lie at a pattern."""
    return [json.loads(file.read_text("utf-8")) for file in sorted(folder.glob(pattern))]


def told(model: ScriptedModel) -> str:
    """Return all that tools and jobs told the model."""
    return "\n".join(m.content for request in model.requests for m in request.messages)


async def test_two_specs_are_built_from_a_complaint(tmp_path: Path) -> None:
    project = tmp_path / "shop"
    where = {"project": str(project)}

    def save(request: ModelRequest) -> ModelAnswer:
        session = re.search(r"session: (\S+)", request.messages[-1].content)
        assert session is not None
        return calling(("build_spec", {**where, "session": session[1], "save": True}))

    create = {"name": "Shop", "folder": str(project), "task": "Reply", "instruction": "Answer."}
    complaint = "Replies promise refunds, and some are rude."
    script: Script = [
        ("create_project", create),
        ("build_spec", {**where, "wish": complaint, "wait_s": 60}),
        save,
    ]
    asked = Person()
    async with at_work(tmp_path, script, asked, {WORKER: assistant}) as (chat, _):
        await converse(chat, f"My shop's bot: {complaint}")
    names = {spec["name"] for spec in records(project, "tasks/*/specs/*/spec.kiln")}
    assert len(names) == 2
    assert "Promises" in names


async def test_a_weak_judge_is_understood_and_mended(tmp_path: Path) -> None:
    async with open_bench(tmp_path, names_setup()) as bench:
        await add_name_judge(bench, NO_DIGITS)
        runs = await add_names(bench, *["cat", "dog", "c4t"] * 4)
        await bench.label({run.id: person(run) for run in runs})
        project = Path(bench.folder)
    where = {"project": str(project), "eval": "Right", "wait_s": 60}
    script: Script = [
        ("check_judge", where),
        ("improve_judge", {**where, "concerns": "It lets dogs pass."}),
        ("check_judge", {**where, "evaluators": ["llm judge v2"]}),
    ]
    engine = EngineSettings(default_model="scripted", environment={})
    models: Mapping[str, Answer] = {"scripted": judge_or_rewrite}
    async with at_work(tmp_path, script, Person(), models, engine) as (chat, model):
        await converse(chat, "Why is my judge weak? Mend it.")
    judges = records(project, "tasks/*/evals/*/configs/*/eval_config.kiln")
    assert [judge["name"] for judge in judges if "v2" in judge["name"]] == ["llm judge v2"]
    assert "dog" in json.dumps(judges)
    assert "optimistic" in told(model)


async def test_data_is_made_for_a_clause(tmp_path: Path) -> None:
    writer = DataWriter()
    async with data_project(tmp_path, writer) as (_, folder):
        project = Path(folder)
    script: Script = [
        ("find", {"project": folder, "kind": "spec"}),
        ("generate_data", {"project": folder, "spec": "Polite", "count": 6, "wait_s": 60}),
    ]
    async with at_work(tmp_path, script, Person(), {WORKER: writer}) as (chat, _):
        await converse(chat, "Make six cases for the clause about prices.")
    runs = records(project, "tasks/*/runs/*/task_run.kiln")
    clauses = [run["input_source"]["properties"].get("clause") for run in runs]
    assert len(runs) == 6
    assert set(clauses) == {"c1", "c2"}


@asynccontextmanager
async def priced(
    name: str, usd_per_million: float, answers: Mapping[str, Answer]
) -> AsyncGenerator[ServerSettings]:
    """Serve models that cost money at a loopback address."""

    async def chat(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        messages = tuple(Message(m["role"], str(m["content"])) for m in body["messages"])
        text = answers[body["model"]](ModelRequest(body["model"], messages))
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        usage = {"prompt_tokens": 200, "completion_tokens": 20, "total_tokens": 220}
        head = {"id": "1", "object": "chat.completion", "created": 0, "model": body["model"]}
        return web.json_response({**head, "choices": [choice], "usage": usage})

    async with serve_chat(chat) as address:
        yield ServerSettings(
            name,
            address,
            input_usd_per_million=usd_per_million,
            output_usd_per_million=usd_per_million,
        )


async def test_a_prompt_is_optimised_within_two_dollars(tmp_path: Path) -> None:
    async with open_search_bench(tmp_path, by_demonstrations) as bench:
        project = Path(bench.store.folder)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(
            priced("paid", 2.0, {"small": by_demonstrations, "editor": edits})
        )
        engine = EngineSettings(default_model="paid/editor", servers=(server,), environment={})
        where = {"project": str(project)}
        search = {"eval": "Right", "start": "priced", "limit_usd": 2.0, "seed": 1}
        script: Script = [
            ("create_run_config", {**where, "name": "priced", "model": "paid/small"}),
            ("improve_prompt", {**where, **search, "max_calls": 100, "wait_s": 1}),
        ]
        asked = Person()
        chat, model = await stack.enter_async_context(at_work(tmp_path, script, asked, {}, engine))
        await converse(chat, "Optimise the prompt. Two dollars at most.")
    [question] = asked.asked
    assert question.tool == "improve_prompt"
    assert question.cost_usd is not None
    assert 0 < question.cost_usd <= 2
    prompts = records(project, "tasks/*/prompts/*/prompt.kiln")
    assert len(prompts) == 1
    configs = records(project, "tasks/*/run_configs/*/task_run_config.kiln")
    assert any(config.get("prompt") for config in configs)
    assert "winner" in told(model)


async def test_the_cheapest_model_that_is_not_worse_is_found(tmp_path: Path) -> None:
    async with open_search_bench(tmp_path, by_demonstrations) as bench:
        project = Path(bench.store.folder)

    def doubles(request: ModelRequest) -> str:
        return json.dumps({"n": int(request.messages[-1].content) * 2})

    where = {"project": str(project)}
    models = {"large": "dear/m", "cheap": "thrifty/m", "bad": "thrifty/bad"}
    names = list(models)
    script: Script = [
        *(("create_run_config", {**where, "name": n, "model": m}) for n, m in models.items()),
        ("run_eval", {**where, "eval": "Right", "run_configs": names, "wait_s": 60}),
        ("show_results", {**where, "eval": "Right", "compare": names, "baseline": "large"}),
    ]
    async with AsyncExitStack() as stack:
        dear = await stack.enter_async_context(priced("dear", 20.0, {"m": doubles}))
        answers: Mapping[str, Answer] = {"m": doubles, "bad": lambda _: json.dumps({"n": 1})}
        thrifty = await stack.enter_async_context(priced("thrifty", 1.0, answers))
        engine = EngineSettings(default_model="dear/m", servers=(dear, thrifty), environment={})
        chat, _ = await stack.enter_async_context(at_work(tmp_path, script, Person(), {}, engine))
        events = await converse(chat, "Which is the cheapest model that is not worse?")
    results = records(project, "tasks/*/evals/*/configs/*/runs/*/eval_run.kiln")
    assert len(results) == 180
    [shown] = [e for e in events if isinstance(e, ToolFinished) and e.name == "show_results"]
    assert isinstance(shown.structured, dict)
    rows: Any = shown.structured["rows"]
    by_name = {row["run_config"]: row for row in rows}
    assert by_name["cheap"]["usd_each"] < by_name["large"]["usd_each"]
    assert (by_name["cheap"]["may_be_best"], by_name["bad"]["may_be_best"]) == (True, False)


async def test_a_small_model_is_tuned_and_compared(tmp_path: Path) -> None:
    project = tmp_path / "p"
    where = {"project": str(project)}
    items = [
        {"input": f"word{n} other{n * 3} third{n * 5}", "output": f"answer {n}"} for n in range(40)
    ]
    create = {"name": "P", "folder": str(project), "task": "T", "instruction": "Answer."}
    train = {
        "split": "F", "provider": "openai", "base_model": "gpt-4.1-mini-2025-04-14",
        "name": "Tuned", "parameters": {"epochs": 2}, "wait_s": 60,
    }  # fmt: skip
    script: Script = [
        ("create_project", create),
        ("add_data", {**where, "items": items}),
        ("split_data", {**where, "name": "Right", "seed": 1}),
        ("split_data", {**where, "name": "Right", "freeze": "F"}),
        ("train_model", {**where, **train}),
        ("find", {**where, "kind": "run_config"}),
    ]
    asked = Person()
    async with serve("openai") as services:
        environment = environment_of("openai", services.address)
        engine = EngineSettings(environment=environment, first_wait_s=0.001, attempts=3)
        async with at_work(tmp_path, script, asked, {}, engine) as (chat, model):
            await converse(chat, "Tune a small model on my answers.")
        assert len(services.trainings) == 1
    tunes = records(project, "tasks/*/finetunes/*/finetune.kiln")
    assert [tune["latest_status"] for tune in tunes] == ["completed"]
    questions: list[ApprovalAsked] = [q for q in asked.asked if q.tool == "train_model"]
    assert questions[0].destinations
    assert "Tuned" in told(model)
