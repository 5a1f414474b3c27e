"""Code and commands reach no file but their folder's, no network and no other process.

Where a system cannot confine code, `protection` says so, and these tests are left out.
"""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from pathlib import Path

import pytest
from pydantic import JsonValue

from storage.isolation.bubblewrap import is_working, prefix_of
from storage.isolation.commands import Command, CommandLimits, CommandResult, run_and_wait
from storage.isolation.confinement import Confinement
from storage.isolation.item_limits import WorkerLimits
from storage.isolation.outcomes import Failed, Outcome, Value
from storage.isolation.pool import WorkerPool
from storage.isolation.process import WorkerProcess
from storage.isolation.protection import protection
from storage.isolation.scratch import scratch_folder
from storage.isolation.watchdog import Watchdog

SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"


@pytest.fixture(scope="module", autouse=True)
def confined() -> None:
    if gaps := protection().gaps:
        pytest.skip(f"here code can {', '.join(gaps)}")


@pytest.fixture(scope="module")
def pool() -> Generator[WorkerPool]:
    made = WorkerPool(WorkerLimits(seconds=5, megabytes=512), size=2)
    yield made
    made.close()


def run_code(pool: WorkerPool, body: str, seconds: int = 5) -> Outcome:
    """Run the body of a `score` that ends with 1 if nothing keeps it."""
    lines = "\n    ".join(["import os, socket, subprocess, sys, time, ctypes", *body.splitlines()])
    code = f"def score():\n    {lines}\n    return 1"
    return pool.run_alone("code", code, {"code": code, "names": {}, "seconds": seconds}, seconds)


@pytest.mark.parametrize(
    "body",
    [
        "open('/etc/passwd').read()",
        "os.listdir(os.path.expanduser('~root'))",
        "os.listdir('/')",
        "open('/proc/%d/environ' % os.getppid(), 'rb').read()",
        "open('/tmp/kiln-mcp-trace', 'w')",
        "open('../outside', 'w')",
        "os.symlink('/etc/passwd', 'link'); open('link').read()",
        "os.mkfifo('/tmp/kiln-mcp-fifo')",
        "socket.create_connection(('127.0.0.1', 9))",
        "socket.socket(socket.AF_UNIX)",
        "os.fork()",
        "subprocess.run(['true'])",
        "os.execv('/bin/true', ['true'])",
        "os.kill(os.getppid(), 9)",
        "os.kill(-1, 9)",
        "os.killpg(0, 9)",
        "os.pidfd_open(os.getppid())",
        "os.setpriority(os.PRIO_USER, os.getuid(), 19)",
        "os.setxattr('.', 'user.x', b'x')",
        "os.unshare(0x10000000)" if sys.version_info >= (3, 12) else "open('/etc/shadow')",
        "os.memfd_create('x')",
    ],
)
def test_code_that_reaches_out_fails_its_item_with_a_sentence(pool: WorkerPool, body: str) -> None:
    outcome = run_code(pool, body)
    assert isinstance(outcome, Failed), outcome
    assert outcome.breach is None
    assert "Error: " in outcome.reason
    assert "code reaches no network" in outcome.reason


def test_code_that_uses_its_folder_and_libraries_is_not_kept_from_them(pool: WorkerPool) -> None:
    body = (
        "import json, sqlite3, tempfile, threading, shutil, zoneinfo, unicodedata, hashlib\n"
        "open('a', 'w').write('x'); shutil.copy('a', 'b'); os.mkdir('c'); os.rename('b', 'c/b')\n"
        "with tempfile.NamedTemporaryFile() as file: file.write(b'x')\n"
        "thread = threading.Thread(target=list); thread.start(); thread.join()\n"
        "connection = sqlite3.connect('x.db'); connection.execute('create table t(a)')\n"
        "connection.commit(); assert open('c/b').read() == 'x'; assert not os.environ.get('PATH')"
    )
    assert run_code(pool, body) == Value(1)


def test_code_has_helpers_to_read_an_answer(pool: WorkerPool) -> None:
    body = (
        "from check_helpers import code_blocks, numbers, read_json, similarity\n"
        "text = 'See:\\n```json\\n{\"a\": [1, 2]}\\n```\\nIt is 1,200.5 of -3.'\n"
        "assert read_json(text) == {'a': [1, 2]} and code_blocks(text, 'sh') == []\n"
        "assert numbers('It is 1,200.5 of -3.') == [1200.5, -3.0]\n"
        "assert similarity('A  b', 'a b') == 1 and similarity('a', 'b') == 0"
    )
    assert run_code(pool, body) == Value(1)


def test_modes_and_times_of_other_files_do_not_change(pool: WorkerPool, tmp_path: Path) -> None:
    file = tmp_path / "mine"
    file.write_text("x", encoding="utf-8")
    file.chmod(0o600)
    body = f"os.chmod({str(file)!r}, 0); os.utime({str(file)!r}, (1, 1))"
    before = file.stat()
    run_code(pool, body)
    after = file.stat()
    assert (after.st_mode, after.st_mtime) == (before.st_mode, before.st_mtime)
    shortened = run_code(pool, f"os.truncate({str(file)!r}, 0)")
    assert isinstance(shortened, Failed)
    assert file.read_text(encoding="utf-8") == "x"


def test_code_that_writes_without_end_fails_and_leaves_nothing(pool: WorkerPool) -> None:
    mark = f"mark-{os.getpid()}"
    body = (
        f"open('{mark}', 'w')\n"
        "block = bytes(1 << 20)\n"
        "for number in range(10_000):\n"
        "    with open(str(number), 'wb') as file:\n"
        "        for _ in range(15): file.write(block)"
    )
    with scratch_folder() as beside:
        parent = beside.parent
    outcome = run_code(pool, body)
    assert outcome == Failed("wrote more than 64 MB of files", "space")
    assert list(parent.glob(f"kiln-mcp-*/{mark}")) == []


def test_code_that_starts_threads_without_end_fails_alone(pool: WorkerPool) -> None:
    body = (
        "import threading\n"
        "while True: threading.Thread(target=time.sleep, args=(60,), daemon=True).start()"
    )
    assert isinstance(run_code(pool, body), Failed)
    assert run_code(pool, "pass") == Value(1)


def test_folders_in_folders_without_end_are_removed(pool: WorkerPool) -> None:
    body = "for _ in range(1200):\n    os.mkdir('d'); os.chdir('d')"
    run_code(pool, body)
    assert run_code(pool, "pass") == Value(1)


# ---------------------------------------------------------------- commands


def run_shell(
    script: str, folder: Path, limits: CommandLimits | None = None, *, is_confined: bool = True
) -> CommandResult | Failed:
    confinement = Confinement((), (str(folder),), may_start_programs=True)
    return run_and_wait(
        Command(
            ("sh", "-c", script),
            folder,
            environment={"PATH": SYSTEM_PATH, "HOME": str(folder)},
            limits=limits or CommandLimits(seconds=10),
            confinement=confinement if is_confined else None,
        )
    )


def is_running(mark: str) -> bool:
    """Return whether a process has a mark in its command line."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark.encode() in path.read_bytes():
                return True
        except OSError:
            continue
    return False


def wait_until_gone(mark: str) -> None:
    deadline = time.monotonic() + 10
    while is_running(mark) and time.monotonic() < deadline:
        threading.Event().wait(0.02)
    assert not is_running(mark)


def test_a_command_has_its_input_its_folder_and_its_exit_code(tmp_path: Path) -> None:
    command = Command(
        ("sh", "-c", "cat; echo kept > file; echo said >&2; exit 3"),
        tmp_path,
        input=b"given" * 100_000,
        environment={"PATH": SYSTEM_PATH},
        confinement=Confinement((), (str(tmp_path),), may_start_programs=True),
    )
    result = run_and_wait(command)
    assert isinstance(result, CommandResult)
    assert (result.exit_code, result.errors) == (3, b"said\n")
    assert result.output == b"given" * 100_000
    assert (tmp_path / "file").read_text(encoding="utf-8") == "kept\n"


@pytest.mark.parametrize(
    "script",
    [
        "cat /etc/passwd",
        "ls /root /home",
        "cat /proc/$PPID/environ",
        "echo x > /tmp/kiln-mcp-trace",
        "mkdir ../outside",
        "kill -9 $PPID",
        "kill -9 SERVER",
    ],
)
def test_a_command_that_reaches_out_fails(tmp_path: Path, script: str) -> None:
    folder = tmp_path / "scratch"
    folder.mkdir()
    result = run_shell(script.replace("SERVER", str(os.getpid())), folder)
    assert isinstance(result, CommandResult), result
    assert result.exit_code != 0
    assert list(tmp_path.iterdir()) == [folder]


def test_a_command_connects_to_nothing_on_this_machine(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        script = f"import socket; socket.create_connection(('127.0.0.1', {port}))"
        command = Command(
            (sys.executable, "-c", script),
            tmp_path,
            environment={"PATH": SYSTEM_PATH},
            confinement=Confinement(
                (sys.prefix, sys.base_prefix), (str(tmp_path),), may_start_programs=True
            ),
        )
        result = run_and_wait(command)
    assert isinstance(result, CommandResult)
    assert b"PermissionError" in result.errors


@pytest.mark.parametrize("is_confined", [True, False])
def test_what_a_command_leaves_behind_ends_with_it(tmp_path: Path, is_confined: bool) -> None:
    mark = f"61.{os.getpid()}{int(is_confined)}"
    script = f"setsid sh -c 'setsid sleep {mark} & ' > /dev/null 2>&1 & sleep 0.1; exit 0"
    result = run_shell(script, tmp_path, is_confined=is_confined)
    assert isinstance(result, CommandResult)
    assert result.exit_code == 0
    wait_until_gone(mark)


def test_a_command_that_starts_processes_without_end_is_ended(tmp_path: Path) -> None:
    mark = f"62.{os.getpid()}"
    script = f"while true; do sleep {mark} & done"
    result = run_shell(script, tmp_path, CommandLimits(seconds=20, processes=32))
    assert result == Failed("started more than 32 processes", "processes")
    wait_until_gone(mark)


@pytest.mark.parametrize(
    ("script", "limits", "breach"),
    [
        ("sleep 60", CommandLimits(seconds=0.3), "time"),
        ("trap '' TERM INT HUP; while true; do :; done", CommandLimits(seconds=0.3), "time"),
        ("yes", CommandLimits(output_bytes=100_000), "output"),
        ("yes > file", CommandLimits(folder_bytes=4 * 2**20), None),
        (
            "while true; do yes | head -c 2000000 > $(date +%N); done",
            CommandLimits(folder_bytes=8 * 2**20),
            "space",
        ),
        ("head -c 300000000 /dev/zero | tail", CommandLimits(megabytes=50), "memory"),
    ],
)
def test_a_command_that_passes_a_limit_is_ended(
    tmp_path: Path, script: str, limits: CommandLimits, breach: str | None
) -> None:
    result = run_shell(script, tmp_path, limits)
    if breach is None:
        assert isinstance(result, Failed | CommandResult)
    else:
        assert isinstance(result, Failed)
        assert result.breach == breach


@pytest.mark.slow
def test_a_command_ends_when_the_process_that_started_it_is_killed(tmp_path: Path) -> None:
    mark = f"63.{os.getpid()}"
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from storage.isolation.commands import Command, run_and_wait\n"
        f"command = Command(('sh', '-c', 'setsid sleep {mark} & sleep {mark}'), Path('/'),\n"
        f"    environment={{'PATH': {SYSTEM_PATH!r}}})\n"
        "run_and_wait(command)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], cwd=Path(__file__).parents[3])
    deadline = time.monotonic() + 20
    while not is_running(f"sleep\0{mark}") and time.monotonic() < deadline:
        threading.Event().wait(0.02)
    process.kill()
    process.wait()
    wait_until_gone(mark)


def test_a_command_that_is_not_there_says_so(tmp_path: Path) -> None:
    command = Command(("no-such-program",), tmp_path, environment={"PATH": SYSTEM_PATH})
    assert run_and_wait(command) == Failed(
        "cannot be started: there is no program 'no-such-program'"
    )


def test_bubblewrap_shows_a_process_its_folder_and_the_system_alone(tmp_path: Path) -> None:
    if not is_working():
        pytest.skip("bubblewrap is not installed, or does not work here")
    (tmp_path / "in").mkdir()
    (tmp_path / "out").write_text("x", encoding="utf-8")
    folder = str(tmp_path / "in")
    script = f"ls {tmp_path} /etc/passwd /var; touch {folder}/made"
    words = [*prefix_of(Confinement((), (folder,))), "sh", "-c", script]
    result = subprocess.run(words, capture_output=True, check=False, text=True, timeout=20)
    assert "out" not in result.stdout
    assert result.stderr.count("No such file") == 2
    assert (tmp_path / "in" / "made").exists()


def test_a_worker_below_bubblewrap_answers(tmp_path: Path) -> None:
    if not is_working():
        pytest.skip("bubblewrap is not installed, or does not work here")
    folder, outside = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    outside.write_text("x", encoding="utf-8")
    prefix = prefix_of(Confinement((), (str(folder),)))
    worker = WorkerProcess(WorkerLimits(), Watchdog(), prefix)
    arguments: dict[str, JsonValue] = {"outside": str(outside), "folder": str(folder)}
    try:
        outcome = worker.ask("trial", arguments, 20)
    finally:
        worker.close()
    assert outcome == Value({"files": True, "network": True, "processes": True})
