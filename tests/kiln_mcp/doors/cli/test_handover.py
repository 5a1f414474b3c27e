"""What a command hands to the daemon: who agrees, and what happens if the daemon refuses."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest
from click.testing import CliRunner

from kiln_mcp.approvals.approval import Approval, ApprovalState, Door, ProposedCall
from kiln_mcp.approvals.approval_store import ApprovalStore
from kiln_mcp.approvals.plan import Plan
from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.doors.cli.capabilities import installed_listing
from kiln_mcp.doors.cli.handover import (
    UNFINISHED,
    Handover,
    may_be_handed_over,
    project_reference,
)
from kiln_mcp.doors.interrupts import Interrupts
from kiln_mcp.jobs import JobState
from kiln_mcp.llm import HOST, Message, ModelRequest, WorkOrders
from kiln_mcp.workbench.capability import Effect, Runs
from storage.errors import Refusal

ROOT = Path(__file__).parents[4]
RESULT = {"eval": "Right", "items": 3}
JOB = {"job": "1a2b", "capability": "run_eval", "state": "running"}
BEGUN = {"status": "running", **JOB}
DONE = {**JOB, "state": "done", "result": RESULT}

Reply = dict[str, Any] | Exception | None


@dataclass
class ScriptedDaemon:
    """A daemon that answers each call with the next answer; an exception is raised."""

    home: Path
    answers: list[Reply]
    calls: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def find(self) -> str | None:
        return "it ended."

    def listing(self, tool: str) -> Mapping[str, Any] | None:
        return None

    def running_tools(self) -> "ScriptedDaemon":
        return self

    def call(
        self,
        tool: str,
        arguments: Mapping[str, object],
        listener: Callable[[Mapping[str, Any]], None],
    ) -> dict[str, Any] | None:
        self.calls.append({"tool": tool, **arguments})
        listener({"progress": 1, "total": 3, "message": "1 scored"})
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def cancel(self) -> None:
        pass


def handover(daemon: ScriptedDaemon, agrees: bool | None = None) -> Handover:
    return Handover(daemon, daemon, agrees)


def request_of(home: Path) -> tuple[ApprovalStore, Approval, dict[str, Any]]:
    """Leave a request for approval as the daemon does; return it with the daemon's answer."""
    home.mkdir(mode=0o700)
    store = ApprovalStore(home)
    approval = store.request(ProposedCall("run_eval", {"eval": "Right"}, Plan("Score.", calls=3)))
    answer = {"status": "needs_approval", "plan": "Score.", "approval_id": approval.id}
    return store, approval, answer


def state_of(store: ApprovalStore, approval: Approval) -> tuple[ApprovalState, Door | None]:
    request = store.find(approval.id)
    assert request is not None
    return request.state, request.door


def test_a_job_is_followed_to_its_result_and_progress_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reports: list[tuple[float, float | None, str | None]] = []
    daemon = ScriptedDaemon(tmp_path, [BEGUN, JOB, DONE])

    def show(done: float, total: float | None, message: str | None) -> None:
        reports.append((done, total, message))

    call = Handover(daemon, daemon, None, show=show)
    answer = call.call("run_eval", {"project": "/p", "eval": "Right"}, is_long=True)
    assert answer == ("done", RESULT)
    look = {"tool": "check_job", "job": "1a2b", "seconds": 30.0}
    first = {"tool": "run_eval", "project": "/p", "eval": "Right", "wait_s": 0}
    assert daemon.calls == [first, look, look]
    assert reports == [(1, 3, "1 scored")] * 3
    assert "This is the job 1a2b. Ctrl-C pauses it." in capsys.readouterr().err


def test_a_wait_for_a_job_ends_in_time_with_the_way_to_its_result(tmp_path: Path) -> None:
    daemon = ScriptedDaemon(tmp_path, [BEGUN, JOB])
    answer = handover(daemon).call("run_eval", {"wait_s": 0}, is_long=True)
    assert answer is not None
    assert (answer.status, answer.data["status"], answer.data["job"]) == ("job", "running", "1a2b")


def test_a_job_that_failed_fails_its_command(tmp_path: Path) -> None:
    failed = {**JOB, "state": "failed", "error": "The server is down."}
    daemon = ScriptedDaemon(tmp_path, [BEGUN, failed])
    with pytest.raises(Refusal, match=r"The job 1a2b is failed\. The server is down\."):
        handover(daemon).call("run_eval", {}, is_long=True)


def test_a_read_is_answered_as_it_is_whatever_its_fields_are_called(tmp_path: Path) -> None:
    report = {"status": "needs_approval", "job": "1", "capability": "x", "state": "running"}
    daemon = ScriptedDaemon(tmp_path, [report])
    assert handover(daemon, True).call("describe_project", {}, is_long=False) == ("done", report)
    assert daemon.calls == [{"tool": "describe_project"}]


def test_ctrl_c_pauses_the_job_and_ends_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupts = Interrupts()
    release = threading.Event()

    class Waiting(ScriptedDaemon):
        def call(self, tool: str, arguments: Mapping[str, object], listener: Any) -> Any:
            if tool == "check_job":
                os.kill(os.getpid(), signal.SIGINT)
                release.wait(30)
            return super().call(tool, arguments, listener)

    daemon = Waiting(tmp_path, [BEGUN, {**JOB, "state": "paused"}])
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with interrupts.cancel_scopes(), pytest.raises(KeyboardInterrupt):
            Handover(daemon, daemon, None, interrupts).call("run_eval", {}, is_long=True)
    finally:
        signal.signal(signal.SIGINT, previous)
    assert daemon.calls[-1] == {"tool": "stop_job", "job": "1a2b", "pause": True}
    release.set()
    text = "The job is paused; kiln-mcp resume-job --job 1a2b continues it."
    assert text in capsys.readouterr().err


def test_a_question_to_the_host_is_announced_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def ask() -> None:
        orders = WorkOrders(tmp_path / "orders.sqlite")
        await orders.add(ModelRequest(HOST, (Message("user", "Polite?"),)))
        await orders.close()

    class Asking(ScriptedDaemon):
        def call(self, tool: str, arguments: Mapping[str, object], listener: Any) -> Any:
            if tool == "check_job" and not looks:
                anyio.run(ask)
                looks.append(threading.Semaphore(0))
                assert looks[0].acquire(timeout=20)
                assert looks[0].acquire(timeout=20)  # the first look has ended
            return super().call(tool, arguments, listener)

        def __getattribute__(self, name: str) -> Any:
            if name == "home" and looks:
                looks[0].release()
            return super().__getattribute__(name)

    looks: list[threading.Semaphore] = []
    daemon = Asking(tmp_path, [BEGUN, JOB, DONE])
    call = Handover(daemon, daemon, None, Interrupts(pulse_s=0.01))
    assert call.call("run_eval", {}, is_long=True) == ("done", RESULT)
    assert capsys.readouterr().err.count("waits for the model 'host'") == 1


def test_nobody_approves_a_plan_where_no_person_is(tmp_path: Path) -> None:
    store, approval, reply = request_of(tmp_path / "home")
    daemon = ScriptedDaemon(tmp_path / "home", [reply])
    assert handover(daemon).call("run_eval", {}, is_long=True) == ("needs_approval", reply)
    assert state_of(store, approval) == (ApprovalState.WAITING, None)


def test_a_person_who_agrees_at_the_terminal_approves_the_daemons_plan(tmp_path: Path) -> None:
    store, approval, reply = request_of(tmp_path / "home")
    daemon = ScriptedDaemon(tmp_path / "home", [reply, BEGUN, DONE])
    answer = handover(daemon, True).call("run_eval", {"eval": "Right"}, is_long=True)
    assert answer == ("done", RESULT)
    assert daemon.calls[1]["approval_id"] == approval.id
    assert state_of(store, approval) == (ApprovalState.APPROVED, Door.TERMINAL)


def test_a_person_who_declines_leaves_nothing_to_be_done(tmp_path: Path) -> None:
    store, approval, reply = request_of(tmp_path / "home")
    daemon = ScriptedDaemon(tmp_path / "home", [reply])
    with CliRunner().isolation(input="n\n"):
        answer = handover(daemon, False).call("run_eval", {}, is_long=True)
    assert answer is not None
    assert answer.status == "declined"
    assert len(daemon.calls) == 1
    assert state_of(store, approval) == (ApprovalState.DECLINED, Door.TERMINAL)


@pytest.mark.parametrize("reply", [None, ConnectionError("it ended"), ValueError("no HTTP")])
def test_what_the_daemon_refuses_or_leaves_is_called_here(
    tmp_path: Path, reply: Exception | None
) -> None:
    for is_long in (True, False):
        daemon = ScriptedDaemon(tmp_path, [reply])
        assert handover(daemon).call("run_eval", {}, is_long=is_long) is None


def test_a_project_means_the_same_in_the_daemon_or_is_left_to_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "below").mkdir()
    assert project_reference("./below") == str(tmp_path / "below")
    assert project_reference("/p") == "/p"
    assert project_reference("Parcels") == "Parcels"
    assert project_reference("~/p") == str(Path.home() / "p")
    for text in ("below", "~nobody-by-this-name/p", "a\0b", " "):
        assert project_reference(text) is None
        daemon = ScriptedDaemon(tmp_path, [])
        assert handover(daemon).call("run_eval", {"project": text}, is_long=True) is None


def test_long_work_and_reads_of_a_project_are_handed_over_and_nothing_else() -> None:
    for item in installed_catalogue().capabilities:
        is_long = item.effect is Effect.SPENDS and item.runs is Runs.AS_JOB
        properties = item.input_schema["properties"]
        assert isinstance(properties, dict)
        is_of_home = "project" in properties or item.name == "check_job"
        reads = item.effect is Effect.READS and is_of_home
        listing = installed_listing(item.name)
        assert may_be_handed_over(listing, {}) is (is_long or reads), item.name
        for own in ({"KILN_MCP_ITEM_SECONDS": "9"}, {"KILN_MCP_DATABASE_URL": "postgresql://x"}):
            assert not may_be_handed_over(listing, own)


def test_the_states_of_an_unfinished_job_are_those_that_are_not_at_rest() -> None:
    assert {state.value for state in JobState if not state.at_rest} == UNFINISHED


def test_a_command_that_is_handed_over_imports_neither_pydantic_nor_asyncio() -> None:
    program = (
        "import sys\n"
        "import kiln_mcp.doors.bridge.program, kiln_mcp.doors.cli.program\n"
        "from kiln_mcp.doors.bridge import _OwnDaemon\n"
        "from kiln_mcp.doors.cli.capabilities import command_of\n"
        "listing = _OwnDaemon().listing('run_eval')\n"
        "command_of(listing, ['project'], {})\n"
        "assert listing['name'] == 'run_eval'\n"
        "assert not {'pydantic', 'asyncio', 'anyio', 'storage.store'} & sys.modules.keys()\n"
    )
    subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=60,
        check=True,
    )


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        ("kiln_mcp.doors.bridge", ["nonsense"]),
        ("kiln_mcp.doors.bridge", ["run-eval", "--limit", "eur=3"]),
        ("kiln_mcp.doors.bridge", ["run-eval", "--limit-usd", "much"]),
        ("agent.program", ["-p", "hi", "--limit", "eur=3"]),
        ("agent.program", ["-p", "hi", "--approve", "everything"]),
    ],
)
def test_a_wrong_call_is_refused_before_the_imports(program: str, arguments: list[str]) -> None:
    code = (
        f"import atexit, sys; sys.argv = ['x', *{arguments!r}]\n"
        "heavy = {'anyio', 'kiln_mcp.catalogue', 'kiln_mcp.llm'}\n"
        "atexit.register(lambda: print(sorted(heavy & sys.modules.keys())))\n"
        f"from {program} import main; main()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (2, "[]\n")
    assert "Error: " in ended.stderr


@pytest.mark.slow
async def test_a_command_is_answered_alike_with_a_daemon_and_without(tmp_path: Path) -> None:
    home = tmp_path / "home"
    program = "import sys; from kiln_mcp.doors.bridge import main; sys.exit(main())"

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        more = {"KILN_MCP_HOME": str(home), "PYTHONPATH": str(ROOT), **environment}
        return subprocess.run(
            [sys.executable, "-c", program, *arguments],
            env={**os.environ, **more},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def prepare_and_run() -> list[subprocess.CompletedProcess[str]]:
        project = ("--project", str(tmp_path / "p"))
        run("create-project", "--name", "P", "--folder", str(tmp_path / "p"))
        run("create-project", *project, "--name", "T", "--instruction", "Answer.")
        run("check-job", "--job", "none")  # starts the daemon
        call = ("run-eval", *project, "--eval", "Missing")
        look = ("describe-project", *project)
        followed = run("check-job", "--job", "none", KILN_MCP_DAEMON="off")
        pairs = [(run(*words, KILN_MCP_DAEMON="off"), run(*words)) for words in (call, look)]
        return [*pairs[0], *pairs[1], followed]

    try:
        done = await anyio.to_thread.run_sync(prepare_and_run)
        assert (home / "daemon.json").exists()
        without, beside, look_without, look_beside, followed = done
        assert without.returncode == beside.returncode == 1
        assert without.stderr == beside.stderr
        assert look_without.returncode == look_beside.returncode == 0
        assert look_without.stdout == look_beside.stdout
        assert followed.stderr.startswith(
            "kiln-mcp: KILN_MCP_DAEMON=off: no daemon is used. This command runs the job itself: "
            "the job pauses when the command ends."
        )
    finally:
        if (home / "daemon.json").exists():
            os.kill(json.loads((home / "daemon.json").read_text())["pid"], signal.SIGTERM)
