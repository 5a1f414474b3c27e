import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, JsonValue

from kiln_mcp.approvals.decision import Reply
from kiln_mcp.approvals.errors import MissingApproval
from kiln_mcp.approvals.plan import Plan
from kiln_mcp.approvals.records import Door, ProposedCall
from kiln_mcp.catalogue import Catalogue, installed_catalogue
from kiln_mcp.errors import InvalidArguments
from kiln_mcp.jobs import Job, JobState, Progress, Stop
from kiln_mcp.llm import (
    BudgetLimit,
    EngineSettings,
    Message,
    ModelError,
    ModelRequest,
    ServerSettings,
)
from kiln_mcp.operations.job_control import service
from kiln_mcp.operations.job_control.answers import JobReport, used_by
from kiln_mcp.operations.job_control.calls import call_capability
from kiln_mcp.operations.job_control.desk import desk_of
from kiln_mcp.operations.job_control.errors import LimitStands
from kiln_mcp.operations.job_control.limits import KINDS, amounts, enough_for
from kiln_mcp.operations.job_control.plans import more_to_spend, within
from kiln_mcp.operations.models import service as models_service
from kiln_mcp.operations.work_orders import service as work_orders_service
from kiln_mcp.operations.work_orders.answers import OrderVerdicts
from kiln_mcp.operations.work_orders.service import OrderAnswer
from kiln_mcp.settings import Settings
from kiln_mcp.workbench.call_options import JobLimit
from kiln_mcp.workbench.capability import AnyCapability, Effect, Proposal, Result, Runs, capability
from kiln_mcp.workbench.home import open_workspace
from kiln_mcp.workbench.workspace import Workspace
from scripted_model import ScriptedModel


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


class Agrees:
    """A person who agrees to everything."""

    door = Door.TERMINAL

    async def ask(self, call: ProposedCall) -> Reply:
        return Reply.ACCEPT


def agreed(workspace: Workspace) -> Workspace:
    """Return the workspace of a caller whose person agrees."""
    return replace(workspace, person=Agrees())


async def start(
    workspace: Workspace,
    item: AnyCapability,
    arguments: Mapping[str, JsonValue],
    limit: JobLimit | None = None,
) -> JobReport:
    """Begin a job and return how it is."""
    options = {} if limit is None else {"limit": limit.model_dump(exclude_none=True)}
    outcome = await call_capability(workspace, item, {**arguments, **options}, wait_s=0)
    assert outcome.status == "job", outcome
    return JobReport.model_validate({k: v for k, v in outcome.data.items() if k != "status"})


CATALOGUE = Catalogue((*installed_catalogue().capabilities, ask_questions))


def settings(home: Path) -> Settings:
    engine = EngineSettings(
        journal=home / "journal.sqlite", orders=home / "orders.sqlite", environment={}
    )
    return Settings(home=home, engine=engine)


async def answer_all(workspace: Workspace, most: int) -> int:
    """Be the assistant until so many orders are answered."""
    answered = 0
    for _ in range(1000):
        orders = (await work_orders_service.take_work_orders(workspace, 20)).orders
        for order in orders:
            number = order.messages[0].content.removeprefix("What is ").removesuffix("?")
            given = OrderAnswer(id=order.id, answer=number)
            verdicts = await work_orders_service.answer_work_orders(workspace, [given])
            answered += sum(verdict.accepted for verdict in verdicts.answers)
        if answered >= most:
            return answered
        await anyio.sleep(0.01)
    raise AssertionError(f"only {answered} of {most} orders came")


async def test_a_job_with_the_host_as_model_is_done_by_the_assistant(tmp_path: Path) -> None:
    async with CATALOGUE.open_workspace(settings(tmp_path)) as workspace:
        started = await start(workspace, ask_questions, {"count": 4})
        assert started.plan is not None
        assert started.state in {"waiting", "running"}
        await answer_all(workspace, 4)
        ended = await service.wait_for_job(workspace, started.job)
        assert (ended.state, ended.result, ended.calls) == ("done", {"total": 6}, 4)
        assert [job.job for job in (await service.list_jobs(workspace)).jobs] == [started.job]


async def test_a_job_that_is_under_way_is_not_begun_a_second_time(tmp_path: Path) -> None:
    async with CATALOGUE.open_workspace(settings(tmp_path)) as workspace:
        first = await start(workspace, ask_questions, {"count": 2})
        again = await start(workspace, ask_questions, {"count": 2})
        other = await start(workspace, ask_questions, {"count": 1})
        assert again.job == first.job != other.job
        assert "under way already" in (again.message or "")
        await answer_all(workspace, 2)
        await service.wait_for_job(workspace, first.job)
        later = await start(workspace, ask_questions, {"count": 2})
        assert later.job != first.job


async def test_an_answer_that_is_given_as_json_counts_as_its_text(tmp_path: Path) -> None:
    async with CATALOGUE.open_workspace(settings(tmp_path)) as workspace:
        job = (await start(workspace, ask_questions, {"count": 1})).job
        with anyio.fail_after(10):
            while not (orders := (await work_orders_service.take_work_orders(workspace, 5)).orders):
                await anyio.lowlevel.checkpoint()
        given: list[JsonValue] = [{"id": "none", "answer": {"a": 1}}]
        given.append({"id": orders[0].id, "answer": 7})
        handed = await work_orders_service.answer_work_orders.invoke(workspace, {"answers": given})
        accepted = [verdict.accepted for verdict in OrderVerdicts.model_validate(handed).answers]
        assert accepted == [False, True]
        ended = await service.wait_for_job(workspace, job)
    assert ended.result == {"total": 7}


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
        assert "1 question waits for you: call take_work_orders" in (waiting.next_step or "")
        await service.cancel_job(workspace, job)
        [listed] = (await service.list_jobs(workspace)).jobs
        assert (listed.state, listed.calls, listed.lost_calls) == ("cancelled", 1, None)
        found = await (await desk_of(workspace).runner()).find(job)
        assert used_by(found, listed)["calls"] == 1
        assert used_by(found, listed)["tokens"] == listed.tokens


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
        with anyio.fail_after(20):
            while await workspace.engine.orders.open_count() < 2:
                await anyio.lowlevel.checkpoint()
            while (await service.wait_for_job(workspace, idle, 0)).state != "running":
                await anyio.lowlevel.checkpoint()
        said = [(await service.wait_for_job(workspace, job, 0)).next_step for job in (asking, idle)]
        for job in (asking, idle):
            await service.cancel_job(workspace, job)
    assert said[0] is not None
    assert said[0].startswith("2 questions wait for you")
    assert said[1] == "Call wait_for_job again."


async def test_a_limit_stops_a_job_that_takes_failures_lightly_and_does_several_things_at_once(
    tmp_path: Path,
) -> None:
    catalogue = Catalogue((*CATALOGUE.capabilities, ask_at_once))
    async with catalogue.open_workspace(settings(tmp_path)) as workspace:
        limit = JobLimit(calls=3)
        started = await start(workspace, ask_at_once, {"count": 5}, limit)
        await answer_all(workspace, 3)
        ended = await service.wait_for_job(workspace, started.job)
        assert (ended.state, ended.calls) == ("stopped", 3)
        assert "3 of 3 calls are made" in (ended.error or "")
        more = JobLimit(calls=5)
        await service.resume_job(agreed(workspace), started.job, more)
        await answer_all(workspace, 2)
        ended = await service.wait_for_job(workspace, started.job)
        assert (ended.state, ended.calls, ended.result) == ("done", 5, {"total": 0})


async def test_a_job_that_costs_money_starts_only_with_approval(tmp_path: Path) -> None:
    async with CATALOGUE.open_workspace(settings(tmp_path)) as workspace:
        arguments: dict[str, JsonValue] = {"count": 1, "cost": 2.5}
        waiting = await call_capability(workspace, ask_questions, arguments)
        assert waiting.status == waiting.data["status"] == "needs_approval"
        assert "at most about $2.5000" in str(waiting.data["plan"])
        assert (await service.list_jobs(workspace)).jobs == []
        job = await start(agreed(workspace), ask_questions, arguments)
        await answer_all(workspace, 1)
        assert (await service.wait_for_job(workspace, job.job)).state == "done"


async def test_a_job_stops_at_its_budget_and_goes_on_with_more(tmp_path: Path) -> None:
    async with CATALOGUE.open_workspace(settings(tmp_path)) as workspace:
        limit = JobLimit(calls=2)
        job = (await start(workspace, ask_questions, {"count": 3}, limit)).job
        await answer_all(workspace, 2)
        stopped = await service.wait_for_job(workspace, job)
        assert (stopped.state, stopped.calls, stopped.done) == ("stopped", 2, 2)
        wanted = f'resume_job with job="{job}" and limit={{"calls": 4}}'
        assert wanted in (stopped.next_step or "")
        for same in (None, JobLimit(calls=2), JobLimit(cost_usd=9)):
            with pytest.raises(LimitStands, match="limit in calls.*" + re.escape(wanted)):
                await service.resume_job(workspace, job, same)
        more = agreed(workspace)
        await service.resume_job(more, job, JobLimit(calls=3))
        await answer_all(workspace, 1)  # the first two are remembered
        assert (await service.wait_for_job(workspace, job)).result == {"total": 3}


async def test_an_interrupted_job_goes_on_in_the_next_process(tmp_path: Path) -> None:
    async with CATALOGUE.open_workspace(settings(tmp_path)) as workspace:
        job = (await start(workspace, ask_questions, {"count": 3})).job
        await answer_all(workspace, 1)
    async with CATALOGUE.open_workspace(settings(tmp_path)) as workspace:
        await wait_until(workspace, job)
        ended = await service.wait_for_job(workspace, job)
        assert (ended.result, ended.calls) == ({"total": 3}, 3)


async def wait_until(workspace: Workspace, job: str) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(service.wait_for_job.__call__, workspace, job)
        await answer_all(workspace, 2)


async def test_a_cancelled_job_says_how_to_go_on(tmp_path: Path) -> None:
    async with CATALOGUE.open_workspace(settings(tmp_path)) as workspace:
        job = (await start(workspace, ask_questions, {"count": 1})).job
        cancelled = await service.cancel_job(workspace, job)
        assert cancelled.state == "cancelled"
        assert "resume_job" in (cancelled.next_step or "")


async def test_a_paused_job_loses_no_answer_and_goes_on_where_it_was(tmp_path: Path) -> None:
    async with CATALOGUE.open_workspace(settings(tmp_path)) as workspace:
        job = (await start(workspace, ask_questions, {"count": 3})).job
        await answer_all(workspace, 1)
        asked: list[JobReport] = []
        with anyio.fail_after(10):
            while not await workspace.engine.orders.open_count():
                await anyio.lowlevel.checkpoint()

        async def pause() -> None:
            asked.append(await service.cancel_job(workspace, job, pause=True))

        async with anyio.create_task_group() as group:
            group.start_soon(pause)
            with anyio.fail_after(10):
                while (await service.list_jobs(workspace)).jobs[0].state != "pausing":
                    await anyio.lowlevel.checkpoint()
            await answer_all(workspace, 1)  # the question on its way is still answered
        assert asked[0].state in {"pausing", "paused"}  # it is waited for, but not for ever
        rested = await service.wait_for_job(workspace, job)
        assert (rested.state, rested.calls) == ("paused", 2)
        assert (await work_orders_service.take_work_orders(workspace, 5)).orders == []
        await service.resume_job(workspace, job)
        await answer_all(workspace, 1)
        ended = await service.wait_for_job(workspace, job)
        assert (ended.state, ended.result, ended.calls) == ("done", {"total": 3}, 3)


async def test_going_on_with_more_asks_for_the_rest_of_the_money_alone(tmp_path: Path) -> None:
    async with CATALOGUE.open_workspace(settings(tmp_path)) as workspace:
        arguments: dict[str, JsonValue] = {"count": 1, "cost": 2.5}
        limit = JobLimit(cost_usd=1)
        given: dict[str, JsonValue] = {**arguments, "limit": {"cost_usd": 1}}
        waiting = await call_capability(workspace, ask_questions, given)
        stops = "1 model call, at most about $2.5000. Limit: $1.00. It does at least about 40%"
        assert stops in str(waiting.data["plan"])
        job = (await start(agreed(workspace), ask_questions, arguments, limit)).job
        await service.cancel_job(workspace, job)
        with pytest.raises(MissingApproval, match=r"new limit is \$1\.50, which is \$0\.50 more"):
            await service.resume_job(workspace, job, JobLimit(cost_usd=1.5))
        resumed = await service.resume_job(workspace, job, JobLimit(cost_usd=0.9))
        assert resumed.state in {"waiting", "running"}
        await answer_all(workspace, 1)
        assert (await service.wait_for_job(workspace, job)).state == "done"


class Name(Result):
    model: str


@capability(effect=Effect.SPENDS, title="Say the model", runs=Runs.AS_JOB)
async def say_the_model(workspace: Workspace) -> Proposal[Name]:
    """Say which model is asked where none is named."""

    async def say() -> Name:
        return Name(model=workspace.model_name(None))

    return Proposal(Plan("Look.", calls=1), say)


async def test_a_job_asks_the_default_model_of_the_client_that_started_it(tmp_path: Path) -> None:
    catalogue = Catalogue((*CATALOGUE.capabilities, say_the_model))
    async with catalogue.open_workspace(settings(tmp_path)) as workspace:
        client = workspace.with_model("host")
        job = (await start(client, say_the_model, {})).job
        ended = await service.wait_for_job(workspace, job)
    assert ended.result == {"model": "host"}


async def test_a_job_is_known_by_the_address_of_its_page_too(tmp_path: Path) -> None:
    async with CATALOGUE.open_workspace(settings(tmp_path)) as workspace:
        job = (await start(workspace, ask_questions, {"count": 1})).job
        for reference in (f"kiln://jobs/{job}", f" {job} "):
            found = await service.wait_for_job.invoke(workspace, {"job": reference, "seconds": 0})
            assert isinstance(found, JobReport)
            assert found.job == job
        await service.cancel_job(workspace, job)


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        (BudgetLimit(), ""),
        (BudgetLimit(cost_usd=1), r"Limit: \$1\.00\. It does at least about 24% .* higher"),
        (BudgetLimit(calls=41), "Limit: 41 calls. It will probably stop at about 5% of the work"),
        (BudgetLimit(cost_usd=1, calls=41), r"Limit: \$1\.00, 41 calls\. It will .* about 5%"),
        (BudgetLimit(cost_usd=0.001), r"Limit: \$0\.001\. It may stop there before 1% of"),
        (BudgetLimit(cost_usd=10), r"Limit: \$10\.00\. It stops where that is reached: what"),
        (BudgetLimit(tokens=5000, seconds=60), "Limit: 5,000 tokens, 60 s of work. It stops where"),
    ],
)
def test_a_plan_says_what_all_of_it_costs_and_where_its_limits_stop_it(
    limit: BudgetLimit, said: str
) -> None:
    plan = within(Plan("Judge.", calls=820, highest_cost_usd=4.1), limit)
    assert plan.highest_cost_usd == 4.1
    assert re.fullmatch(
        r"Judge\. About 820 model calls, at most about \$4\.1000\."
        + (f" {said}.*" if said else ""),
        plan.text,
    )


def test_a_limit_in_money_says_that_it_does_not_hold_what_has_no_price() -> None:
    plan = within(Plan("Judge.", calls=2, highest_cost_usd=None), BudgetLimit(cost_usd=1))
    assert "holds no model whose price is not known" in plan.text
    assert plan.needs_approval


def stopped(limit: BudgetLimit, stop: Stop, progress: Progress | None = None) -> Job:
    return Job(
        "a1", "judge", {}, limit, state=JobState.STOPPED, stop=stop, progress=progress or Progress()
    )


@given(
    kind=st.sampled_from(KINDS),
    limit=st.integers(0, 10**6),
    needed=st.floats(0, 1e6),
    done=st.integers(0, 50),
    total=st.none() | st.integers(1, 100),
)
def test_what_is_proposed_to_go_on_with_is_more_than_before_and_enough(
    kind: str, limit: int, needed: float, done: int, total: int | None
) -> None:
    job = stopped(BudgetLimit(**{kind: limit}), Stop(kind, needed), Progress(done, total))
    said = enough_for(job, dict.fromkeys(KINDS, float(limit)))
    proposed = json.loads(said[said.index("{") : said.index("}") + 1])
    limits = JobLimit.model_validate(proposed).instead_of(BudgetLimit(cost_usd=1, calls=1))
    assert amounts(limits)[kind] == proposed[kind] > limit
    assert proposed[kind] >= needed
    assert {k: v for k, v in amounts(limits).items() if k != kind} == {
        k: v for k, v in {**dict.fromkeys(KINDS), "cost_usd": 1, "calls": 1}.items() if k != kind
    }


@pytest.mark.parametrize(
    ("before", "after", "spent", "cost"),
    [
        (BudgetLimit(calls=10), BudgetLimit(calls=30), (10, 1.0, None), 2.0),
        (BudgetLimit(calls=10), BudgetLimit(calls=30), (10, 0.0, None), 0.0),
        (BudgetLimit(calls=10), BudgetLimit(calls=30), (10, 1.0, 2), None),
        (BudgetLimit(calls=10), BudgetLimit(calls=30), (0, 0.0, None), None),
        (BudgetLimit(calls=10), BudgetLimit(), (10, 1.0, None), None),
        (BudgetLimit(cost_usd=1, calls=10), BudgetLimit(cost_usd=1, calls=30), (10, 1.0, None), 0),
        (BudgetLimit(cost_usd=1), BudgetLimit(cost_usd=1.5), (10, 1.0, None), 0.5),
        (BudgetLimit(cost_usd=1), BudgetLimit(), (10, 1.0, None), None),
        (BudgetLimit(seconds=60), BudgetLimit(seconds=60), (10, 1.0, None), 0),
        (BudgetLimit(), BudgetLimit(calls=1), (10, 1.0, None), 0),
    ],
)
def test_going_on_with_higher_limits_costs_what_was_not_agreed_to(
    before: BudgetLimit,
    after: BudgetLimit,
    spent: tuple[int, float, int | None],
    cost: float | None,
) -> None:
    calls, usd, unpriced = spent
    report = JobReport(
        job="a1",
        capability="judge",
        state="stopped",
        calls=calls,
        cost_usd=usd,
        unpriced_calls=unpriced,
    )
    assert more_to_spend(stopped(before, Stop("calls", 11)), report, after).highest_cost_usd == cost


async def test_models_are_listed_with_what_they_need(tmp_path: Path) -> None:
    async with CATALOGUE.open_workspace(settings(tmp_path)) as workspace:
        listed = await models_service.list_models(workspace)
    names = [model.name for model in listed.models]
    assert names[:2] == ["embedded", "host"]
    assert listed.default == "embedded"


async def test_models_are_listed_with_what_they_can_do_and_cost(tmp_path: Path) -> None:
    nowhere = "http://127.0.0.1:9/v1"
    servers = (
        ServerSettings("cheap", nowhere, input_usd_per_million=0.5, output_usd_per_million=2.0),
        ServerSettings("unpriced", nowhere),
    )
    engine = EngineSettings(servers=servers, environment={"OPENAI_API_KEY": "none"})
    async with CATALOGUE.open_workspace(Settings(home=tmp_path, engine=engine)) as workspace:
        listed = await models_service.list_models(workspace, ["openai/gpt-4o-mini"])
    models = {model.name: model for model in listed.models}
    assert models["cheap/<model>"].price == "$0.5 read, $2 written, a million tokens"
    assert models["unpriced/<model>"].price == "price not known"
    assert not models["unpriced/<model>"].ready
    assert models["embedded"].price == "free"
    assert models["host"].can == "JSON by schema (in words), JSON mode (in words), tools (in words)"
    assert models["host"].cannot == "logprobs, streaming"
    hosted = models["openai/gpt-4o-mini"]
    assert "JSON by schema" in (hosted.can or "")
    assert "logprobs" in (hosted.not_known or "")


async def test_a_tested_model_says_what_it_answered_and_can_do(tmp_path: Path) -> None:
    models = {"mine": ScriptedModel(["Ready."], repeat=True)}
    async with open_workspace(settings(tmp_path), CATALOGUE.carry_out, models) as workspace:
        tested = await models_service.test_model(workspace, "mine")
    assert (tested.answer, tested.calls, tested.price) == ("Ready.", 1, "free")
    assert "streaming" in (tested.can or "")


async def test_an_unknown_part_of_an_argument_is_said_with_those_that_there_are(
    tmp_path: Path,
) -> None:
    given: dict[str, JsonValue] = {"count": 1, "limit": {"call": 3}}
    async with CATALOGUE.open_workspace(settings(tmp_path)) as workspace:
        said = (
            r"'limit\.call'\. Did you mean 'calls'\? It takes: cost_usd, tokens, calls, seconds\."
        )
        with pytest.raises(InvalidArguments, match=said):
            await call_capability(workspace, ask_questions, given)
