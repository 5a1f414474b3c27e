"""Jobs as a client sees them: pages, subscriptions and tasks, in both eras."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import anyio
import mcp_types as types
import pytest
from mcp import Client
from mcp.client.context import ClientRequestContext
from mcp.client.extension import (
    ClaimContext,
    ClientExtension,
    NotificationBinding,
    ResultClaim,
)
from mcp.client.session import SamplingFnT
from mcp.client.subscriptions import ResourcesListChanged, ResourceUpdated
from mcp.shared.exceptions import MCPError
from pydantic import Field

from kiln_mcp.approvals.plan import Plan
from kiln_mcp.catalogue import Catalogue, installed_catalogue
from kiln_mcp.doors.server import build_server
from kiln_mcp.llm import EngineSettings, Message, ModelRequest
from kiln_mcp.llm.for_each import for_each
from kiln_mcp.operations.job_control.answers import JobList
from kiln_mcp.operations.job_control.pages import JobPage
from kiln_mcp.settings import Settings
from kiln_mcp.workbench.capability import Effect, Proposal, Result, Runs, capability
from kiln_mcp.workbench.workspace import Workspace
from storage.errors import Refusal
from work_orders import answer_until_done, orders_in, take_orders

Era = Literal["auto", "legacy"]
ERAS = ("auto", "legacy")


class Sum(Result):
    total: int


@capability(effect=Effect.SPENDS, title="Ask some questions", runs=Runs.AS_JOB)
async def ask_questions(
    workspace: Workspace,
    count: Annotated[int, Field(description="How many.")],
    cost: Annotated[float, Field(description="What to say it costs.")] = 0.0,
    fails: Annotated[bool, Field(description="Refuse to ask.")] = False,
) -> Proposal[Sum]:
    """Ask the host some questions, one after another."""

    async def ask() -> Sum:
        if fails:
            raise Refusal("The server is down. Start it.")
        total = 0
        for number in range(count):
            request = ModelRequest("host", (Message("user", str(number)),), max_tokens=10)
            total += int((await workspace.engine.complete(request, asker="questions")).text)
            await workspace.report(number + 1, count, f"Asked {number + 1}")
        return Sum(total=total)

    return Proposal(Plan("Ask some questions.", calls=count, highest_cost_usd=cost), ask)


@capability(effect=Effect.SPENDS, title="Ask all questions at once", runs=Runs.AS_JOB)
async def ask_at_once(
    workspace: Workspace, count: Annotated[int, Field(description="How many.")]
) -> Proposal[Sum]:
    """Ask the host questions that do not depend on each other."""

    async def ask() -> Sum:
        answers: list[int] = []

        async def ask_one(number: int) -> None:
            text = f"{'A rule of the house. ' * 20}\nWhat is {number}?"
            request = ModelRequest("host", (Message("user", text),), max_tokens=10)
            answers.append(int((await workspace.engine.complete(request, asker="at-once")).text))

        await for_each(range(count), ask_one, workspace.engine.width(["host"]))
        return Sum(total=sum(answers))

    return Proposal(Plan("Ask some questions.", calls=count), ask)


CATALOGUE = Catalogue((*installed_catalogue().capabilities, ask_questions, ask_at_once))


@asynccontextmanager
async def connected(
    home: Path,
    era: Era,
    *,
    answer: types.ElicitResult | None = None,
    extensions: Sequence[ClientExtension] = (),
    hear: Callable[[object], None] | None = None,
    sample: SamplingFnT | None = None,
) -> AsyncGenerator[Client]:
    async def respond(
        context: ClientRequestContext, params: types.ElicitRequestParams
    ) -> types.ElicitResult:
        assert answer is not None
        return answer

    async def take(message: object) -> None:
        if hear is not None:
            hear(message)

    engine = EngineSettings(
        response_cache=home / "responses.sqlite", orders=home / "orders.sqlite", environment={}
    )
    settings = Settings(home=home, engine=engine, poll_s=0.05)
    server = build_server(CATALOGUE.open_workspace(settings), CATALOGUE)
    with anyio.fail_after(60):
        async with Client(
            server,
            mode=era,
            elicitation_callback=respond if answer is not None else None,
            sampling_callback=sample,
            extensions=list(extensions),
            message_handler=take,
        ) as client:
            yield client


async def assist(client: Client, most: int) -> None:
    """Be the assistant that answers so many work orders."""
    answered = 0
    while answered < most:
        for order in await take_orders(client):
            given = {"id": order.id, "answer": order.text}
            await client.call_tool("answer_work_orders", {"answers": [given], "wait_s": 0})
            answered += 1
        await anyio.sleep(0.02)


async def start(client: Client, count: int) -> str:
    started = await client.call_tool("ask_questions", {"count": count, "wait_s": 0})
    assert started.structured_content is not None
    return started.structured_content["job"]


async def page_of(client: Client, job: str) -> tuple[JobPage, str]:
    read = (await client.read_resource(f"kiln://jobs/{job}")).contents
    data, text = read
    assert isinstance(data, types.TextResourceContents)
    assert isinstance(text, types.TextResourceContents)
    assert (data.mime_type, text.mime_type) == ("application/json", "text/plain")
    return JobPage.model_validate_json(data.text), text.text


async def listed_jobs(client: Client) -> list[types.Resource]:
    resources = (await client.list_resources()).resources
    return [resource for resource in resources if resource.uri.startswith("kiln://jobs/")]


@pytest.mark.parametrize("era", ERAS)
async def test_a_job_has_a_page_with_all_that_is_known_about_it(tmp_path: Path, era: Era) -> None:
    async with connected(tmp_path, era) as client:
        assert await listed_jobs(client) == []
        job = await start(client, 2)
        await assist(client, 2)
        await client.call_tool("check_job", {"job": job})
        (listed,) = await listed_jobs(client)
        templates = (await client.list_resource_templates()).resource_templates
        page, text = await page_of(client, job)
    assert str(listed.uri) == f"kiln://jobs/{job}"
    assert listed.name == f"Ask some questions ({job})"
    assert (listed.title or "").startswith("Ask some questions: done 2 of 2, started 20")
    assert "kiln://jobs/{job}" in {template.uri_template for template in templates}
    assert (page.state, page.done, page.total) == ("done", 2, 2)
    assert (page.result, page.arguments) == ({"total": 1}, {"count": 2})
    assert [event.text for event in page.events] == ["Created.", "Begun.", "Done."]
    assert "Asked 2" in text
    assert (page.plan or "").startswith("Ask some questions.")


@pytest.mark.parametrize("era", ERAS)
async def test_a_jobs_page_says_its_limits_and_time_and_a_withdrawn_order_costs_nothing(
    tmp_path: Path, era: Era
) -> None:
    async with connected(tmp_path, era) as client:
        began: dict[str, Any] = {"count": 3, "wait_s": 0, "limit_seconds": 900}
        started = await client.call_tool("ask_questions", began)
        assert started.structured_content is not None
        job: str = started.structured_content["job"]
        await assist(client, 1)
        while not await take_orders(client):
            pass
        await client.call_tool("stop_job", {"job": job})
        page, text = await page_of(client, job)
    assert (page.state, page.calls, page.lost_calls) == ("cancelled", 1, None)
    assert page.limit == {"seconds": 900}
    assert page.worked_s
    assert "Limit: 900 s of work." in started.structured_content["plan"]
    assert (page.plan or "").startswith("Ask some questions.")
    assert "Limit" not in (page.plan or "")  # it may be changed
    assert "worked_s" in text


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("uri", ["kiln://jobs/none", "kiln://jobs/", "kiln://other/1"])
async def test_a_page_that_is_not_there_is_refused(tmp_path: Path, era: Era, uri: str) -> None:
    async with connected(tmp_path, era) as client:
        with pytest.raises(MCPError, match="There is no") as refused:
            await client.read_resource(uri)
    assert refused.value.error.code == types.INVALID_PARAMS
    assert refused.value.error.data == {"uri": uri}


@pytest.mark.parametrize("start", ["kiln://jobs/", "kiln://other/"])
async def test_the_refusal_of_a_page_quotes_200_characters(tmp_path: Path, start: str) -> None:
    async with connected(tmp_path, "legacy") as client:
        with pytest.raises(MCPError, match="There is no") as refused:
            await client.read_resource(start + "x" * 50_000)
    assert len(refused.value.error.model_dump_json()) < 700


async def test_the_refusal_of_a_folder_quotes_200_characters(tmp_path: Path) -> None:
    async with connected(tmp_path, "legacy") as client:
        folder = {"name": "P", "folder": f"/{'x' * 50_000}"}
        refused = await client.call_tool("create_project", folder)
    assert "cannot be used: file name too long" in refused.model_dump_json()
    assert len(refused.model_dump_json()) < 1000


async def test_no_plan_shows_an_endless_address(tmp_path: Path) -> None:
    async with connected(tmp_path, "legacy") as client:
        source = {"copy_from": f"https://{'x' * 50_000}", "folder": str(tmp_path / "new")}
        refused = await client.call_tool("create_project", source)
    assert "no address of a repository" in refused.model_dump_json()
    assert len(refused.model_dump_json()) < 1000


async def subscribe(client: Client, uri: str) -> None:
    params = types.SubscribeRequestParams(uri=uri)
    await client.session.send_request(types.SubscribeRequest(params=params), types.EmptyResult)


async def unsubscribe(client: Client, uri: str) -> None:
    request = types.UnsubscribeRequest(params=types.UnsubscribeRequestParams(uri=uri))
    await client.session.send_request(request, types.EmptyResult)


async def test_a_subscriber_of_the_handshake_era_hears_of_changes(tmp_path: Path) -> None:
    updated = anyio.Event()
    uris: list[str] = []

    def hear(message: object) -> None:
        if isinstance(message, types.ResourceUpdatedNotification):
            uris.append(str(message.params.uri))
            updated.set()

    async with connected(tmp_path, "legacy", hear=hear) as client:
        job = await start(client, 1)
        with pytest.raises(MCPError, match="There is no job 'none'"):
            await subscribe(client, "kiln://jobs/none")
        await subscribe(client, f"kiln://jobs/{job}")
        await assist(client, 1)
        await updated.wait()
        await unsubscribe(client, f"kiln://jobs/{job}")
    assert set(uris) == {f"kiln://jobs/{job}"}


async def test_a_listener_hears_of_new_jobs_and_of_changes(tmp_path: Path) -> None:
    async with connected(tmp_path, "auto") as client:
        async with client.listen(resources_list_changed=True) as heard:
            job = await start(client, 1)
            assert await anext(aiter(heard)) == ResourcesListChanged()
        uri = f"kiln://jobs/{job}"
        async with client.listen(resource_subscriptions=[uri]) as heard:
            await assist(client, 1)
            assert await anext(aiter(heard)) == ResourceUpdated(uri)


class TaskHandle(types.Result):
    """What a call answers where it became a task."""

    result_type: Literal["task"] = "task"
    task_id: str
    status: str
    status_message: str
    ttl_ms: int | None
    poll_interval_ms: int


class TaskNow(types.Result):
    result_type: Literal["complete"]
    task_id: str
    status: str
    status_message: str
    created_at: str
    last_updated_at: str
    ttl_ms: int | None
    result: types.CallToolResult | None = None


class TaskTold(types.NotificationParams):
    """What a notification says of a task."""

    task_id: str
    status: str
    status_message: str
    created_at: str
    last_updated_at: str
    ttl_ms: int | None
    result: types.CallToolResult | None = None


class TaskParams(types.RequestParams):
    task_id: str


class TaskRequest(types.Request[TaskParams, str]):
    name_param = "taskId"


class TasksClient(ClientExtension):
    """A client that notes its tasks instead of following them."""

    identifier = "io.modelcontextprotocol/tasks"

    def __init__(self, followed: list[str] | None = None) -> None:
        self._followed = [] if followed is None else followed
        self.told: list[TaskTold] = []
        self.news = anyio.Event()

    def claims(self) -> Sequence[ResultClaim[TaskHandle]]:
        async def follow(handle: TaskHandle, context: ClaimContext) -> types.CallToolResult:
            self._followed.append(handle.task_id)
            return types.CallToolResult(content=[], structured_content={"total": 0})

        return [ResultClaim(result_type="task", model=TaskHandle, resolve=follow)]

    def notifications(self) -> Sequence[NotificationBinding[TaskTold]]:
        async def hear(told: TaskTold) -> None:
            self.told.append(told)
            self.news.set()
            self.news = anyio.Event()

        return [
            NotificationBinding(method="notifications/tasks", params_type=TaskTold, handler=hear)
        ]

    async def hears_of(self, status: str) -> TaskTold:
        """Wait until it has heard that a task is so."""
        while not (found := [told for told in self.told if told.status == status]):
            await self.news.wait()
        return found[0]


async def listen_for_tasks(client: Client, *tasks: str) -> None:
    """Listen for as long as this is not cancelled."""
    wanted = types.SubscriptionFilter.model_validate({"taskIds": list(tasks)})
    params = types.SubscriptionsListenRequestParams(notifications=wanted)
    request = types.SubscriptionsListenRequest(params=params)
    await client.session.send_request(request, types.SubscriptionsListenResult)


async def begin_task(client: Client, **arguments: object) -> TaskHandle:
    result = await client.session.call_tool("ask_questions", arguments, allow_claimed=True)
    assert isinstance(result, TaskHandle)
    return result


async def look(client: Client, task: str) -> TaskNow:
    request = TaskRequest(method="tasks/get", params=TaskParams(task_id=task))
    return await client.session.send_request(request, TaskNow)


async def ended(client: Client, task: str) -> TaskNow:
    await client.call_tool("check_job", {"job": task})
    return await look(client, task)


async def send(client: Client, method: str, task: str) -> None:
    request = TaskRequest(method=method, params=TaskParams(task_id=task))
    await client.session.send_request(request, types.EmptyResult)


async def test_a_long_call_of_a_client_that_declares_tasks_is_a_job(tmp_path: Path) -> None:
    async with connected(tmp_path, "auto", extensions=[TasksClient()]) as client:
        assert "io.modelcontextprotocol/tasks" in (client.server_capabilities.extensions or {})
        handle = await begin_task(client, count=2)
        assert (handle.status, handle.ttl_ms) == ("working", None)
        await assist(client, 2)
        done = await ended(client, handle.task_id)
        jobs = await client.call_tool("check_job", {})
    assert (done.status, done.status_message) == ("completed", "done, 2 of 2, Asked 2")
    assert done.result is not None
    assert done.result.structured_content == {"total": 1}
    assert handle.task_id in str(jobs.structured_content)


async def test_a_task_is_cancelled_paused_and_gone_on_with_as_a_job(tmp_path: Path) -> None:
    async with connected(tmp_path, "auto", extensions=[TasksClient()]) as client:
        task = (await begin_task(client, count=1)).task_id
        await send(client, "tasks/update", task)
        await send(client, "tasks/cancel", task)
        assert (await ended(client, task)).status == "cancelled"
        await client.call_tool("resume_job", {"job": task})
        await assist(client, 1)
        assert (await ended(client, task)).status == "completed"


async def test_a_client_that_listens_for_tasks_is_told_all_of_them(tmp_path: Path) -> None:
    tasks = TasksClient()
    async with (
        connected(tmp_path, "auto", extensions=[tasks]) as client,
        anyio.create_task_group() as group,
    ):
        task = (await begin_task(client, count=2)).task_id
        group.start_soon(listen_for_tasks, client, task, "none")
        assert (await tasks.hears_of("working")).task_id == task
        await assist(client, 2)
        told = await tasks.hears_of("completed")
        asked = await look(client, task)
        assert told.model_dump(exclude={"meta"}) == asked.model_dump(
            exclude={"meta", "result_type"}
        )
        assert told.result is not None
        assert told.result.structured_content == {"total": 1}
        group.cancel_scope.cancel()


async def test_a_client_that_listens_too_late_for_a_task_is_told_of_its_end(tmp_path: Path) -> None:
    tasks = TasksClient()
    async with connected(tmp_path, "auto", extensions=[tasks]) as client:
        task = (await begin_task(client, count=1)).task_id
        await assist(client, 1)
        await ended(client, task)
        async with anyio.create_task_group() as group:
            group.start_soon(listen_for_tasks, client, task)
            await tasks.hears_of("completed")
            group.cancel_scope.cancel()


async def test_who_does_not_declare_tasks_cannot_listen_for_them(tmp_path: Path) -> None:
    async with connected(tmp_path, "auto") as client:
        with pytest.raises(MCPError) as refused:
            await listen_for_tasks(client, "any")
    assert refused.value.error.code == types.MISSING_REQUIRED_CLIENT_CAPABILITY


async def test_a_tools_own_failure_completes_its_task(tmp_path: Path) -> None:
    async with connected(tmp_path, "auto", extensions=[TasksClient()]) as client:
        task = (await begin_task(client, count=1, fails=True)).task_id
        failed = await ended(client, task)
    assert failed.status == "completed"
    assert failed.result is not None
    assert failed.result.is_error
    assert "resume_job" in str(failed.result.content)


@pytest.mark.parametrize("agree", [True, False])
async def test_the_person_is_asked_before_a_task_that_costs_money_begins(
    tmp_path: Path, agree: bool
) -> None:
    answer = types.ElicitResult(action="accept", content={"agree": agree})
    followed: list[str] = []
    extensions = [TasksClient(followed)]
    async with connected(tmp_path, "auto", answer=answer, extensions=extensions) as client:
        result = await client.call_tool("ask_questions", {"count": 1, "cost": 2.0})
        jobs = JobList.model_validate((await client.call_tool("check_job", {})).structured_content)
    assert ("The person declined" in str(result.content)) is not agree
    assert [job.job for job in jobs.jobs] == followed
    assert len(followed) == (1 if agree else 0)


async def test_what_is_quick_or_refused_is_answered_at_once(tmp_path: Path) -> None:
    async with connected(tmp_path, "auto", extensions=[TasksClient()]) as client:
        listed = await client.call_tool("list_models", {})
        wrong = await client.call_tool("ask_questions", {"cuont": 1})
        dear = await client.call_tool("ask_questions", {"count": 1, "cost": 2.0})
    assert not listed.is_error
    assert "Unknown argument 'cuont'" in str(wrong.content)
    assert "kiln-mcp approve" in str(dear.content)


async def test_an_unknown_task_is_refused(tmp_path: Path) -> None:
    async with connected(tmp_path, "auto", extensions=[TasksClient()]) as client:
        with pytest.raises(MCPError, match="There is no job 'none'") as refused:
            await look(client, "none")
    assert refused.value.error.code == types.INVALID_PARAMS


async def test_who_does_not_declare_tasks_sees_none(tmp_path: Path) -> None:
    async with connected(tmp_path, "auto") as client:
        dear = await client.call_tool("ask_questions", {"count": 1, "cost": 2.0})
        with pytest.raises(MCPError) as refused:
            await look(client, "any")
    assert "Nothing has been done." in str(dear.content)
    assert refused.value.error.code == types.MISSING_REQUIRED_CLIENT_CAPABILITY
    assert refused.value.error.data == {
        "requiredCapabilities": {"extensions": {"io.modelcontextprotocol/tasks": {}}}
    }


async def test_a_call_whose_job_asks_the_caller_itself_does_not_wait_for_it(tmp_path: Path) -> None:
    async with connected(tmp_path, "auto") as client:
        answer = await client.call_tool("ask_questions", {"count": 1, "wait_s": 300})
        data = answer.structured_content
        assert data is not None
        assert (data["status"], data["capability"]) == ("running", "ask_questions")
        [order] = orders_in(data)
        given = [{"id": order.id, "answer": order.text}]
        ended = await client.call_tool("answer_work_orders", {"answers": given})
    assert ended.structured_content is not None
    assert ended.structured_content["jobs"][0]["result"] == {"total": 0}


@pytest.mark.parametrize("era", ERAS)
async def test_questions_that_do_not_depend_on_each_other_take_one_call_for_all_answers(
    tmp_path: Path, era: Era
) -> None:
    async with connected(tmp_path, era) as client:
        started = await client.call_tool("ask_at_once", {"count": 60})
        assert started.structured_content is not None
        [batch] = started.structured_content["orders"]
        assert batch["messages"][0]["content"].count("A rule of the house.") == 20
        assert {len(item["content"]) for item in batch["items"]} <= {10, 11}
        last, calls = await answer_until_done(
            client, started.structured_content, lambda order: order.text.split("What is ")[1][:-1]
        )
    [job] = last["jobs"]
    assert (calls, job["result"]) == (1, {"total": sum(range(60))})


async def test_more_orders_than_the_limit_holds_come_with_the_answer_to_the_first(
    tmp_path: Path,
) -> None:
    async with connected(tmp_path, "auto") as client:
        started = await client.call_tool("ask_at_once", {"count": 60, "wait_s": 0})
        assert started.structured_content is not None
        taking: dict[str, Any] = {"answers": [], "most_tokens": 500}
        first = (await client.call_tool("answer_work_orders", taking)).structured_content
        assert first is not None
        again = (await client.call_tool("answer_work_orders", taking)).structured_content
        assert again is not None
        orders = orders_in(first)
        assert 1 < len(orders) < 60
        assert (first["still_waiting"], again["orders"]) == (60 - len(orders), first["orders"])
        answers = [{"id": order.id, "answer": "1"} for order in orders]
        following = (
            await client.call_tool("answer_work_orders", {**taking, "answers": answers})
        ).structured_content
        assert following is not None
        ids = {order.id for order in orders}
        assert ids.isdisjoint(order.id for order in orders_in(following))
        assert following["accepted"] == len(orders)


async def test_an_answer_that_does_not_fit_comes_back_with_its_order(tmp_path: Path) -> None:
    async with connected(tmp_path, "auto") as client:
        started = await client.call_tool("ask_questions", {"count": 1})
        [order] = orders_in(started.structured_content)
        given = [{"id": order.id, "answer": " "}, {"id": "other", "answer": "1"}]
        turn = await client.call_tool("answer_work_orders", {"answers": given})
        data = turn.structured_content
    assert data is not None
    assert [problem["id"] for problem in data["problems"]] == [order.id, "other"]
    assert orders_in(data) == [order]


async def test_a_client_whose_model_may_be_asked_gets_the_result_of_one_call(
    tmp_path: Path,
) -> None:
    questions: list[str] = []

    async def sample(
        context: ClientRequestContext, params: types.CreateMessageRequestParams
    ) -> types.CreateMessageResult:
        [message] = params.messages
        assert isinstance(message.content, types.TextContent)
        questions.append(message.content.text)
        text = types.TextContent(type="text", text="2")
        return types.CreateMessageResult(role="assistant", content=text, model="its own")

    async with connected(tmp_path, "legacy", sample=sample) as client:
        answer = await client.call_tool("ask_at_once", {"count": 20})
    assert answer.structured_content == {"total": 40}
    assert len(set(questions)) == len(questions) == 20


async def test_orders_go_to_the_tools_once_the_person_declined_a_request_to_the_model(
    tmp_path: Path,
) -> None:
    async def decline(
        context: ClientRequestContext, params: types.CreateMessageRequestParams
    ) -> types.ErrorData:
        return types.ErrorData(code=-1, message="The person declined.")

    async with connected(tmp_path, "legacy", sample=decline) as client:
        answer = await client.call_tool("ask_at_once", {"count": 5})
        assert len(orders_in(answer.structured_content)) == 5


@pytest.mark.parametrize("method", ["tasks/get", "tasks/list", "tasks/result"])
async def test_the_handshake_era_has_no_tasks(tmp_path: Path, method: str) -> None:
    async with connected(tmp_path, "legacy", extensions=[TasksClient()]) as client:
        with pytest.raises(MCPError) as refused:
            await send(client, method, "any")
    assert refused.value.error.code == types.METHOD_NOT_FOUND
