"""A whole conversation in tmux: from the first sentence to what is on disk at the end."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from chat_programs import ChatPrograms, Step, chat_programs
from search_bench import (
    PRICED_ENVIRONMENT,
    PRICED_WORKERS,
    by_demonstrations,
    open_search_bench,
    priced_search,
)

if shutil.which("tmux") is None:
    pytest.skip("the program tmux is missing", allow_module_level=True)

ROOT = Path(__file__).parents[2]
FAKES = ROOT / "tests" / "fakes"
PARAGRAPH = " ".join(f"word{number:03}" for number in range(400))
WISHES = ("Answers must have at most 80 words.", "Never promise a refund.")


@dataclass
class Tmux:
    """One tmux server with one window.

    Attributes:
        socket: Its socket.
    """

    socket: Path

    def run(self, *words: str) -> str:
        command = ["tmux", "-S", str(self.socket), *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def type(self, line: str) -> None:
        self.run("send-keys", "-l", line)
        self.run("send-keys", "Enter")

    def text(self) -> str:
        """Return all lines, those that left the window first."""
        return self.run("capture-pane", "-p", "-S", "-")

    async def until(self, text: str) -> None:
        while text not in self.text():  # noqa: ASYNC110 - tmux tells nobody what it shows
            await anyio.sleep(0.3)


def spec_steps(wish: str) -> list[object]:
    """Return the calls that build one spec and save it."""
    place = {"project": "support"}
    return [
        [["build_spec", {**place, "wish": wish}]],
        [["build_spec", {**place, "answers": "assume", "save": True}]],
    ]


def script(folder: Path) -> list[object]:
    """Return the model's side of the conversation."""
    project = {"name": "support", "folder": str(folder), "task": "Answer"}
    return [
        PARAGRAPH,
        [["create_project", {**project, "instruction": "Answer the question."}]],
        "The project is there. Tell me what is wrong with the answers.",
        *(step for wish in WISHES for step in spec_steps(wish)),
        "Both specs are saved.",
    ]


@pytest.fixture
def window(tmp_path: Path) -> Generator[Tmux]:
    """Run kiln-chat in a window of 14 rows, against a scripted model."""
    steps = tmp_path / "script.json"
    steps.write_text(json.dumps(script(tmp_path / "support")), encoding="utf-8")
    model = subprocess.Popen(
        [sys.executable, str(FAKES / "scripted_chat_server.py"), str(steps), "0.002"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert model.stdout is not None
    url = model.stdout.readline().strip()
    tmux = Tmux(tmp_path / "tmux")
    chat = [sys.executable, "-c", "from agent.program import main; main()"]
    command = shlex.join([*chat, "--model", "m", "--api-base", url])
    environment = {"KILN_MCP_HOME": str(tmp_path / "home"), "KILN_MCP_DAEMON": "off"}
    words = shlex.join(["env", *(f"{name}={value}" for name, value in environment.items())])
    shell = f"cd {shlex.quote(str(ROOT))}; {words} {command}; echo ended with $?; sleep 600"
    try:
        tmux.run("-f", os.devnull, "new-session", "-d", "-x", "80", "-y", "14", shell)
        yield tmux
    finally:
        subprocess.run(["tmux", "-S", str(tmux.socket), "kill-server"], check=False)
        model.kill()
        model.wait()
        model.stdout.close()


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_two_specs_are_built_from_a_complaint(window: Tmux, tmp_path: Path) -> None:
    with anyio.fail_after(580):
        await window.until("mode ask")
        window.type("hello")
        await window.until("word399")
        for size in (("50", "14"), ("100", "20"), ("80", "24")):
            window.run("resize-window", "-x", size[0], "-y", size[1])
        window.type("make a project")
        await window.until("Tell me what is wrong")
        window.type(" ".join(WISHES))
        while "Both specs are saved" not in window.text():
            if "Go ahead?" in window.text().rpartition("✓")[2]:
                window.run("send-keys", "y", "Enter")
            await anyio.sleep(0.5)
        text = window.text()
        window.run("send-keys", "C-d")
        await window.until("ended with 0")
    assert re.findall(r"word\d{3}", text) == PARAGRAPH.split()
    assert "✓ 5 build_spec" in text
    saved = [file.read_text("utf-8") for file in (tmp_path / "support").rglob("spec.kiln")]
    assert len(saved) == 2


@asynccontextmanager
async def window_of(programs: ChatPrograms, columns: int, rows: int) -> AsyncGenerator[Tmux]:
    """Run kiln-chat in a window against the models of its programs."""
    tmux = Tmux(programs.home.parent / "tmux")
    own = {name: value for name, value in programs.variables().items() if "API" in name}
    own |= {name: programs.variables()[name] for name in programs.variables() if "KILN" in name}
    words = shlex.join(["env", *(f"{name}={value}" for name, value in own.items())])
    command = f"{words} {shlex.join(programs.command())}; echo ended with $?; sleep 600"
    shell = f"cd {shlex.quote(str(ROOT))}; {command}"
    size = ("-x", str(columns), "-y", str(rows))
    await anyio.to_thread.run_sync(tmux.run, "-f", os.devnull, "new-session", "-d", *size, shell)
    try:
        await tmux.until("mode ask")
        yield tmux
    finally:
        tmux.run("kill-server")


def found(folder: Path, pattern: str) -> list[Path]:
    """Return the files of a project that lie at a pattern."""
    return list(folder.glob(pattern))


async def agree_until(window: Tmux, text: str) -> None:
    """Answer yes to every question until a text is there."""
    while text not in window.text():
        if "Go ahead?" in window.text()[-400:]:
            window.run("send-keys", "y", "Enter")
        await anyio.sleep(0.5)


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_prompt_is_optimised_within_two_dollars_at_the_terminal(tmp_path: Path) -> None:
    async with open_search_bench(tmp_path, by_demonstrations) as bench:
        project = Path(bench.store.folder)
    script: list[Step] = [
        *priced_search(project, wait_s=0),
        "It runs.",
        "The new prompt is better.",
    ]
    with anyio.fail_after(580):
        async with (
            chat_programs(tmp_path, script, PRICED_WORKERS, PRICED_ENVIRONMENT) as programs,
            window_of(programs, 80, 24) as window,
        ):
            window.type("Optimise the prompt. Two dollars at most.")
            await agree_until(window, "The new prompt is better.")
            shown = window.text()
    assert "Cost: at most $" in shown
    assert "Agreed." in shown
    assert len(found(project, "tasks/*/prompts/*/prompt.kiln")) == 1
