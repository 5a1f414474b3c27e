"""The demo's way through the catalogue; with the embedded model where it is there."""

import io
import json
import os
import re
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path

import anyio
import pytest
from rich.console import Console

from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.demo import run_demo
from kiln_mcp.demo.bookings import make_bookings
from kiln_mcp.demo.console import PlainTeller, RichTeller
from kiln_mcp.demo.example import ARCHIVE
from kiln_mcp.demo.journey import Client, show_example, travel
from kiln_mcp.llm import EMBEDDED, Engine, EngineSettings, ModelRequest
from kiln_mcp.settings import Settings
from kiln_mcp.workbench.workspace import KnownProjects, Workspace
from scripted_model import ScriptedModel
from storage import ProjectStore
from storage.errors import Refusal

SEED = 5
RIGHT = {booking.message: booking.item["output"] for booking in make_bookings(SEED)}


def reads_after_four_demonstrations(request: ModelRequest) -> str:
    """Read a booking rightly where four demonstrations are shown, otherwise forget the guest."""
    right = RIGHT[request.messages[-1].content]
    assert isinstance(right, dict)
    told = len(request.messages) >= 2 + 2 * 4
    return json.dumps(right if told else {**right, "name": "nobody"})


def plain_console() -> Console:
    return Console(file=io.StringIO(), width=100)


def text_of(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def settings_in(folder: Path) -> Settings:
    home = folder / "home"
    engine = EngineSettings(response_cache=home / "responses.sqlite", default_model=EMBEDDED)
    return Settings(home=home, engine=engine)


@asynccontextmanager
async def open_client(folder: Path, teller: PlainTeller) -> AsyncGenerator[Client]:
    settings = settings_in(folder)
    models = {EMBEDDED: ScriptedModel(reads_after_four_demonstrations)}
    async with Engine(settings.engine, models=models) as engine:
        known = KnownProjects(settings.home / "projects.json")
        workspace = Workspace(settings=settings, engine=engine, projects=known)
        yield Client(installed_catalogue(), workspace.with_progress(teller.progress))
        await known.close()


def test_the_example_is_small_and_brings_its_licence() -> None:
    assert len((files("kiln_mcp") / "demo" / ARCHIVE).read_bytes()) < 400_000


async def test_the_examples_labels_are_blamed_and_not_its_judges(
    tmp_path: Path,
) -> None:
    console = plain_console()
    teller = PlainTeller(console)
    async with open_client(tmp_path, teller) as client:
        report = await show_example(client, tmp_path / "example", teller)
    assert report.rows == []
    assert report.new_verdicts == 0
    text = " ".join(text_of(console).split())
    assert "cannot measure any judge; look again at the" in text
    assert "10 of 10 judges say the opposite" in text
    licence = await anyio.Path(tmp_path / "example" / "LICENSE.txt").read_text(encoding="utf-8")
    assert "Chesterfield Laboratories" in licence


async def test_the_examples_files_are_all_readable(tmp_path: Path) -> None:
    teller = PlainTeller(plain_console())
    async with open_client(tmp_path, teller) as client:
        await show_example(client, tmp_path / "example", teller)
    store = await ProjectStore.open(tmp_path / "example")
    assert list(store.problems) == []
    await store.close()


async def test_a_wish_becomes_a_measured_better_prompt(tmp_path: Path) -> None:
    teller = PlainTeller(plain_console())
    async with open_client(tmp_path, teller) as client:
        journey = await travel(client, tmp_path / "own", teller, SEED)
    assert journey.search.gain_shown
    assert journey.comparison is not None
    winner, start = journey.comparison.rows
    assert (start.mean, winner.mean) == (0.0, 1.0)
    assert winner.n >= 60
    assert journey.comparison.use == 1
    parts = {part.part: part.items for part in journey.split.parts}
    assert sum(parts.values()) == 144
    store = await ProjectStore.open(tmp_path / "own")
    assert list(store.problems) == []
    await store.close()


async def test_a_terminal_gets_the_table_and_both_prompts(tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=120, force_terminal=True, color_system=None)
    with RichTeller(console) as teller:
        async with open_client(tmp_path, teller) as client:
            await show_example(client, tmp_path / "example", teller)
            journey = await travel(client, tmp_path / "own", teller, SEED)
        teller.outcome(journey.search, journey.search.comparison)
    shown = text_of(console)
    assert "cannot measure any judge" in shown
    assert "winner, " in shown
    assert "95 % interval" in shown


@pytest.mark.embedded
async def test_a_folder_that_is_taken_is_left_as_it_is(tmp_path: Path) -> None:
    taken = anyio.Path(tmp_path / "here" / "table-bookings")
    await taken.mkdir(parents=True)
    await (taken / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(Refusal, match="is there already"):
        await run_demo(tmp_path / "here", plain_console(), settings=settings_in(tmp_path))
    assert await (taken / "mine.txt").read_text(encoding="utf-8") == "mine"


@pytest.mark.embedded
async def test_nothing_is_left_where_the_demo_is_stopped_in_the_middle(tmp_path: Path) -> None:
    stopping = anyio.CancelScope()

    class Stopping(io.StringIO):
        """Stops the demo when it begins to measure."""

        def write(self, text: str, /) -> int:
            if "Measure the starting prompt" in text:
                stopping.cancel()
            return super().write(text)

    console = Console(file=Stopping(), width=100)
    with anyio.fail_after(60), stopping:
        await run_demo(tmp_path / "here", console, settings=settings_in(tmp_path))
    assert stopping.cancelled_caught
    assert not await anyio.Path(tmp_path / "here").exists()


@pytest.mark.embedded
@pytest.mark.demo
# How long it takes is measured by benchmarks/house/demo.py.
@pytest.mark.timeout(900)
async def test_the_demos_command_gains_on_held_out_messages(tmp_path: Path) -> None:
    home, folder = tmp_path / "home", tmp_path / "here"
    program = "import sys; from kiln_mcp.doors.bridge import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "demo", "--folder", str(folder)]
    environment = {**os.environ, "KILN_MCP_HOME": str(home)}
    ended = await anyio.run_process(command, env=environment, check=False)
    shown = ended.stdout.decode()
    assert ended.returncode == 0, ended.stderr.decode()
    measured = re.search(r"(\d\.\d+) to (\d\.\d+) on (\d+) held-out messages\.", shown)
    assert measured is not None
    assert float(measured[1]) < float(measured[2])
    assert int(measured[3]) >= 60
    assert "is better than" in shown
    own = folder / "table-bookings"
    assert shown.splitlines()[-1] == f"project: {own}"
    known = await anyio.Path(home / "projects.json").read_text(encoding="utf-8")
    assert str(own) in known
