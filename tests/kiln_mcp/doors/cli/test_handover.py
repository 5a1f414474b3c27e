"""What a command hands to the daemon: who agrees, and what happens if the daemon refuses."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from click.testing import CliRunner

from kiln_mcp.approvals.approval import Approval, ApprovalState, Door, ProposedCall
from kiln_mcp.approvals.approval_store import ApprovalStore
from kiln_mcp.approvals.plan import Plan
from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.doors.cli.handover import Handover, may_be_handed_over
from kiln_mcp.evals.results.service import show_results
from kiln_mcp.evals.service import run_eval
from kiln_mcp.judging.service import label_items
from kiln_mcp.settings import Settings
from kiln_mcp.workbench.workspace import Workspace
from storage import Project, ProjectStore

ROOT = Path(__file__).parents[4]
RESULT = {"eval": "Right", "items": 3}
JOB = {"status": "running", "job": "1a2b", "capability": "run_eval", "state": "running"}


@dataclass
class ScriptedDaemon:
    """Answers each call with the next answer; an exception is raised."""

    answers: list[dict[str, Any] | Exception | None]
    calls: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

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
        self.answers.clear()


@pytest.fixture
async def workspace(tmp_path: Path) -> AsyncGenerator[Workspace]:
    settings = Settings.from_environment({"KILN_MCP_HOME": str(tmp_path / "home")})
    store = await ProjectStore.create(tmp_path / "p", Project(name="P"))
    await store.close()
    async with installed_catalogue().open_workspace(replace(settings, does_jobs=False)) as opened:
        await opened.open_project(str(tmp_path / "p"))  # its name is known from now on
        yield opened


def request_of(workspace: Workspace) -> tuple[ApprovalStore, Approval, dict[str, Any]]:
    """Leave a request for approval as the daemon does; return it with the daemon's answer."""
    store = ApprovalStore(workspace.settings.home)
    approval = store.request(ProposedCall("run_eval", {"eval": "Right"}, Plan("Score.", calls=3)))
    answer = {"status": "needs_approval", "plan": "Score.", "approval_id": approval.id}
    return store, approval, answer


def state_of(store: ApprovalStore, approval: Approval) -> tuple[ApprovalState, Door | None]:
    found = store.find(approval.id)
    assert found is not None
    return found.state, found.door


async def test_the_project_is_sent_as_a_folder_and_progress_is_shown(
    workspace: Workspace, tmp_path: Path
) -> None:
    reports: list[tuple[float, float | None, str | None]] = []

    async def report(done: float, total: float | None, message: str | None) -> None:
        reports.append((done, total, message))

    daemon = ScriptedDaemon([RESULT])
    handover = Handover(replace(workspace, report=report), daemon, None)
    outcome = await handover.call(run_eval, {"project": "P"})
    assert outcome is not None
    assert (outcome.status, outcome.data) == ("done", RESULT)
    assert daemon.calls == [{"tool": "run_eval", "project": str(tmp_path / "p"), "wait_s": 0}]
    assert reports == [(1, 3, "1 scored")]


async def test_nobody_approves_a_plan_where_no_person_is(workspace: Workspace) -> None:
    store, approval, answer = request_of(workspace)
    outcome = await Handover(workspace, ScriptedDaemon([answer]), None).call(run_eval, {})
    assert outcome is not None
    assert (outcome.status, outcome.data) == ("needs_approval", answer)
    assert state_of(store, approval) == (ApprovalState.WAITING, None)


async def test_a_person_who_agrees_at_the_terminal_approves_the_daemons_plan(
    workspace: Workspace,
) -> None:
    store, approval, answer = request_of(workspace)
    daemon = ScriptedDaemon([answer, JOB])
    outcome = await Handover(workspace, daemon, True).call(run_eval, {"eval": "Right"})
    assert outcome is not None
    assert (outcome.status, outcome.job) == ("job", "1a2b")
    assert daemon.calls[1]["approval_id"] == approval.id
    assert state_of(store, approval) == (ApprovalState.APPROVED, Door.TERMINAL)


async def test_a_person_who_declines_leaves_nothing_to_be_done(workspace: Workspace) -> None:
    store, approval, answer = request_of(workspace)
    daemon = ScriptedDaemon([answer])
    with CliRunner().isolation(input="n\n"):
        outcome = await Handover(workspace, daemon, False).call(run_eval, {})
    assert outcome is not None
    assert outcome.status == "declined"
    assert len(daemon.calls) == 1
    assert state_of(store, approval) == (ApprovalState.DECLINED, Door.TERMINAL)


@pytest.mark.parametrize("answer", [None, ConnectionError("it ended"), ValueError("no HTTP")])
async def test_what_the_daemon_refuses_or_leaves_is_called_here(
    workspace: Workspace, answer: Exception | None
) -> None:
    assert await Handover(workspace, ScriptedDaemon([answer]), None).call(run_eval, {}) is None
    assert await Handover(workspace, ScriptedDaemon([answer]), None).follow("1a2b", 5) is None


def test_only_long_work_with_common_settings_is_handed_over() -> None:
    assert may_be_handed_over(run_eval, {})
    assert not may_be_handed_over(run_eval, {"KILN_MCP_ITEM_SECONDS": "9"})
    assert not may_be_handed_over(show_results, {})
    assert not may_be_handed_over(label_items, {})


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
        followed = run("check-job", "--job", "none", KILN_MCP_DAEMON="off")
        return [run(*call, KILN_MCP_DAEMON="off"), run(*call), followed]

    try:
        without, beside, followed = await anyio.to_thread.run_sync(prepare_and_run)
        assert (home / "daemon.json").exists()
        assert without.returncode == beside.returncode == 1
        assert without.stderr == beside.stderr
        assert followed.stderr.startswith(
            "kiln-mcp: KILN_MCP_DAEMON=off: no daemon is used. This command runs the job itself: "
            "the job pauses when the command ends."
        )
    finally:
        if (home / "daemon.json").exists():
            os.kill(json.loads((home / "daemon.json").read_text())["pid"], signal.SIGTERM)
