"""What a job says to have done when a limit stops it, or a person: what is really kept."""

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, cast

import anyio
import pytest
from pydantic import JsonValue

from bench import Agrees
from kiln_mcp.approvals.approval import Door
from kiln_mcp.approvals.approval_store import ApprovalStore
from kiln_mcp.approvals.policy import DailyAllowance, Policy, write_policy
from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.llm import EngineSettings, ServerSettings
from kiln_mcp.operations.job_control import service
from kiln_mcp.operations.job_control.answers import JobReport, usage_of
from kiln_mcp.operations.job_control.capability_calls import Outcome, call_capability
from kiln_mcp.operations.job_control.job_client import job_client_of
from kiln_mcp.settings import Settings
from kiln_mcp.workbench.call_options import JobLimit
from kiln_mcp.workbench.workspace import Workspace
from storage import DataSource, Project, ProjectStore, Task, TaskOutput, TaskRun
from storage.index.queries import RunQuery

ITEMS = 40
CHECK: dict[str, JsonValue] = {"type": "exact_match", "reference_key": "reference_answer"}
JUDGE: dict[str, JsonValue] = {"type": "llm_judge", "steps": ["Look."], "model": "tiny/m"}


class CountingServer(Protocol):
    """The model's server, as conftest.py makes it."""

    questions: list[str]
    address: str
    latency_s: float

    async def until_asked(self, count: int) -> None: ...


@dataclass(slots=True)
class Bench:
    """A workspace with a project, whose eval is run as a job."""

    workspace: Workspace
    folder: str

    async def call(self, tool: str, **arguments: JsonValue) -> None:
        item = installed_catalogue().find(tool)
        await item.invoke(self.workspace, {"project": self.folder, **arguments})

    async def use(self, tool: str, **arguments: JsonValue) -> Outcome:
        return await call_capability(self.workspace, installed_catalogue().find(tool), arguments)

    async def start(self, limit: JobLimit | None = None) -> str:
        call_arguments: dict[str, JsonValue] = {"project": self.folder, "eval": "Right"}
        options = limit.as_options() if limit else {}
        item, arguments = installed_catalogue().find("run_eval"), {**call_arguments, **options}
        return (await call_capability(self.workspace, item, arguments, wait_s=0)).job

    async def outputs(self) -> int:
        store = await self.workspace.open_project(self.folder)
        [task] = await store.children(store.project, Task)
        return len(await store.runs(task, RunQuery(is_from_eval=True)))


@asynccontextmanager
async def open_stopping_bench(
    folder: Path,
    server: CountingServer,
    evaluator: dict[str, JsonValue],
    model: str = "tiny/m",
    awaited_s: float = 60.0,
) -> AsyncGenerator[Bench]:
    project = folder / "project"
    async with await ProjectStore.create(project, Project(name="Stopped")) as store:
        task = await store.save(Task(name="Repeat", instruction="Do it."), parent=store.project)
        person = DataSource(type="human", properties={"created_by": "ann"})
        async with store.transaction() as change:
            for number in range(ITEMS):
                output = TaskOutput(output=f"answer to {number}", source=person)
                run = TaskRun(
                    input=str(number), input_source=person, output=output, tags=("eval_right",)
                )
                change.save(run, parent=task)
    tiny = ServerSettings(
        "tiny",
        server.address,
        concurrency=8,
        input_usd_per_million=1.0,
        output_usd_per_million=2.0,
    )
    engine = EngineSettings(
        response_cache=folder / "home" / "responses.sqlite",
        servers=(tiny,),
        environment={},
        awaited_s=awaited_s,
    )
    settings = Settings(home=folder / "home", engine=engine)
    async with installed_catalogue().open_workspace(settings) as workspace:
        bench = Bench(replace(workspace, person=Agrees()), str(project))
        await bench.call("create_evaluator", eval="Right", **evaluator)
        config: dict[str, JsonValue] = {"name": "it", "prompt": "Repeat it.", "model": model}
        await bench.call("create_run_config", **config)
        yield bench


def proposed_limit(report: JobReport) -> Any:
    [step] = report.next
    arguments = cast("dict[str, Any]", step.arguments)
    return {name: value for name, value in arguments.items() if name != "job"}


@pytest.mark.parametrize("calls", [7, 14])
async def test_where_a_limit_stops_a_job_all_that_was_paid_for_is_saved_and_counted(
    tmp_path: Path, counting: CountingServer, calls: int
) -> None:
    with anyio.fail_after(60):
        async with open_stopping_bench(tmp_path, counting, CHECK) as bench:
            job = await bench.start(JobLimit(calls=calls))
            report = await service.wait_for_job(bench.workspace, job)
            assert (report.state, report.calls, report.done) == ("stopped", calls, calls)
            assert await bench.outputs() == calls
            new_limit = proposed_limit(report)["limit_calls"]
            assert ITEMS <= new_limit <= 1.25 * ITEMS + 1
            await service.resume_job(bench.workspace, job, limit_calls=new_limit)
            done = await service.wait_for_job(bench.workspace, job)
            assert (done.state, done.calls, done.done) == ("done", ITEMS, ITEMS)


async def test_a_paused_job_has_saved_and_counted_every_answer(
    tmp_path: Path, counting: CountingServer
) -> None:
    counting.latency_s = 0.1
    with anyio.fail_after(60):
        async with open_stopping_bench(tmp_path, counting, CHECK) as bench:
            job = await bench.start()
            await counting.until_asked(10)
            paused_job = await service.stop_job(bench.workspace, job, pause=True)
            assert paused_job.state == "paused"
            assert paused_job.done == paused_job.calls == await bench.outputs()
            await service.resume_job(bench.workspace, job)
            done = await service.wait_for_job(bench.workspace, job)
            assert (done.state, done.calls, done.done) == ("done", ITEMS, ITEMS)


async def test_at_the_end_of_its_time_a_job_hears_the_answers_that_are_on_their_way(
    tmp_path: Path, counting: CountingServer
) -> None:
    counting.latency_s = 0.4
    with anyio.fail_after(60):
        async with open_stopping_bench(tmp_path, counting, CHECK) as bench:
            job = await bench.start(JobLimit(seconds=0.6))
            report = await service.wait_for_job(bench.workspace, job)
            assert (report.state, report.lost_calls) == ("stopped", None)
            assert report.done == report.calls == len(counting.questions) == await bench.outputs()


async def test_a_server_that_never_answers_does_not_keep_a_job_after_its_time_and_it_goes_on(
    tmp_path: Path, counting: CountingServer
) -> None:
    counting.latency_s = 600.0
    with anyio.fail_after(60):
        async with open_stopping_bench(tmp_path, counting, CHECK, awaited_s=0.1) as bench:
            job = await bench.start(JobLimit(seconds=3.0))
            report = await service.wait_for_job(bench.workspace, job)
            assert (report.state, report.done, report.lost_calls) == ("stopped", 0, 8)
            assert "the 3 s are over, and in-flight calls were awaited; 8 calls got no" in (
                report.error or ""
            )
            assert len(counting.questions) == 8
            record = await (await job_client_of(bench.workspace).runner()).find(job)
            usage = usage_of(record, report)
            assert (usage["calls"], usage["tokens"]) == (8, report.lost_tokens)
            assert report.lost_tokens
            counting.latency_s = 0.01
            await service.resume_job(bench.workspace, job, limit_seconds=50.0)
            done = await service.wait_for_job(bench.workspace, job)
            assert (done.state, done.done) == ("done", ITEMS)


async def test_an_assistant_that_is_not_there_does_not_keep_a_job_after_its_time(
    tmp_path: Path, counting: CountingServer
) -> None:
    with anyio.fail_after(60):
        async with open_stopping_bench(tmp_path, counting, CHECK, model="host") as bench:
            job = await bench.start(JobLimit(seconds=3.0))
            report = await service.wait_for_job(bench.workspace, job)
            assert (report.state, report.calls, report.lost_calls) == ("stopped", 0, None)
            # How many were handed out by then depends on the machine.
            assert re.search(
                r"work orders? that w\w+ not answered cost nothing", report.error or ""
            )
            assert await bench.workspace.engine.orders.open_count() == 0


async def test_what_failed_is_not_said_to_be_done(tmp_path: Path, counting: CountingServer) -> None:
    with anyio.fail_after(60):
        async with open_stopping_bench(tmp_path, counting, JUDGE) as bench:
            job = await bench.start()
            failed = await service.wait_for_job(bench.workspace, job)
            assert failed.state == "failed"
            # Each output was made, and the judge never said a verdict.
            assert (failed.done, failed.total) == (ITEMS, 2 * ITEMS)
            assert failed.message == f"{ITEMS} outputs made, {ITEMS} failed"
            assert "run_eval" not in (failed.error or "")
            assert [step.tool for step in failed.next] == ["resume_job"]


async def test_a_plan_expects_what_like_calls_took_and_else_says_that_it_is_the_most(
    tmp_path: Path, counting: CountingServer
) -> None:
    async def plan_text(limit: JobLimit) -> str:
        call_arguments: dict[str, JsonValue] = {"project": bench.folder, "eval": "Right"}
        call_arguments |= limit.as_options()
        approval_only = replace(bench.workspace, person=None)
        item = installed_catalogue().find("run_eval")
        return str((await call_capability(approval_only, item, call_arguments)).data["plan"])

    with anyio.fail_after(60):
        async with open_stopping_bench(tmp_path, counting, CHECK) as bench:
            first = await plan_text(JobLimit(tokens=6000))
            assert "Score 40 items for 1 run config of" in first
            assert "About 40 model calls, at most about $0.0720." in first
            assert "It does at least about 10% of the work" in first
            job = await bench.start(JobLimit(calls=8))
            await service.wait_for_job(bench.workspace, job)
            later_job = await plan_text(JobLimit(tokens=240))
    # Each call took 10 tokens and 5.
    assert (
        "About 32 model calls, $0.0006, from 8 earlier calls, at most about $0.0576." in later_job
    )
    assert "It will probably stop at about 50% of the work" in later_job


async def test_an_allowance_pays_for_what_a_call_and_a_resumed_job_really_took(
    tmp_path: Path, counting: CountingServer
) -> None:
    with anyio.fail_after(60):
        async with open_stopping_bench(tmp_path, counting, CHECK) as bench:
            home = bench.workspace.settings.home
            write_policy(home, Policy(DailyAllowance(5.0, 1000)))
            approvals = ApprovalStore(home)
            bench.workspace = replace(bench.workspace, person=None)
            answer = await bench.use("test_model", model="tiny/m")
            assert answer.status == "done"
            assert approvals.spent_today().calls == len(counting.questions)
            price = approvals.spent_today().cost_usd
            [attempt] = approvals.history()
            assert 0 < price < (attempt.plan.highest_cost_usd or 0)
            earlier = len(counting.questions)
            job = await bench.start(JobLimit(calls=7))
            assert (await service.wait_for_job(bench.workspace, job)).state == "stopped"
            assert approvals.spent_today().calls == earlier + 7
            resumed_job = await bench.use("resume_job", job=job, limit_calls=60)
            assert resumed_job.status == "done"
            assert approvals.spent_today().calls > earlier + 7
            done = await service.wait_for_job(bench.workspace, job)
            assert (done.state, done.calls) == ("done", ITEMS)
            usage_values = approvals.spent_today()
    assert usage_values.calls == earlier + ITEMS
    assert usage_values.cost_usd == pytest.approx(price + (done.cost_usd or 0))
    assert {entry.door for entry in approvals.history(3)} == {Door.ALLOWANCE}


async def test_more_for_an_approved_job_waits_for_the_person_again(
    tmp_path: Path, counting: CountingServer
) -> None:
    with anyio.fail_after(60):
        async with open_stopping_bench(tmp_path, counting, CHECK) as bench:
            job = await bench.start(JobLimit(calls=7))
            await service.wait_for_job(bench.workspace, job)
            approvals = ApprovalStore(bench.workspace.settings.home)
            first = approvals.history(1)[0].id
            bench.workspace = replace(bench.workspace, person=None)
            more_calls: dict[str, JsonValue] = {"job": job, "limit_calls": 60}
            for forgery in ({}, {"approval_id": first}):
                waiting = await bench.use("resume_job", **more_calls, **forgery)
                assert waiting.status == "needs_approval"
            assert len(counting.questions) == 7
            assert approvals.approve(str(waiting.data["approval_id"]), Door.TERMINAL)
            await bench.use("resume_job", approval_id=str(waiting.data["approval_id"]))
            done = await service.wait_for_job(bench.workspace, job)
    assert (done.state, done.calls, len(counting.questions)) == ("done", ITEMS, ITEMS)
