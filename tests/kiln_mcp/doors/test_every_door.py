"""The same call, through every door, gives the same answer."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import anyio
import mcp_types as types
import pytest
from click.testing import CliRunner
from mcp import Client
from mcp.client.context import ClientRequestContext
from pydantic import Field, JsonValue

from kiln_mcp.approvals.approval import Door
from kiln_mcp.approvals.approval_store import ApprovalStore
from kiln_mcp.approvals.errors import MissingApproval
from kiln_mcp.approvals.plan import Plan
from kiln_mcp.catalogue import Catalogue, installed_catalogue
from kiln_mcp.doors.cli import cli
from kiln_mcp.doors.cli.next_steps import command_line
from kiln_mcp.doors.server import build_server
from kiln_mcp.doors.server.tool_list import as_shown
from kiln_mcp.settings import Settings
from kiln_mcp.workbench.answer_text import render
from kiln_mcp.workbench.capability import Effect, Proposal, Result, capability
from kiln_mcp.workbench.lifecycle import open_workspace
from kiln_mcp.workbench.plain_text import plain
from kiln_mcp.workbench.workspace import Workspace

ALL_SETS = ("team", "admin")
ERAS = ("auto", "legacy")
Era = Literal["auto", "legacy"]


class Paid(Result):
    done: str


@capability(effect=Effect.SPENDS, title="Pay")
async def pay(
    workspace: Workspace, amount: Annotated[float, Field(description="US dollars.")]
) -> Proposal[Paid]:
    """Pay an amount."""

    async def carry_out() -> Paid:
        await workspace.report(1, 2, "half")
        return Paid(done=f"paid {amount}")

    return Proposal(Plan(f"Pay ${amount}.", calls=2, highest_cost_usd=amount), carry_out)


@capability(effect=Effect.READS, title="Break")
async def break_down(workspace: Workspace) -> Paid:
    """Fail in a way that nobody foresaw."""
    raise RuntimeError("boom")


CATALOGUE = Catalogue((*installed_catalogue().capabilities, pay, break_down))

PLANNER = types.Implementation(name="planner", version="2.1")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.from_environment({"KILN_MCP_HOME": str(tmp_path / "home")})


@asynccontextmanager
async def connected(
    settings: Settings,
    era: Era,
    answer: types.ElicitResult | None = None,
) -> AsyncGenerator[Client]:
    async def respond(
        context: ClientRequestContext, params: types.ElicitRequestParams
    ) -> types.ElicitResult:
        assert answer is not None
        return answer

    server = build_server(open_workspace(settings), CATALOGUE)
    callback = respond if answer is not None else None
    with anyio.fail_after(30):
        async with Client(
            server, mode=era, client_info=PLANNER, elicitation_callback=callback
        ) as client:
            yield client


def text_of(result: types.CallToolResult) -> str:
    (block,) = result.content
    assert isinstance(block, types.TextContent)
    return block.text


@pytest.mark.parametrize("era", ERAS)
async def test_python_mcp_and_the_command_line_give_the_same_answer(
    settings: Settings, era: Era, tmp_path: Path
) -> None:
    folder = str(tmp_path / "p")
    async with open_workspace(settings) as workspace:
        tool = CATALOGUE.find("create_project")
        await tool.invoke(workspace, {"name": "Café", "folder": folder})
        look = CATALOGUE.find("describe_project")
        from_python = plain(await look.invoke(workspace, {"project": folder}))
    async with connected(settings, era) as client:
        answered = await client.call_tool("describe_project", {"project": folder})
    assert answered.structured_content == from_python
    assert text_of(answered) == render(from_python)
    home = {"KILN_MCP_HOME": str(settings.home)}
    arguments = ["describe-project", "--project", "Café"]
    as_json = await anyio.to_thread.run_sync(
        lambda: CliRunner(env=home).invoke(cli, [*arguments, "--json"], catch_exceptions=False)
    )
    as_text = await anyio.to_thread.run_sync(
        lambda: CliRunner(env=home).invoke(cli, arguments, catch_exceptions=False)
    )
    assert json.loads(as_json.output) == from_python
    assert as_text.output.rstrip("\n") == render(from_python, partial(command_line, project="Café"))


@pytest.mark.parametrize("era", ERAS)
async def test_every_door_shows_the_schema_and_title_of_the_capability(
    settings: Settings, era: Era
) -> None:
    async with connected(replace(settings, toolsets=ALL_SETS), era) as client:
        tools = (await client.list_tools()).tools
    assert [tool.name for tool in tools] == [item.name for item in CATALOGUE.capabilities]
    for tool, item in zip(tools, CATALOGUE.capabilities, strict=True):
        assert tool.input_schema == as_shown(item.input_schema)
        assert tool.title == item.title
        assert tool.annotations is not None
        assert tool.annotations.read_only_hint is (item.effect is Effect.READS)


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("name", "arguments", "sentence"),
    [
        ("describe_project", {"projct": "x"}, "Unknown argument 'projct'. Did you mean 'project'?"),
        ("describe_project", {"project": "/nowhere"}, "No project '/nowhere'."),
        ("describe_projects", {}, "There is no 'describe_projects'. Did you mean"),
        ("break_down", {}, "unexpected error (RuntimeError: boom)"),
    ],
)
async def test_a_refusal_reaches_the_client_in_our_own_words(
    settings: Settings, era: Era, name: str, arguments: dict[str, JsonValue], sentence: str
) -> None:
    async with connected(settings, era) as client:
        result = await client.call_tool(name, arguments)
    assert result.is_error
    assert sentence in text_of(result)


@pytest.mark.parametrize("era", ERAS)
async def test_a_client_that_cannot_ask_gets_the_plan_and_the_way_to_the_person(
    settings: Settings, era: Era
) -> None:
    approvals = ApprovalStore(settings.home)
    async with connected(settings, era) as client:
        plan = await client.call_tool("pay", {"amount": 3.0})
        assert not plan.is_error
        data = plan.structured_content
        assert data is not None
        assert data["status"] == "needs_approval"
        assert data["plan"] == "Pay $3.0. About 2 model calls, at most about $3.0000."
        assert f"kiln-mcp approve {data['approval_id']}" in text_of(plan)
        [request] = approvals.waiting()
        assert request.call.client == "planner 2.1"
        given = {"approval_id": data["approval_id"]}
        again = await client.call_tool("pay", given)
        assert again.structured_content is not None
        assert again.structured_content["status"] == "needs_approval"
        approvals.approve(data["approval_id"], Door.TERMINAL)
        paid = await client.call_tool("pay", given)
        assert paid.structured_content == {"done": "paid 3.0"}


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (types.ElicitResult(action="accept", content={"agree": True}), None),
        (types.ElicitResult(action="accept", content={"agree": False}), "declined"),
        (types.ElicitResult(action="decline"), "declined"),
        (types.ElicitResult(action="cancel"), "needs_approval"),
        (types.ElicitResult(action="accept"), "needs_approval"),
    ],
)
async def test_a_client_that_can_ask_puts_the_plan_to_the_person(
    settings: Settings, era: Era, answer: types.ElicitResult, status: str | None
) -> None:
    async with connected(settings, era, answer) as client:
        result = await client.call_tool("pay", {"amount": 3.0})
    assert not result.is_error
    assert result.structured_content is not None
    assert result.structured_content.get("status") == status
    assert ("paid 3.0" in text_of(result)) is (status is None)
    if answer.action == "cancel":
        assert "closed without an answer" in text_of(result)


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("extra", [{"confirm": True}, {"agree": True}, {"approved": "yes"}])
async def test_no_argument_is_an_approval(
    settings: Settings, era: Era, extra: dict[str, JsonValue]
) -> None:
    async with connected(settings, era, types.ElicitResult(action="decline")) as client:
        result = await client.call_tool("pay", {"amount": 3.0, **extra})
    assert result.is_error
    assert "pay was not called: Unknown argument" in text_of(result)


@pytest.mark.parametrize("era", ERAS)
async def test_a_client_that_asks_is_asked_whatever_approval_its_model_names(
    settings: Settings, era: Era
) -> None:
    approvals = ApprovalStore(settings.home)
    async with connected(settings, era) as client:
        plan = await client.call_tool("pay", {"amount": 3.0})
    assert plan.structured_content is not None
    approval = plan.structured_content["approval_id"]
    approvals.approve(approval, Door.TERMINAL)
    async with connected(settings, era, types.ElicitResult(action="decline")) as client:
        result = await client.call_tool("pay", {"amount": 3.0, "approval_id": approval})
    assert result.structured_content is not None
    assert result.structured_content["status"] == "declined"


@pytest.mark.parametrize("era", ERAS)
async def test_annotations_say_what_a_tool_does_and_lists_hold_no_output_schemas(
    settings: Settings, era: Era
) -> None:
    async with connected(replace(settings, toolsets=ALL_SETS), era) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}

    def those(hint: str) -> set[str]:
        return {name for name, tool in tools.items() if getattr(tool.annotations, hint)}

    destructive = {"delete_records", "empty_trash", "settle_copy", "undo_change"}
    assert those("destructive_hint") == destructive
    sending = {"sync_project", "export"}
    assert sending | {"run_eval", "resume_job", "test_model"} <= those("open_world_hint")
    assert not those("open_world_hint") & {"mark_runs", "label_items", "add_data", "list_models"}
    assert not [name for name, tool in tools.items() if tool.output_schema is not None]


@pytest.mark.parametrize("era", ERAS)
async def test_progress_reaches_the_client(settings: Settings, era: Era) -> None:
    heard: list[tuple[float, float | None, str | None]] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append((progress, total, message))

    async with connected(settings, era) as client:
        await client.call_tool("pay", {"amount": 0.0}, progress_callback=hear)
    assert heard == [(1, 2, "half")]


async def test_nothing_is_done_before_the_person_has_agreed(settings: Settings) -> None:
    async with open_workspace(settings) as workspace:
        with pytest.raises(MissingApproval):
            await pay.invoke(workspace, {"amount": 1.0})


async def test_a_server_of_many_clients_takes_no_path_that_only_one_of_them_knows(
    settings: Settings,
) -> None:
    shared = replace(settings, started_in=None)
    async with connected(shared, "auto") as client:
        result = await client.call_tool("create_project", {"name": "p", "folder": "here/p"})
    assert result.is_error
    assert "'here/p' is relative" in text_of(result)


async def test_a_relative_path_begins_where_the_command_was_started(
    settings: Settings, tmp_path: Path
) -> None:
    own = replace(settings, started_in=tmp_path)
    async with connected(own, "auto") as client:
        made = await client.call_tool("create_project", {"name": "p", "folder": "here/p"})
        found = await client.call_tool("describe_project", {"project": "here/p"})
    assert not made.is_error
    assert not found.is_error
    assert (tmp_path / "here" / "p" / "project.kiln").exists()


@pytest.mark.parametrize("path", ["a\0b", "", "~nobody-by-this-name/x"])
async def test_what_is_no_path_is_said_so(settings: Settings, path: str) -> None:
    async with connected(settings, "auto") as client:
        result = await client.call_tool("create_project", {"name": "p", "folder": path or " "})
    assert result.is_error
    assert "Give the whole path" in text_of(result)


async def test_an_empty_list_is_an_answer_too(settings: Settings) -> None:
    async with connected(settings, "auto") as client:
        result = await client.call_tool("check_job", {})
    assert text_of(result) == "jobs: []"


async def test_what_the_disk_refuses_is_said_with_the_place(
    settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    async with connected(settings, "auto") as client:
        place = str(tmp_path / "file" / "p")
        result = await client.call_tool("create_project", {"name": "p", "folder": place})
    assert result.is_error
    assert place in text_of(result) or str(tmp_path / "file") in text_of(result)
    assert "unexpected error" not in text_of(result)


async def test_a_repair_that_an_assistant_passes_on_is_not_the_persons_own(
    settings: Settings, tmp_path: Path
) -> None:
    project = str(tmp_path / "p")
    items = [{"input": "a", "output": "b"}]
    async with connected(settings, "auto") as client:
        await client.call_tool("create_project", {"name": "P", "folder": project})
        await client.call_tool(
            "create_project", {"project": project, "task": "T", "instruction": "Answer."}
        )
        await client.call_tool("add_data", {"project": project, "items": items})
        found = await client.call_tool("find", {"project": project})
        assert found.structured_content is not None
        repair = {"runs": [found.structured_content["runs"][0]["id"]], "output": "c"}
        repaired = await client.call_tool(
            "mark_runs", {"project": project, **repair, "reason": "Better."}
        )
    assert not repaired.is_error
    [file] = list((tmp_path / "p").rglob("task_run.kiln"))
    kept = json.loads(file.read_text(encoding="utf-8"))["repaired_output"]["source"]["properties"]
    assert kept["created_by"].endswith(", passed on by planner 2.1")
