from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import anyio
import anyio.lowlevel
import pytest
from pydantic import Field, JsonValue

from bench import Agrees
from kiln_mcp.approvals.errors import MissingApproval
from kiln_mcp.approvals.plan import Plan
from kiln_mcp.catalogue import Catalogue, installed_catalogue
from kiln_mcp.llm import (
    EngineSettings,
    Message,
    ModelError,
    ModelRequest,
)
from kiln_mcp.operations.job_control import service
from kiln_mcp.operations.job_control.answers import JobReport, usage_of
from kiln_mcp.operations.job_control.capability_calls import call_capability
from kiln_mcp.operations.job_control.job_client import job_client_of
from kiln_mcp.operations.work_orders.service import OrderAnswer, answer_work_orders
from kiln_mcp.settings import Settings
from kiln_mcp.workbench.call_options import JobLimit
from kiln_mcp.workbench.capability import AnyCapability, Effect, Proposal, Result, Runs, capability
from kiln_mcp.workbench.workspace import Workspace
from storage.errors import RecordNotFound, Refusal
from work_orders import Order, orders_in


class Sum(Result):
    total: int


@capability(effect=Effect.SPENDS, title="Ask some questions", runs=Runs.AS_JOB)
async def ask_questions(
    workspace: Workspace,
    count: Annotated[int, Field(description="How many.")],
    cost: Annotated[float, Field(description="What to say it costs.")] = 0.0,
    model: Annotated[str, Field(description="Whom.")] = "host",
) -> Proposal[Sum]:
    """Ask the host some questions, one after another."""

    async def ask() -> Sum:
        total = 0
        for number in range(count):
            request = ModelRequest(model, (Message("user", f"What is {number}?"),), max_tokens=10)
            total += int((await workspace.engine.complete(request, asker="questions")).text)
            await workspace.report(number + 1, count, None)
        return Sum(total=total)

    return Proposal(Plan("Ask some questions.", calls=count, highest_cost_usd=cost), ask)


def with_consent(workspace: Workspace) -> Workspace:
    """Return the workspace of a caller whose person agrees."""
    return replace(workspace, person=Agrees())


async def start(
    workspace: Workspace,
    item: AnyCapability,
    arguments: Mapping[str, JsonValue],
    limit: JobLimit | None = None,
) -> JobReport:
    """Begin a job and return how it is."""
    options = {} if limit is None else limit.as_options()
    outcome = await call_capability(workspace, item, {**arguments, **options}, wait_s=0)
    assert outcome.status == "job", outcome
    return JobReport.model_validate({k: v for k, v in outcome.data.items() if k != "status"})


CATALOGUE = Catalogue((*installed_catalogue().capabilities, ask_questions))


def settings(home: Path) -> Settings:
    engine = EngineSettings(
        response_cache=home / "responses.sqlite", orders=home / "orders.sqlite", environment={}
    )
    return Settings(home=home, engine=engine)


async def waiting_orders(workspace: Workspace) -> list[Order]:
    turn = await answer_work_orders(workspace, [], wait_s=0)
    return orders_in(turn.model_dump(exclude_none=True))


async def answer_all(workspace: Workspace, minimum: int) -> int:
    """Be the assistant until so many orders are answered."""
    answers = 0
    for _ in range(1000):
        for order in await waiting_orders(workspace):
            number = order.text.removeprefix("What is ").removesuffix("?")
            answer = OrderAnswer(id=order.id, answer=number)
            turn = await answer_work_orders(workspace, [answer], wait_s=0)
            answers += turn.accepted
        if answers >= minimum:
            return answers
        await anyio.sleep(0.01)
    raise AssertionError(f"only {answers} of {minimum} orders came")


async def test_a_job_with_the_host_as_model_is_done_by_the_assistant(tmp_path: Path) -> None:
    async with CATALOGUE.open_workspace(settings(tmp_path)) as workspace:
        started = await start(workspace, ask_questions, {"count": 4})
        assert started.plan is not None
        assert started.state in {"waiting", "running"}
        await answer_all(workspace, 4)
        final = await service.wait_for_job(workspace, started.job)
        assert (final.state, final.result, final.calls) == ("done", {"total": 6}, 4)
        assert [job.job for job in (await service.list_jobs(workspace)).jobs] == [started.job]


async def test_a_job_that_is_under_way_is_not_begun_a_second_time(tmp_path: Path) -> None:
    async with CATALOGUE.open_workspace(settings(tmp_path)) as workspace:
        first = await start(workspace, ask_questions, {"count": 2})
        second_run = await start(workspace, ask_questions, {"count": 2})
        other = await start(workspace, ask_questions, {"count": 1})
        assert second_run.job == first.job != other.job
        assert "under way already" in (second_run.message or "")
        await answer_all(workspace, 2)
        await service.wait_for_job(workspace, first.job)
        # The response cache answers it, so it may be done already.
        later = await call_capability(workspace, ask_questions, {"count": 2}, wait_s=0)
        assert later.job not in {"", first.job}


async def test_an_answer_that_is_given_as_json_counts_as_its_text(tmp_path: Path) -> None:
    async with CATALOGUE.open_workspace(settings(tmp_path)) as workspace:
        job = (await start(workspace, ask_questions, {"count": 1})).job
        with anyio.fail_after(60):
            while not (orders := await waiting_orders(workspace)):
                await anyio.lowlevel.checkpoint()
        call_arguments: list[JsonValue] = [{"id": "none", "answer": {"a": 1}}]
        call_arguments.append({"id": orders[0].id, "answer": 7})
        turn = await answer_work_orders.invoke(workspace, {"answers": call_arguments})
        assert (turn.accepted, [problem.id for problem in turn.problems]) == (1, ["none"])
        final = await service.wait_for_job(workspace, job)
    assert final.result == {"total": 7}


@capability(effect=Effect.SPENDS, title="Ask at once", runs=Runs.AS_JOB)
async def ask_at_once(workspace: Workspace, count: int) -> Proposal[Sum]:
    """Ask the host several questions at once, and count those that fail."""
    failed = 0

    async def ask(number: int) -> None:
        nonlocal failed
        request = ModelRequest("host", (Message("user", f"What is {number}?"),), max_tokens=10)
        try:
            await workspace.engine.complete(request, asker="questions")
        except ModelError:
            failed += 1

    async def ask_all() -> Sum:
        async with anyio.create_task_group() as group:
            for number in range(count):
                group.start_soon(ask, number)
        return Sum(total=failed)

    return Proposal(Plan("Ask some questions.", calls=count), ask_all)


async def test_a_job_says_that_questions_wait_and_a_withdrawn_one_costs_nothing(
    tmp_path: Path,
) -> None:
    async with CATALOGUE.open_workspace(settings(tmp_path)) as workspace:
        job = (await start(workspace, ask_questions, {"count": 3})).job
        await answer_all(workspace, 1)
        for _ in range(1000):
            if await workspace.engine.orders.open_count():
                break
            await anyio.sleep(0.01)
        waiting = await service.wait_for_job(workspace, job, 0)
        assert [step.tool for step in waiting.next] == ["answer_work_orders", "check_job"]
        assert waiting.next[0].reason.startswith("1 question waits for you")
        await service.stop_job(workspace, job)
        [listing] = (await service.list_jobs(workspace)).jobs
        assert (listing.state, listing.calls, listing.lost_calls) == ("cancelled", 1, None)
        record = await (await job_client_of(workspace).runner()).find(job)
        assert usage_of(record, listing)["calls"] == 1
        assert usage_of(record, listing)["tokens"] == listing.tokens


@capability(effect=Effect.SPENDS, title="Wait for nothing", runs=Runs.AS_JOB)
async def wait_for_nothing(workspace: Workspace) -> Proposal[Sum]:
    """Ask nobody, and never end."""

    async def wait() -> Sum:
        await anyio.sleep_forever()
        return Sum(total=0)

    return Proposal(Plan("Wait.", calls=1), wait)


async def test_of_questions_that_wait_a_job_says_its_own_alone(tmp_path: Path) -> None:
    catalogue = Catalogue((*CATALOGUE.capabilities, ask_at_once, wait_for_nothing))
    async with catalogue.open_workspace(settings(tmp_path)) as workspace:
        asking = (await start(workspace, ask_at_once, {"count": 2})).job
        idle = (await start(workspace, wait_for_nothing, {})).job
        with anyio.fail_after(60):
            while await workspace.engine.orders.open_count() < 2:
                await anyio.lowlevel.checkpoint()
            while (await service.wait_for_job(workspace, idle, 0)).state != "running":
                await anyio.lowlevel.checkpoint()
        steps = [(await service.wait_for_job(workspace, job, 0)).next for job in (asking, idle)]
        for job in (asking, idle):
            await service.stop_job(workspace, job)
    assert steps[0][0].reason.startswith("2 questions wait for you")
    assert [step.tool for step in steps[1]] == ["check_job"]


async def test_a_limit_stops_a_job_that_takes_failures_lightly_and_does_several_things_at_once(
    tmp_path: Path,
) -> None:
    catalogue = Catalogue((*CATALOGUE.capabilities, ask_at_once))
    async with catalogue.open_workspace(settings(tmp_path)) as workspace:
        limit = JobLimit(calls=3)
        started = await start(workspace, ask_at_once, {"count": 5}, limit)
        await answer_all(workspace, 3)
        final = await service.wait_for_job(workspace, started.job)
        assert (final.state, final.calls) == ("stopped", 3)
        assert "3 of 3 calls are made" in (final.error or "")
        await service.resume_job(with_consent(workspace), started.job, limit_calls=5)
        await answer_all(workspace, 2)
        final = await service.wait_for_job(workspace, started.job)
        assert (final.state, final.calls, final.result) == ("done", 5, {"total": 0})


async def test_a_job_that_costs_money_starts_only_with_approval(tmp_path: Path) -> None:
    async with CATALOGUE.open_workspace(settings(tmp_path)) as workspace:
        arguments: dict[str, JsonValue] = {"count": 1, "cost": 2.5}
        waiting = await call_capability(workspace, ask_questions, arguments)
        assert waiting.status == waiting.data["status"] == "needs_approval"
        assert "at most about $2.5000" in str(waiting.data["plan"])
        assert (await service.list_jobs(workspace)).jobs == []
        job = await start(with_consent(workspace), ask_questions, arguments)
        await answer_all(workspace, 1)
        assert (await service.wait_for_job(workspace, job.job)).state == "done"


async def test_a_job_stops_at_its_budget_and_goes_on_with_more(tmp_path: Path) -> None:
    async with CATALOGUE.open_workspace(settings(tmp_path)) as workspace:
        limit = JobLimit(calls=2)
        job = (await start(workspace, ask_questions, {"count": 3}, limit)).job
        await answer_all(workspace, 2)
        report = await service.wait_for_job(workspace, job)
        assert (report.state, report.calls, report.done) == ("stopped", 2, 2)
        [step] = report.next
        assert step.arguments == {"job": job, "limit_calls": 4}
        for calls, usd in ((None, None), (2, None), (None, 9)):
            with pytest.raises(Refusal, match="limit in calls") as refused:
                await service.resume_job(workspace, job, limit_calls=calls, limit_usd=usd)
            assert [step.arguments for step in refused.value.next] == [step.arguments]
        more_calls = with_consent(workspace)
        await service.resume_job(more_calls, job, limit_calls=3)
        await answer_all(workspace, 1)  # the first two are remembered
        assert (await service.wait_for_job(workspace, job)).result == {"total": 3}


async def test_an_interrupted_job_goes_on_in_the_next_process(tmp_path: Path) -> None:
    async with CATALOGUE.open_workspace(settings(tmp_path)) as workspace:
        job = (await start(workspace, ask_questions, {"count": 3})).job
        await answer_all(workspace, 1)
    async with CATALOGUE.open_workspace(settings(tmp_path)) as workspace:
        await wait_until(workspace, job)
        final = await service.wait_for_job(workspace, job)
        assert (final.result, final.calls) == ({"total": 3}, 3)


async def wait_until(workspace: Workspace, job: str) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(service.wait_for_job, workspace, job)
        await answer_all(workspace, 2)


async def test_a_cancelled_job_says_how_to_go_on(tmp_path: Path) -> None:
    async with CATALOGUE.open_workspace(settings(tmp_path)) as workspace:
        job = (await start(workspace, ask_questions, {"count": 1})).job
        cancelled = await service.stop_job(workspace, job)
        assert cancelled.state == "cancelled"
        [step] = cancelled.next
        assert (step.tool, step.arguments) == ("resume_job", {"job": job})


async def test_a_paused_job_loses_no_answer_and_goes_on_where_it_was(tmp_path: Path) -> None:
    async with CATALOGUE.open_workspace(settings(tmp_path)) as workspace:
        job = (await start(workspace, ask_questions, {"count": 3})).job
        await answer_all(workspace, 1)
        questions: list[JobReport] = []
        with anyio.fail_after(60):
            while not await workspace.engine.orders.open_count():
                await anyio.lowlevel.checkpoint()

        async def pause() -> None:
            questions.append(await service.stop_job(workspace, job, pause=True))

        async with anyio.create_task_group() as group:
            group.start_soon(pause)
            with anyio.fail_after(60):
                while (await service.list_jobs(workspace)).jobs[0].state != "pausing":
                    await anyio.lowlevel.checkpoint()
            await answer_all(workspace, 1)  # the question on its way is still answered
        assert questions[0].state in {"pausing", "paused"}  # it is waited for, but not for ever
        paused_job = await service.wait_for_job(workspace, job)
        assert (paused_job.state, paused_job.calls) == ("paused", 2)
        assert await waiting_orders(workspace) == []
        await service.resume_job(workspace, job)
        await answer_all(workspace, 1)
        final = await service.wait_for_job(workspace, job)
        assert (final.state, final.result, final.calls) == ("done", {"total": 3}, 3)


async def test_going_on_with_more_asks_for_the_rest_of_the_money_alone(tmp_path: Path) -> None:
    async with CATALOGUE.open_workspace(settings(tmp_path)) as workspace:
        arguments: dict[str, JsonValue] = {"count": 1, "cost": 2.5}
        limit = JobLimit(cost_usd=1)
        call_arguments: dict[str, JsonValue] = {**arguments, "limit_usd": 1}
        waiting = await call_capability(workspace, ask_questions, call_arguments)
        stops = "1 model call, at most about $2.5000. Limit: $1.00. It does at least about 40%"
        assert stops in str(waiting.data["plan"])
        job = (await start(with_consent(workspace), ask_questions, arguments, limit)).job
        await service.stop_job(workspace, job)
        with pytest.raises(MissingApproval, match=r"new limit is \$1\.50, which is \$0\.50 more"):
            await service.resume_job(workspace, job, limit_usd=1.5)
        resumed_job = await service.resume_job(workspace, job, limit_usd=0.9)
        assert resumed_job.state in {"waiting", "running"}
        await answer_all(workspace, 1)
        assert (await service.wait_for_job(workspace, job)).state == "done"


class Name(Result):
    model: str


@capability(effect=Effect.SPENDS, title="Say the model", runs=Runs.AS_JOB)
async def say_the_model(workspace: Workspace) -> Proposal[Name]:
    """Say which model is asked if none is named."""

    async def say() -> Name:
        return Name(model=workspace.model_name(None))

    return Proposal(Plan("Look.", calls=1), say)


async def test_a_job_asks_the_default_model_of_the_client_that_started_it(tmp_path: Path) -> None:
    catalogue = Catalogue((*CATALOGUE.capabilities, say_the_model))
    async with catalogue.open_workspace(settings(tmp_path)) as workspace:
        client = workspace.with_model("host")
        job = (await start(client, say_the_model, {})).job
        final = await service.wait_for_job(workspace, job)
    assert final.result == {"model": "host"}


async def test_a_job_is_known_by_the_address_of_its_page_too(tmp_path: Path) -> None:
    async with CATALOGUE.open_workspace(settings(tmp_path)) as workspace:
        job = (await start(workspace, ask_questions, {"count": 1})).job
        for reference in (f"kiln://jobs/{job}", f" {job} "):
            record = await service.check_job.invoke(workspace, {"job": reference, "seconds": 0})
            assert isinstance(record, JobReport)
            assert record.job == job
        await service.stop_job(workspace, job)


async def test_a_cursor_of_another_list_is_refused_by_the_list_of_jobs(tmp_path: Path) -> None:
    async with CATALOGUE.open_workspace(settings(tmp_path)) as workspace:
        job = (await start(workspace, ask_questions, {"count": 1})).job
        with pytest.raises(RecordNotFound, match="no job 'of another list'"):
            await service.list_jobs(workspace, cursor="of another list")
        await service.stop_job(workspace, job)


async def test_a_client_is_not_told_to_answer_what_another_client_has_taken(
    tmp_path: Path,
) -> None:
    async with CATALOGUE.open_workspace(settings(tmp_path)) as workspace:
        first, other = (
            replace(workspace, client=name, takes_orders=True) for name in ("first", "other")
        )
        job = (await start(workspace, ask_questions, {"count": 1})).job
        with anyio.fail_after(60):
            while not await waiting_orders(first):
                await anyio.lowlevel.checkpoint()
        [step] = (await service.list_jobs(other)).jobs[0].next
        assert step.tool == "check_job"
        assert step.reason.startswith("1 question is with another client")
        steps = (await service.list_jobs(first)).jobs[0].next
        assert steps[0].reason.startswith("1 question waits for you")
        await service.stop_job(workspace, job)
