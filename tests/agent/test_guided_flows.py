"""Each menu of the embedded model to its end: what is on disk in a whole workbench."""

import json
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client

from agent.chat_setup import Chat, Wiring
from agent.sdk_connection import SdkConnection, client_info, elicitation_callback
from agent.session import Session
from agent.terminal.front import Front
from agent.terminal.painter import Painter
from agent.terminal.surface import PlainSurface
from agent.terminal.view import EventView
from agent.tool_server import ToolServer
from data_writer import DataWriter
from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.doors.server import build_server
from kiln_mcp.llm import Engine, EngineSettings, ModelRequest
from kiln_mcp.settings import Settings
from kiln_mcp.workbench.lifecycle import open_workspace
from scripted_model import ScriptedModel
from search_bench import by_demonstrations, edits, open_search_bench
from talks import chat_options

JOB = "(the job has ended)"
WISH = "Answers must have at most 60 words."
INPUTS = "Where is my parcel?; My toaster broke.; How do I return shoes?; Is the shop open?"
RUNS = "tasks/*/runs/*/task_run.kiln"
Worker = Callable[[ModelRequest], str]


@dataclass
class Typist:
    """Types what was written beforehand, waits for jobs where that is written, then ends."""

    lines: list[str]
    is_person: bool
    chat: Chat | None = None
    reads_ahead: bool = False
    questions: list[str] = field(default_factory=list[str])

    async def line(self) -> str | None:
        if self.lines[:1] == [JOB] and self.chat is not None:
            self.lines.pop(0)
            await self.chat.conversation.jobs.wait()
        return self.lines.pop(0) if self.lines else None

    async def answer(self, question: str) -> str | None:
        self.questions.append(question)
        return await self.line()

    async def press(self, question: str, keys: Mapping[str, str]) -> str | None:
        line = await self.answer(question)
        return None if line is None else keys[line]


@asynccontextmanager
async def served(
    folder: Path, models: Mapping[str, Worker], default: str
) -> AsyncGenerator[tuple[Wiring, ToolServer, Typist, StringIO]]:
    """Yield a whole workbench in this process, and what a chat with it needs."""
    engine = EngineSettings(default_model=default, environment={})
    settings = Settings(home=folder / "home", engine=engine, started_in=folder, poll_s=0.05)
    catalogue = installed_catalogue()
    workers = {name: ScriptedModel(answer) for name, answer in models.items()}
    workspace = open_workspace(settings, catalogue.carry_out, workers)
    shown, typist = StringIO(), Typist([], is_person=True)
    surface = PlainSurface(shown, Painter(None, escapes=False), 200)
    front = Front(EventView(surface, has_boxes=False), typist)
    wiring = Wiring.of(chat_options(folder, model="embedded", folder=folder), front)
    callback = elicitation_callback(wiring.approvals)
    async with Client(
        build_server(workspace, catalogue), client_info=client_info(), elicitation_callback=callback
    ) as client:
        connection = SdkConnection(client)
        yield wiring, await ToolServer.load(connection, asks_itself=True), typist, shown


async def sit(
    folder: Path,
    lines: Sequence[str],
    models: Mapping[str, Worker] | None = None,
    *,
    default: str = "embedded",
    is_person: bool = True,
) -> str:
    """Type lines into the menus; return what was shown."""
    small = {} if default == "embedded" else {"embedded": ScriptedModel(["spec"], repeat=True)}
    with anyio.fail_after(500):
        async with (
            served(folder, models or {}, default) as (wiring, server, typist, shown),
            Engine(wiring.options.engine, small) as engine,
            wiring.open(engine, [server]) as chat,
        ):
            typist.lines, typist.is_person, typist.chat = list(lines), is_person, chat
            front = wiring.approvals.approver
            assert isinstance(front, Front)
            await Session(front, chat).run()
            assert typist.lines == []
            return shown.getvalue()


def records(folder: Path, pattern: str) -> list[dict[str, Any]]:
    return [json.loads(file.read_text("utf-8")) for file in sorted(folder.glob(pattern))]


def new_project(folder: Path) -> list[str]:
    return ["project", "Shop", "Reply", "Answer the customer.", str(folder)]


async def test_the_spec_menu_ends_in_a_spec_that_was_shown_and_saved(tmp_path: Path) -> None:
    lines = [*new_project(tmp_path / "shop"), "spec", "1", WISH, "no", "s"]
    shown = await sit(tmp_path, lines)
    [spec] = records(tmp_path / "shop", "tasks/*/specs/*/spec.kiln")
    assert spec["name"] in shown
    assert f"Saved: {spec['name']}." in shown
    assert "Answers must have at most 60 words." in shown


async def test_the_spec_menu_saves_at_once_in_a_pipe(tmp_path: Path) -> None:
    lines = [*new_project(tmp_path / "shop"), "spec", "1", "Answers must be polite.", "yes"]
    shown = await sit(tmp_path, lines, is_person=False)
    assert len(records(tmp_path / "shop", "tasks/*/specs/*/spec.kiln")) == 1
    assert "\u2717" not in shown  # the mark of a call that failed


MEASURED = ["check", "1", "Short", "-", "60", "-"]


def data_and_labels(folder: Path, count: int) -> list[str]:
    """Return the lines of a person who makes data, sets an eval up, and labels two items."""
    return [
        *new_project(folder),
        *["generate", "1", INPUTS, str(count), JOB],
        *MEASURED,
        *["label", "1", "1", "2", "p", "f"],
    ]


async def test_the_menus_lead_from_an_empty_home_to_labels(tmp_path: Path) -> None:
    shown = await sit(
        tmp_path, data_and_labels(tmp_path / "shop", 8), {"worker": DataWriter()}, default="worker"
    )
    runs = records(tmp_path / "shop", RUNS)
    labels = [run for run in runs if run["output"].get("rating")]
    assert (len(runs), len(labels)) == (8, 2)
    assert len(records(tmp_path / "shop", "tasks/*/evals/*/configs/*/eval_config.kiln")) == 1
    assert "2 of 2 labels are given." in shown
    assert "\u2717" not in shown


async def test_the_menus_say_what_has_to_come_first(tmp_path: Path) -> None:
    lines = [*new_project(tmp_path / "shop"), "label", "1", "optimise", "9", "1"]
    shown = await sit(tmp_path, lines)
    assert shown.count("There is no eval yet: check comes first.") == 2
    assert "There is no 9: 1 to 1, or a name." in shown


async def test_what_was_refused_is_not_called_done(tmp_path: Path) -> None:
    lines = ["spec", str(tmp_path / "none"), WISH, "yes"]
    shown = await sit(tmp_path, lines)
    assert "That was not done: the line above says why. spec asks again." in shown


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_the_optimise_menu_ends_in_a_better_prompt(tmp_path: Path) -> None:
    async with open_search_bench(tmp_path, by_demonstrations) as bench:
        project = Path(bench.store.folder)
    models = {"small": by_demonstrations, "editor": edits}
    lines = ["optimise", str(project), "1", "1", "-", JOB]
    shown = await sit(tmp_path, lines, models, default="editor")
    assert len(records(project, "tasks/*/prompts/*/prompt.kiln")) == 1
    assert "\u2717" not in shown


@pytest.mark.slow
@pytest.mark.embedded
@pytest.mark.timeout(600)
async def test_the_real_embedded_model_goes_through_the_menus_to_their_end(tmp_path: Path) -> None:
    lines = [
        *data_and_labels(tmp_path / "shop", 10),
        *["spec", "1", WISH, "yes"],
        *["optimise", "1", "1", "1", "16", JOB],
    ]
    shown = await sit(tmp_path, lines)
    assert len(records(tmp_path / "shop", RUNS)) >= 4
    assert "2 of 2 labels are given." in shown
    assert len(records(tmp_path / "shop", "tasks/*/specs/*/spec.kiln")) == 1
    assert "improve_prompt" in shown
