"""A whole conversation in tmux: from the first sentence to what is on disk at the end."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Generator, Mapping
from pathlib import Path

import anyio
import pytest
from pydantic import JsonValue

from agent.guided.flows import FLOWS
from chat_programs import CHAT, ROOT, ChatPrograms, ModelServer, Step, chat_programs
from counted_process import python_command
from data_writer import DataWriter, data_project
from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.settings import Settings
from six_talks import LAST_WORDS, SIX_TALKS
from tmux_windows import Tmux, agree_until, window_of

if shutil.which("tmux") is None:
    pytest.skip("the program tmux is missing", allow_module_level=True)

FAKES = ROOT / "tests" / "fakes"
PARAGRAPH = " ".join(f"word{number:03}" for number in range(400))
WISHES = ("Answers must have at most 80 words.", "Never promise a refund.")


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


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", SIX_TALKS)
async def test_a_conversation_at_the_terminal_leaves_its_work_on_disk(
    name: str, tmp_path: Path
) -> None:
    with anyio.fail_after(580):
        async with (
            SIX_TALKS[name](tmp_path) as talk,
            talk.programs(tmp_path) as programs,
            window_of(programs, 80, 24) as window,
        ):
            window.type(talk.sentence)
            await agree_until(window, LAST_WORDS)
            shown = window.text()
            talk.check()
    assert "\u2717" not in shown  # the mark of a call that failed
    assert "Agreed." in shown or name == "judge"


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_ctrl_c_stops_what_it_is_pressed_at(tmp_path: Path) -> None:
    """At an approval, in a tool, at a line, while a job is followed, and twice."""
    writer = DataWriter()
    async with data_project(tmp_path, writer) as (_, project):
        pass
    data = {"project": project, "spec": "Polite", "count": 30}
    waited = [("generate_data", {**data, "wait_s": 200})]
    followed = [("generate_data", {**data, "seed": 1, "wait_s": 0})]
    script: list[Step] = [waited, "You closed it.", waited, followed, "The job runs."]
    environment = {"KILN_MCP_MODEL": "paid/writer"}
    with anyio.fail_after(280):
        async with (
            chat_programs(
                tmp_path, script, {"writer": writer}, environment, pause_s=1.5
            ) as programs,
            window_of(programs, 80, 24) as window,
        ):
            window.type("make data")
            await window.until("Go ahead?")
            window.run("send-keys", "C-c")
            await window.until("You closed it.")
            assert "Not answered." in window.text()
            window.type("again")
            await window.until_at_end("Go ahead?")
            window.run("send-keys", "y", "Enter")
            await window.until("Ctrl-C stops")
            window.run("send-keys", "C-c")
            await window.until("Stopped. What was done stays.")
            window.type("once more")
            await window.until_at_end("Go ahead?")
            window.run("send-keys", "y", "Enter")
            await window.until("The job runs.")
            window.run("send-keys", "-l", "half a line")
            await window.until("half a line")
            window.run("send-keys", "C-c")
            await window.until_gone("half a line")
            window.run("send-keys", "C-c")
            await window.until("Press Ctrl-C again to end; the chat is saved.")
            window.run("send-keys", "C-c")
            await window.until("ended with 130")
            shown = window.text()
            saved = programs.saved
    assert "Jobs under way: " in shown
    assert "kiln-chat --resume " in shown
    assert saved.count('"role":"tool"') == 3
    assert "The person stopped this call." in saved


class MenuPrograms(ChatPrograms):
    """Starts kiln-chat with the embedded model, which needs no server."""

    def command(self, *words: str) -> list[str]:
        return [*python_command(CHAT), "--model", "embedded", *words]


async def measured_project(home: Path, folder: Path) -> None:
    """Make a project whose names every menu can offer: an eval, a run config and a spec."""
    settings = Settings.from_environment({"KILN_MCP_HOME": str(home)})
    tools = installed_catalogue()
    calls: Mapping[str, dict[str, JsonValue]] = {
        "create_project": {"name": "P", "folder": str(folder), "task": "T", "instruction": "Do."},
        "add_data": {"project": "P", "items": [{"input": "q", "output": "a"}]},
        "create_run_config": {"project": "P", "name": "Start", "model": "embedded"},
        "create_evaluator": {"project": "P", "eval": "Right", "type": "contains", "substring": "a"},
    }
    async with tools.open_workspace(settings) as workspace:
        for tool, arguments in calls.items():
            await tools.perform(workspace, tool, arguments)


ANSWERS: Mapping[str, str] = {
    "project": "P",
    "eval": "Right",
    "start": "Start",
    "count": "3",
    "save": "yes",
    "examples": "a; b; c; d",
    "words": "-",
    "spec": "-",
    "max_calls": "16",
}
"""What the menus accept for an argument; any words for the others."""


@pytest.mark.slow
@pytest.mark.embedded
@pytest.mark.timeout(300)
async def test_ctrl_c_at_each_question_of_the_menus_is_one_line_and_twice_ends_with_130(
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    await measured_project(home, tmp_path / "p")
    programs = MenuPrograms(home, ModelServer(()))
    presses = 0
    with anyio.fail_after(280):
        async with window_of(programs, 100, 30) as window:
            for flow in FLOWS:
                window.type(flow.name)
                for number, question in enumerate(flow.questions, 1):
                    await window.until(f"{flow.name}, question {number} of {len(flow.questions)}")
                    window.run("send-keys", "C-c")
                    presses += 1
                    await window.until_count("Press Ctrl-C again to end", presses)
                    is_last = number == len(flow.questions)
                    window.type("stop" if is_last else ANSWERS.get(question.argument, "Words."))
            window.type("project")
            await window.until_count("project, question 1 of", 2)
            window.run("send-keys", "C-c")
            await window.until_count("Press Ctrl-C again to end", presses + 1)
            window.run("send-keys", "C-c")
            await window.until("ended with 130")
            shown = window.text()
    assert "Traceback" not in shown
    assert "kiln-chat --resume " in shown
