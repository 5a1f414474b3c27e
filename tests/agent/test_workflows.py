"""Six conversations, from the first sentence to what is on disk, by a scripted model."""

import json
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from aiohttp import web

from agent.chat_setup import Chat
from agent.events import ApprovalAsked, Event, ToolFinished, TurnEnd
from chat_server import serve_chat
from data_writer import DataWriter, data_project
from judge_script import judge_or_rewrite
from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.doors.server import build_server
from kiln_mcp.llm import EngineSettings, Message, ModelAnswer, ModelRequest, ServerSettings
from kiln_mcp.settings import Settings
from kiln_mcp.workbench.lifecycle import open_workspace
from scripted_chat import Step, calling, scripted
from scripted_model import ScriptedModel
from search_bench import by_demonstrations, edits, open_search_bench, priced_search
from six_talks import (
    CHEAPEST_WORKERS,
    COMPLAINT,
    cheapest_calls,
    clause_calls,
    complaint_calls,
    judge_calls,
    records,
    saving_call,
    tuning_calls,
    weak_judge_project,
)
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


def told(model: ScriptedModel) -> str:
    """Return all that tools and jobs told the model."""
    return "\n".join(m.content for request in model.requests for m in request.messages)


async def test_two_specs_are_built_from_a_complaint(tmp_path: Path) -> None:
    project = tmp_path / "shop"

    def save(request: ModelRequest) -> ModelAnswer:
        return calling(saving_call(project, request.messages[-1].content))

    script: Script = [*complaint_calls(project), save]
    asked = Person()
    async with at_work(tmp_path, script, asked, {WORKER: assistant}) as (chat, _):
        await converse(chat, f"My shop's bot: {COMPLAINT}")
    names = {spec["name"] for spec in records(project, "tasks/*/specs/*/spec.kiln")}
    assert len(names) == 2
    assert "Promises" in names


async def test_a_weak_judge_is_understood_and_mended(tmp_path: Path) -> None:
    project = await weak_judge_project(tmp_path)
    engine = EngineSettings(default_model="scripted", environment={})
    models: Mapping[str, Answer] = {"scripted": judge_or_rewrite}
    async with at_work(tmp_path, judge_calls(project), Person(), models, engine) as (chat, model):
        await converse(chat, "Why is my judge weak? Mend it.")
    judges = records(project, "tasks/*/evals/*/configs/*/eval_config.kiln")
    assert [judge["name"] for judge in judges if "v2" in judge["name"]] == ["llm judge v2"]
    assert "dog" in json.dumps(judges)
    assert "optimistic" in told(model)


async def test_data_is_made_for_a_clause(tmp_path: Path) -> None:
    writer = DataWriter()
    async with data_project(tmp_path, writer) as (_, folder):
        project = Path(folder)
    async with at_work(tmp_path, clause_calls(project), Person(), {WORKER: writer}) as (chat, _):
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
        script: Script = [call for step in priced_search(project, wait_s=1) for call in step]
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
    async with AsyncExitStack() as stack:
        dear = await stack.enter_async_context(priced("dear", 20.0, CHEAPEST_WORKERS))
        thrifty = await stack.enter_async_context(priced("thrifty", 1.0, CHEAPEST_WORKERS))
        engine = EngineSettings(default_model="dear/m", servers=(dear, thrifty), environment={})
        chat, _ = await stack.enter_async_context(
            at_work(tmp_path, cheapest_calls(project), Person(), {}, engine)
        )
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
    asked = Person()
    async with serve("openai") as services:
        environment = environment_of("openai", services.address)
        engine = EngineSettings(environment=environment, first_wait_s=0.001, attempts=3)
        async with at_work(tmp_path, tuning_calls(project), asked, {}, engine) as (chat, model):
            await converse(chat, "Tune a small model on my answers.")
        assert len(services.trainings) == 1
    tunes = records(project, "tasks/*/finetunes/*/finetune.kiln")
    assert [tune["latest_status"] for tune in tunes] == ["completed"]
    questions: list[ApprovalAsked] = [q for q in asked.asked if q.tool == "train_model"]
    assert questions[0].destinations
    assert "Tuned" in told(model)
