"""No answer fills an assistant's context, however large the project is."""

import json
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path

import mcp_types as types
import pytest
from mcp import Client
from pydantic import JsonValue

from kiln_mcp.catalogue import Catalogue, installed_catalogue
from kiln_mcp.doors.server import build_server
from kiln_mcp.operations.job_control.capability_calls import call_capability
from kiln_mcp.settings import Settings
from kiln_mcp.workbench.answer_size import MOST_TOKENS, SHORTENED, answer_tokens
from kiln_mcp.workbench.capability import Effect, Result, capability
from kiln_mcp.workbench.lifecycle import open_workspace
from kiln_mcp.workbench.token_estimate import token_estimate
from kiln_mcp.workbench.workspace import Workspace
from large_project import Size, build, reading_calls
from storage import Task, TaskRun
from storage.errors import Refusal

SIZES = [
    pytest.param(Size(items=40, many=16, scored_items=2, changes=1), id="small"),
    pytest.param(
        Size(items=2_500, changes=12),
        id="large",
        marks=[pytest.mark.slow, pytest.mark.timeout(500)],
    ),
]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.from_environment({"KILN_MCP_HOME": str(tmp_path / "home")})


@pytest.fixture
async def assistant(settings: Settings) -> AsyncGenerator[Workspace]:
    async with open_workspace(settings) as workspace:
        yield replace(workspace, answer_tokens=MOST_TOKENS)


@pytest.mark.parametrize("size", SIZES)
async def test_every_answer_about_a_large_project_takes_at_most_2000_tokens(
    assistant: Workspace, tmp_path: Path, size: Size
) -> None:
    home, database = assistant.settings.home, assistant.settings.database_url
    await build(tmp_path / "p", home, database, size)
    store = await assistant.open_project(str(tmp_path / "p"))
    task = await store.find(Task, "task/answer")
    run = next(r for r in await store.children(task, TaskRun) if len(r.input) == size.long_text)
    shortened: set[str] = set()
    for item in installed_catalogue().capabilities:
        if item.effect is Effect.READS:
            for label, arguments in reading_calls(item, run.id):
                data = (await call_capability(assistant, item, arguments)).data
                assert answer_tokens(data) <= MOST_TOKENS, (item.name, label)
                if SHORTENED in data:
                    shortened.add(item.name)
                    whole = await call_capability(assistant, item, {**arguments, "detail": "full"})
                    assert answer_tokens(whole.data) > MOST_TOKENS, (item.name, label)
                    assert SHORTENED not in whole.data
    assert {"read", "show_results"} <= shortened


@pytest.mark.parametrize(
    ("rows", "more"),
    [("runs", {"task": "task/answer"}), ("records", {"kind": "spec"})],
)
async def test_a_page_that_would_be_too_long_ends_early_and_its_cursor_goes_on_there(
    assistant: Workspace, tmp_path: Path, rows: str, more: dict[str, JsonValue]
) -> None:
    size = Size(items=30, many=40, scored_items=0, changes=0, long_text=100)
    await build(tmp_path / "p", assistant.settings.home, assistant.settings.database_url, size)
    await assistant.open_project(str(tmp_path / "p"))
    item, ids = installed_catalogue().find("find"), list[str]()
    arguments: dict[str, JsonValue] = {"project": "Large", "limit": 100, **more}
    while True:
        data = (await call_capability(assistant, item, arguments)).data
        page, total = data[rows], data["total"]
        assert isinstance(page, list)
        assert isinstance(total, int)
        assert SHORTENED not in data
        ids += [str(row["id"]) for row in page if isinstance(row, dict)]
        if "next_cursor" not in data:
            break
        assert len(page) < total
        arguments["cursor"] = data["next_cursor"]
    assert len(ids) == len(set(ids)) == data["total"]


class Long(Result):
    text: str
    next_cursor: str


@capability(effect=Effect.WRITES, title="Talk")
async def talk(workspace: Workspace) -> Long:
    """Answer with a long text."""
    return Long(text="Words of an answer. " * 2000, next_cursor="c" * 60)


@capability(effect=Effect.READS, title="Fail")
async def fail(workspace: Workspace) -> Long:
    """Fail with a long list."""
    raise Refusal("Choose one of: {names}.", names=["a very long name " * 10] * 60)


async def test_the_door_shortens_any_answer_and_any_error_and_says_so(settings: Settings) -> None:
    catalogue = Catalogue((talk, fail))
    async with Client(build_server(open_workspace(settings), catalogue)) as client:
        answered = await client.call_tool("talk", {})
        failed = await client.call_tool("fail", {})
    data = answered.structured_content
    assert data is not None
    assert data["next_cursor"] == "c" * 60
    assert data["text"].startswith("Words of an answer.")
    assert data["text"].endswith("more characters)")
    assert data[SHORTENED][0].endswith("of 40000 characters")
    for result in (answered, failed):
        (block,) = result.content
        assert isinstance(block, types.TextContent)
        assert token_estimate(block.text) <= MOST_TOKENS
    assert token_estimate(json.dumps(data)) <= MOST_TOKENS


async def test_python_gets_every_answer_whole(settings: Settings) -> None:
    async with open_workspace(settings) as workspace:
        assert len((await talk(workspace)).text) == 40_000
