"""The demo from its door to its last line."""

import shlex
import shutil
import signal
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread
from rich.console import Console

from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.demo.console import teller_for
from kiln_mcp.demo.journey import Journey, client_of, show_example, travel
from kiln_mcp.judging.answers import AgreementReport
from kiln_mcp.llm import EMBEDDED, Engine, check_embedded_model
from kiln_mcp.settings import Settings
from kiln_mcp.workbench.known_projects import KnownProjects
from kiln_mcp.workbench.workspace import Workspace
from storage.errors import Refusal

OWN: Final = "table-bookings"
EXAMPLE: Final = "ffmpeg-example"
INTERRUPTED: Final = 130
CLOSING_S: Final = 10.0
"""Longest wait for the stores to close, also after an interrupt."""
STOPPED: Final = (
    "kiln-mcp: Stopped before the end, and the unfinished projects were removed; answers so far "
    "are in the response cache, so another run is quicker."
)


@dataclass(frozen=True, slots=True)
class DemoReport:
    """What the demo came to.

    Attributes:
        folder: The project that it made.
        example_folder: The imported project.
        judges: What the imported project's judges are worth.
        journey: What came of the main job.
        calls: Model calls that were sent; answers out of the response cache are not among them.
        seconds: Wall time.
    """

    folder: Path
    example_folder: Path
    judges: AgreementReport
    journey: Journey
    calls: int
    seconds: float


async def run_demo(
    folder: Path, console: Console, *, settings: Settings, seed: int = 7
) -> DemoReport:
    """Make both projects below a folder, and tell the person on the way.

    Whatever ends it early, an interrupt included, the unfinished projects are removed.

    Raises:
        Refusal: One of the two projects is there already.
        ModelError: The embedded model is not installed.
    """
    start = time.monotonic()
    settings = replace(settings, engine=replace(settings.engine, default_model=EMBEDDED))
    check_embedded_model(settings.engine.embedded.path)
    places = await anyio.to_thread.run_sync(_free_places, folder)
    with _all_or_nothing(folder, places):
        async with Engine(settings.engine) as engine:
            # Known to the person only when all is done: names of removed folders are no use.
            open_projects = KnownProjects(places.example / ".known.json")
            try:
                workspace = Workspace(settings=settings, engine=engine, projects=open_projects)
                calls_before = await _calls(engine)
                with teller_for(console) as teller:
                    client = client_of(installed_catalogue(), workspace, teller.progress)
                    judges = await show_example(client, places.example, teller)
                    journey = await travel(client, places.own, teller, seed)
                    search = journey.search
                    teller.outcome(search, search.comparison)
                    calls = await _calls(engine) - calls_before
                    seconds = time.monotonic() - start
                    answer_count = journey.first_run.outputs_made + search.search_calls
                    answer_count += search.held_out_calls
                    teller.say(
                        f"{seconds:.0f} s, {answer_count} model answers, "
                        f"{answer_count - calls} of them from the response cache. Seed {seed}. "
                        "A repeat without that cache may get a few other answers. "
                        f"The other project: {places.example}"
                    )
                    teller.say(
                        f"Next: kiln-mcp describe-project --project {shlex.quote(str(places.own))} "
                        "says what is weak about it, or connect an assistant, or talk to kiln-chat."
                    )
            finally:
                with anyio.move_on_after(CLOSING_S, shield=True):
                    await open_projects.close()
    await _remember(settings, places)
    return DemoReport(places.own, places.example, judges, journey, calls, seconds)


def demonstrate(folder: Path | None, *, seed: int, settings: Settings) -> None:
    """Run the demo for the command line; the last line it prints is `project: <folder>`."""
    console = Console()
    place = folder or settings.home / "demo" / time.strftime("%Y-%m-%d-%H%M%S")

    async def run() -> DemoReport:
        return await run_demo(place.expanduser().absolute(), console, settings=settings, seed=seed)

    # A polite kill is an interrupt too: what is unfinished is removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        report = anyio.run(run)
    except KeyboardInterrupt:
        sys.stderr.write(STOPPED + "\n")
        raise SystemExit(INTERRUPTED) from None
    console.print(f"project: {report.folder}", soft_wrap=True, markup=False, highlight=False)


@dataclass(frozen=True, slots=True)
class _Places:
    own: Path
    example: Path


def _free_places(folder: Path) -> _Places:
    places = _Places(folder / OWN, folder / EXAMPLE)
    for place in (places.own, places.example):
        if place.exists():
            raise Refusal("{place} is there already. Choose another folder.", place=place)
    return places


@contextmanager
def _all_or_nothing(folder: Path, places: _Places) -> Generator[None]:
    """Remove what was made where it does not end well."""
    was_there = folder.exists()
    try:
        yield
    except BaseException:
        for place in (places.own, places.example):
            shutil.rmtree(place, ignore_errors=True)
        if not was_there:
            shutil.rmtree(folder, ignore_errors=True)
        raise


async def _calls(engine: Engine) -> int:
    return sum(account.usage.calls for account in await engine.spending())


async def _remember(settings: Settings, places: _Places) -> None:
    """Let the person name the two projects from now on."""
    await anyio.to_thread.run_sync((places.example / ".known.json").unlink, True)
    open_projects = KnownProjects(settings.home / "projects.json")
    try:
        for place in (places.example, places.own):
            await open_projects.open(place, settings.home)
    finally:
        await open_projects.close()
