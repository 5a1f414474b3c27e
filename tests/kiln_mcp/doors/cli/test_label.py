"""The labelling screen, the plain lines, and the command in a terminal."""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from prompt_toolkit.data_structures import Size
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from bench import Bench, BenchSetup, open_bench
from kiln_mcp.approvals.approval import Door
from kiln_mcp.approvals.approval_store import ApprovalStore
from kiln_mcp.doors.cli.label_lines import label_by_lines
from kiln_mcp.doors.cli.label_screen import LabelScreen
from kiln_mcp.doors.cli.label_texts import ending, wrap
from kiln_mcp.judging.batches import BatchRequest
from kiln_mcp.judging.labelling_session import LabellingSession, open_session
from kiln_mcp.labels.ledger import LABELS, Label, read_labels
from storage import Eval, EvalOutputScore, Project, ProjectStore, Task, TaskOutput, TaskRun
from storage.errors import Refusal

LONG = "a long line of words that wraps " * 40
CONTROL = "\x1b[2J\x1b]0;owned\x07"


async def fill(store: ProjectStore, task: Task, count: int = 12) -> None:
    for name, scale in (("Right", "pass_fail"), ("Polite", "five_star")):
        record = Eval(
            name=name,
            output_scores=(EvalOutputScore.model_validate({"name": name, "type": scale}),),
            eval_set_filter_id="tag::test",
            eval_configs_filter_id="tag::golden",
        )
        await store.save(record, parent=task)
    async with store.transaction() as change:
        for number in range(count):
            output = TaskOutput(output=f"{CONTROL}output {number}\n{LONG}")
            run = TaskRun(input=f"input {number}", output=output, tags=("golden",))
            change.save(run, parent=task)


@asynccontextmanager
async def open_labels(
    folder: Path, **request: object
) -> AsyncGenerator[tuple[Bench, LabellingSession]]:
    setup = BenchSetup(Task(name="T", instruction="Do."), lambda _: "")
    async with open_bench(folder, setup) as bench:
        await fill(bench.store, bench.task)
        wanted = BatchRequest(**{"evals": ["Right"], "count": 5, "rater": "ann", **request})  # type: ignore[arg-type]
        yield bench, await open_session(bench.workspace, bench.store, wanted, is_person=True)


async def saved(bench: Bench, name: str = "Right") -> list[Label]:
    record = await bench.store.find(Eval, name, parent=bench.task)
    return list((await read_labels(bench.store, record)).entries)


class Terminal(DummyOutput):
    """A terminal of some size that keeps what is written."""

    def __init__(self, columns: int, rows: int) -> None:
        self.size = Size(rows=rows, columns=columns)
        self.text = ""

    def get_size(self) -> Size:
        return self.size

    def write(self, data: str) -> None:
        self.text += data

    def write_raw(self, data: str) -> None:
        self.text += data


async def press(
    screen: LabelScreen, terminal: Terminal, steps: list[tuple[str, Callable[[], bool]]]
) -> None:
    """Press keys, each once the screen has done what the one before it asks for."""
    with create_pipe_input() as keys, anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(screen.run, keys, terminal)
            for key, is_done in steps:
                keys.send_text(key)
                while not is_done():
                    await anyio.lowlevel.checkpoint()


def at_item(screen: LabelScreen, number: int, score: str = "") -> Callable[[], bool]:
    def is_there() -> bool:
        question = screen.session.question
        if screen.is_busy or question is None:
            return False
        return score in question.place.name and question.number == number

    return is_there


async def test_a_session_is_refused_whose_rater_has_a_long_name(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="has 81 characters, and 80 at most are allowed"):
        async with open_labels(tmp_path, rater="a" * 81):
            pass


async def test_keys_label_items_go_back_and_undo(tmp_path: Path) -> None:
    async with open_labels(tmp_path) as (bench, session):
        screen, terminal = LabelScreen(session), Terminal(80, 24)
        await press(
            screen,
            terminal,
            [
                ("p", at_item(screen, 2)),
                ("f", at_item(screen, 3)),
                ("b", at_item(screen, 4)),
                ("\x1b[D", at_item(screen, 3)),
                ("x", at_item(screen, 4)),
                ("u", at_item(screen, 3)),
                ("rtoo vague\r", lambda: "reason" in screen.message),
                ("s", at_item(screen, 4)),
                ("q", lambda: True),
            ],
        )
        states = [(label.state, label.value, label.reason) for label in await saved(bench)]
    assert states == [
        ("value", 1.0, ""),
        ("value", 0.0, ""),
        ("both", None, ""),
        ("cannot_judge", None, ""),
        ("withdrawn", None, ""),
        ("skipped", None, "too vague"),
    ]
    assert CONTROL not in terminal.text


async def test_what_was_skipped_is_not_counted_as_labelled(tmp_path: Path) -> None:
    async with open_labels(tmp_path) as (_, session):
        for word in ("pass", "skip", "cannot judge"):
            await session.answer(word)
        assert ending(session, []) == "2 items are labelled in this session, 1 skipped."


async def test_stars_are_keys_from_one_to_five(tmp_path: Path) -> None:
    async with open_labels(tmp_path, evals=["Right", "Polite"]) as (bench, session):
        screen = LabelScreen(session)
        steps = [
            ("4p", at_item(screen, 1, "polite")),
            ("p", at_item(screen, 1, "polite")),
            ("4", at_item(screen, 2, "right")),
            ("\x03", lambda: True),
        ]
        await press(screen, Terminal(80, 24), steps)
        assert [label.value for label in await saved(bench)] == [1.0]
        assert [label.value for label in await saved(bench, "Polite")] == [4.0]


async def test_a_long_output_is_scrolled_in_a_narrow_terminal(tmp_path: Path) -> None:
    async with open_labels(tmp_path) as (_, session):
        screen, terminal = LabelScreen(session), Terminal(30, 14)
        await press(
            screen,
            terminal,
            [
                (" ", lambda: screen.offset > 0),
                ("\x1b[F", lambda: screen.offset > 30),
                ("\x1b[H", lambda: screen.offset == 0),
                ("p", at_item(screen, 2)),
                ("q", lambda: True),
            ],
        )
        assert session.labelled_count == 1


@pytest.mark.parametrize("width", [20, 33, 80])
def test_no_line_is_wider_than_the_terminal_and_no_word_is_lost(width: int) -> None:
    lines = wrap(f"{LONG}\n{'x' * 200} end", width)
    assert max(map(len, lines)) <= width
    assert "".join(lines).replace(" ", "") == f"{LONG}{'x' * 200} end".replace(" ", "")


async def test_wide_letters_take_two_columns() -> None:
    assert wrap("\u6f22" * 15, 20) == ["\u6f22" * 10, "\u6f22" * 5]


async def test_plain_lines_label_without_a_screen(tmp_path: Path) -> None:
    lines = iter(["pass", "perhaps", "reason It is rude.", "fail", "back", "undo", "both", "quit"])
    written: list[str] = []
    async with open_labels(tmp_path) as (bench, session):
        await label_by_lines(session, lambda prompt: next(lines), written.append)
        labels = [(label.state, label.value, label.reason) for label in await saved(bench)]
    assert labels == [
        ("value", 1.0, ""),
        ("value", 0.0, "It is rude."),
        ("withdrawn", None, ""),
        ("both", None, ""),
    ]
    text = "\n".join(written)
    assert "'perhaps' means nothing here." in text
    assert "\x1b[2J" not in text


async def make_project(folder: Path) -> None:
    store = await ProjectStore.create(folder, Project(name="P"))
    await fill(store, await store.save(Task(name="T", instruction="Do."), parent=store.project))
    await store.close()


COMMAND = "import sys; from kiln_mcp.doors.cli import main; sys.argv[0] = 'kiln-mcp'; main()"


def ledger_lines(project: Path) -> list[dict[str, object]]:
    texts = [file.read_text(encoding="utf-8") for file in project.rglob(LABELS)]
    return [json.loads(line) for text in texts for line in text.splitlines()]


class Shell:
    """A command in a terminal of its own."""

    def __init__(self, project: Path, home: Path, *arguments: str) -> None:
        import termios

        self._terminal, inner = os.openpty()
        termios.tcsetwinsize(inner, (24, 80))
        self._text = b""
        self.process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, "label", *arguments],
            cwd=project,
            env={**os.environ, "KILN_MCP_HOME": str(home), "TERM": "xterm", "NO_COLOR": "1"},
            stdin=inner,
            stdout=inner,
            stderr=inner,
            start_new_session=True,
        )
        os.close(inner)

    def press(self, keys: str) -> None:
        os.write(self._terminal, keys.encode())

    def wait_until(self, is_done: Callable[[bytes], bool]) -> None:
        """Read what the terminal shows until that, or the project, is as it should be."""
        while not is_done(self._text):
            assert self.read(30), self._text

    def read(self, longest_s: float) -> bool:
        """Read what the terminal shows next; False if that is nothing in this time."""
        ready, _, _ = select.select([self._terminal], [], [], longest_s)
        self._text += os.read(self._terminal, 65536) if ready else b""
        return bool(ready)

    def end(self) -> int:
        """Return the exit code; what is written meanwhile is read."""
        while self.process.poll() is None:
            ready, _, _ = select.select([self._terminal], [], [], 0.05)
            if ready:
                try:
                    self._text += os.read(self._terminal, 65536)
                except OSError:
                    break
        os.close(self._terminal)
        return self.process.wait(60)


@pytest.mark.skipif(sys.platform == "win32", reason="terminals of Unix")
async def test_a_person_at_a_terminal_labels_and_ctrl_c_leaves_cleanly(tmp_path: Path) -> None:
    project, home = tmp_path / "p", tmp_path / "home"
    await make_project(project)

    def label() -> int:
        shell = Shell(project, home, "Right", "--rater", "ann", "--purpose", "certificate")
        shell.wait_until(lambda text: b"1 of 12" in text)
        shell.press("p")
        shell.wait_until(lambda text: b"Saved." in text)
        shell.press("\x03")
        return shell.end()

    assert await anyio.to_thread.run_sync(label) == 0
    (line,) = ledger_lines(project)
    assert (line["rater"], line["value"], line["confirmed"]) == ("ann", 1.0, True)
    (consent,) = ApprovalStore(home).history()
    assert (consent.call.tool, consent.door) == ("label_items", Door.TERMINAL)
    assert "for a certificate as 'ann', at a terminal" in consent.plan.text


@pytest.mark.skipif(sys.platform == "win32", reason="terminals of Unix")
async def test_a_killed_screen_loses_no_answer(tmp_path: Path) -> None:
    project, home = tmp_path / "p", tmp_path / "home"
    await make_project(project)

    def label() -> None:
        shell = Shell(project, home, "Right")
        shell.wait_until(lambda text: b"1 of 12" in text)
        while len(ledger_lines(project)) < 3:
            shell.press("f")  # a key that comes before the next item is dropped
            shell.read(1)
        os.killpg(shell.process.pid, signal.SIGKILL)
        shell.end()

    await anyio.to_thread.run_sync(label)
    assert {line["value"] for line in ledger_lines(project)} == {0.0}


async def test_without_a_terminal_labels_are_lines_that_nobody_confirmed(tmp_path: Path) -> None:
    project, home = tmp_path / "p", tmp_path / "home"
    await make_project(project)
    done = await anyio.run_process(
        [sys.executable, "-c", COMMAND, "label", "Right", "--purpose", "certificate"],
        input=b"pass\nquit\n",
        cwd=project,
        env={**os.environ, "KILN_MCP_HOME": str(home)},
    )
    assert b"nobody has confirmed these labels" in done.stderr
    (line,) = ledger_lines(project)
    assert (line["confirmed"], line["ledger"]) == (False, "development")
