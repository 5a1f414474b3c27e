"""What a job says to have done when a limit stops it, or a person: what is really kept."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import anyio
import pytest
from pydantic import JsonValue

from kiln_mcp.approvals.decision import Reply
from kiln_mcp.approvals.policy import Policy, write_policy
from kiln_mcp.approvals.records import Door, ProposedCall
from kiln_mcp.approvals.store import ApprovalStore
from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.llm import EngineSettings, ServerSettings
from kiln_mcp.operations.job_control import service
from kiln_mcp.operations.job_control.answers import JobReport, used_by
from kiln_mcp.operations.job_control.calls import Outcome, call_capability
from kiln_mcp.operations.job_control.desk import desk_of
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

    asked: list[str]
    address: str
    latency_s: float

    async def until_asked(self, count: int) -> None: ...


class Agrees:
    """A person who agrees to everything."""

    door = Door.TERMINAL

    async def ask(self, call: ProposedCall) -> Reply:
        return Reply.ACCEPT


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
        given: dict[str, JsonValue] = {"project": self.folder, "eval": "Right"}
        options = {"limit": limit.model_dump(exclude_none=True)} if limit else {}
        item, arguments = installed_catalogue().find("run_eval"), {**given, **options}
        return (await call_capability(self.workspace, item, arguments, wait_s=0)).job

    async def outputs(self) -> int:
        store = await self.workspace.open_project(self.folder)
        [task] = await store.children(store.project, Task)
        return len(await store.runs(task, RunQuery(is_from_eval=True)))


@asynccontextmanager
async def open_bench(
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
        journal=folder / "home" / "journal.sqlite",
        servers=(tiny,),
        environment={},
        awaited_s=awaited_s,
    )
    settings = Settings(home=folder / "home", engine=engine)
    async with installed_catalogue().open_workspace(settings) as workspace:
        bench = Bench(replace(workspace, person=Agrees()), str(project))
        await bench.call("create_evaluator", eval="Right", evaluator=evaluator)
        config: dict[str, JsonValue] = {"name": "it", "prompt": "Repeat it.", "model": model}
        await bench.call("create_run_config", run_config=config)
        yield bench


def proposed(report: JobReport) -> Any:
    said = report.next_step or ""
    return json.loads(said[said.index("{") : said.index("}") + 1])


@pytest.mark.parametrize("calls", [7, 14])
async def test_where_a_limit_stops_a_job_all_that_was_paid_for_is_saved_and_counted(
    tmp_path: Path, counting: CountingServer, calls: int
) -> None:
    with anyio.fail_after(60):
        async with open_bench(tmp_path, counting, CHECK) as bench:
            job = await bench.start(JobLimit(calls=calls))
            stopped = await service.wait_for_job(bench.workspace, job)
            assert (stopped.state, stopped.calls, stopped.done) == ("stopped", calls, calls)
            assert await bench.outputs() == calls
            wanted = proposed(stopped)["calls"]
            assert ITEMS <= wanted <= 1.25 * ITEMS + 1
            await service.resume_job(bench.workspace, job, JobLimit(calls=wanted))
            done = await service.wait_for_job(bench.workspace, job)
            assert (done.state, done.calls, done.done) == ("done", ITEMS, ITEMS)


async def test_a_paused_job_has_saved_and_counted_every_answer(
    tmp_path: Path, counting: CountingServer
) -> None:
    counting.latency_s = 0.1
    with anyio.fail_after(60):
        async with open_bench(tmp_path, counting, CHECK) as bench:
            job = await bench.start()
            await counting.until_asked(10)
            paused = await service.cancel_job(bench.workspace, job, pause=True)
            assert paused.state == "paused"
            assert paused.done == paused.calls == await bench.outputs()
            await service.resume_job(bench.workspace, job)
            done = await service.wait_for_job(bench.workspace, job)
            assert (done.state, done.calls, done.done) == ("done", ITEMS, ITEMS)


async def test_at_the_end_of_its_time_a_job_hears_the_answers_that_are_on_their_way(
    tmp_path: Path, counting: CountingServer
) -> None:
    counting.latency_s = 0.4
    with anyio.fail_after(60):
        async with open_bench(tmp_path, counting, CHECK) as bench:
            job = await bench.start(JobLimit(seconds=0.6))
            stopped = await service.wait_for_job(bench.workspace, job)
            assert (stopped.state, stopped.lost_calls) == ("stopped", None)
            assert stopped.done == stopped.calls == len(counting.asked) == await bench.outputs()


async def test_a_server_that_never_answers_does_not_keep_a_job_after_its_time_and_it_goes_on(
    tmp_path: Path, counting: CountingServer
) -> None:
    counting.latency_s = 600.0
    with anyio.fail_after(60):
        async with open_bench(tmp_path, counting, CHECK, awaited_s=0.1) as bench:
            job = await bench.start(JobLimit(seconds=1.0))
            stopped = await service.wait_for_job(bench.workspace, job)
            assert (stopped.state, stopped.done, stopped.lost_calls) == ("stopped", 0, 8)
            assert "the 1 s are over, and in-flight calls were awaited; 8 calls got no" in (
                stopped.error or ""
            )
            assert len(counting.asked) == 8
            found = await (await desk_of(bench.workspace).runner()).find(job)
            used = used_by(found, stopped)
            assert (used["calls"], used["tokens"]) == (8, stopped.lost_tokens)
            assert stopped.lost_tokens
            counting.latency_s = 0.01
            await service.resume_job(bench.workspace, job, JobLimit(seconds=50.0))
            done = await service.wait_for_job(bench.workspace, job)
            assert (done.state, done.done) == ("done", ITEMS)


async def test_an_assistant_that_is_not_there_does_not_keep_a_job_after_its_time(
    tmp_path: Path, counting: CountingServer
) -> None:
    with anyio.fail_after(60):
        async with open_bench(tmp_path, counting, CHECK, model="host") as bench:
            job = await bench.start(JobLimit(seconds=1.0))
            stopped = await service.wait_for_job(bench.workspace, job)
            assert (stopped.state, stopped.calls, stopped.lost_calls) == ("stopped", 0, None)
            assert "work orders that were not answered cost nothing" in (stopped.error or "")
            assert await bench.workspace.engine.orders.open_count() == 0


async def test_what_failed_is_not_said_to_be_done(tmp_path: Path, counting: CountingServer) -> None:
    with anyio.fail_after(60):
        async with open_bench(tmp_path, counting, JUDGE) as bench:
            job = await bench.start()
            failed = await service.wait_for_job(bench.workspace, job)
            assert failed.state == "failed"
            # Each output was made, and the judge never said a verdict.
            assert (failed.done, failed.total) == (ITEMS, 2 * ITEMS)
            assert failed.message == f"{ITEMS} outputs made, {ITEMS} failed"
            assert "run_eval" not in (failed.error or "")
            assert "resume_job" in (failed.next_step or "")


async def test_a_plan_expects_what_like_calls_took_and_else_says_that_it_is_the_most(
    tmp_path: Path, counting: CountingServer
) -> None:
    async def planned(limit: JobLimit) -> str:
        given: dict[str, JsonValue] = {"project": bench.folder, "eval": "Right"}
        given["limit"] = limit.model_dump(exclude_none=True)
        alone = replace(bench.workspace, person=None)
        item = installed_catalogue().find("run_eval")
        return str((await call_capability(alone, item, given)).data["plan"])

    with anyio.fail_after(60):
        async with open_bench(tmp_path, counting, CHECK) as bench:
            first = await planned(JobLimit(tokens=6000))
            assert "Score 40 items for 1 run config of" in first
            assert "About 40 model calls, at most about $0.0720." in first
            assert "It does at least about 10% of the work" in first
            job = await bench.start(JobLimit(calls=8))
            await service.wait_for_job(bench.workspace, job)
            then = await planned(JobLimit(tokens=240))
    # Each call took 10 tokens and 5.
    assert "About 32 model calls, $0.0006, from 8 earlier calls, at most about $0.0576." in then
    assert "It will probably stop at about 50% of the work" in then


async def test_an_allowance_pays_for_what_a_call_and_a_resumed_job_really_took(
    tmp_path: Path, counting: CountingServer
) -> None:
    with anyio.fail_after(60):
        async with open_bench(tmp_path, counting, CHECK) as bench:
            home = bench.workspace.settings.home
            write_policy(home, Policy(5.0, 1000))
            approvals = ApprovalStore(home)
            bench.workspace = replace(bench.workspace, person=None)
            tested = await bench.use("test_model", model="tiny/m")
            assert tested.status == "done"
            assert approvals.spent_today().calls == len(counting.asked)
            price = approvals.spent_today().cost_usd
            [tried] = approvals.history()
            assert 0 < price < (tried.plan.highest_cost_usd or 0)
            before = len(counting.asked)
            job = await bench.start(JobLimit(calls=7))
            assert (await service.wait_for_job(bench.workspace, job)).state == "stopped"
            assert approvals.spent_today().calls == before + 7
            resumed = await bench.use("resume_job", job=job, limit={"calls": 60})
            assert resumed.status == "done"
            assert approvals.spent_today().calls > before + 7
            done = await service.wait_for_job(bench.workspace, job)
            assert (done.state, done.calls) == ("done", ITEMS)
            spent = approvals.spent_today()
    assert spent.calls == before + ITEMS
    assert spent.cost_usd == pytest.approx(price + (done.cost_usd or 0))
    assert {one.door for one in approvals.history(3)} == {Door.ALLOWANCE}


async def test_more_for_an_approved_job_waits_for_the_person_again(
    tmp_path: Path, counting: CountingServer
) -> None:
    with anyio.fail_after(60):
        async with open_bench(tmp_path, counting, CHECK) as bench:
            job = await bench.start(JobLimit(calls=7))
            await service.wait_for_job(bench.workspace, job)
            approvals = ApprovalStore(bench.workspace.settings.home)
            first = approvals.history(1)[0].id
            bench.workspace = replace(bench.workspace, person=None)
            more: dict[str, JsonValue] = {"job": job, "limit": {"calls": 60}}
            for forged in ({}, {"approval_id": first}):
                waiting = await bench.use("resume_job", **more, **forged)
                assert waiting.status == "needs_approval"
            assert len(counting.asked) == 7
            assert approvals.approve(str(waiting.data["approval_id"]), Door.TERMINAL)
            await bench.use("resume_job", approval_id=str(waiting.data["approval_id"]))
            done = await service.wait_for_job(bench.workspace, job)
    assert (done.state, done.calls, len(counting.asked)) == ("done", ITEMS, ITEMS)
