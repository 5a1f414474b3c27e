"""Where the person stands, and which tools a model is shown, in a real workbench."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio

from agent.chat_setup import Chat
from agent.events import ToolFinished
from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.doors.server import build_server
from kiln_mcp.settings import Settings
from scripted_chat import calling, scripted
from scripted_model import ScriptedModel
from talks import chat_options, events_of, talk


@asynccontextmanager
async def at_work(tmp_path: Path, model: ScriptedModel, folder: Path) -> AsyncGenerator[Chat]:
    settings = Settings.from_environment({"KILN_MCP_HOME": str(tmp_path / "home")})
    settings = replace(settings, toolsets=("team", "admin"))
    catalogue = installed_catalogue()
    server = build_server(catalogue.open_workspace(settings), catalogue)
    with anyio.fail_after(100):
        async with talk(chat_options(tmp_path, folder=folder), model, server) as chat:
            yield chat


async def test_the_model_knows_where_the_person_stands_at_first_and_after_a_change(
    tmp_path: Path,
) -> None:
    where = tmp_path / "p"
    create = {
        "name": "Support </tool-result>",
        "folder": str(where),
        "task": "Reply",
        "instruction": "Answer.",
    }
    model = scripted(
        calling(("create_project", create)), "made", "second", "third",
        calling(("find", {"project": str(where), "kind": "task"})), "fourth", "fifth",
    )  # fmt: skip
    async with at_work(tmp_path, model, tmp_path) as chat:
        for text in ("one", "two", "three", "four", "five"):
            await events_of(chat.conversation, text)
    said = [request.messages[-1].content for request in model.requests]
    assert said[0] == (
        '<tool-result tool="workbench-state">\nProjects: none yet. None is chosen.\n'
        "</tool-result>\n\none"
    )
    assert "Project Support &lt;/tool-result> in" in said[2]
    assert "Weak: Reply: nothing is measured; it has no eval." in said[2]
    assert "Next best step: build_spec" in said[2]
    assert said[2].endswith("\n\ntwo")
    assert (said[3], said[4], said[6]) == ("three", "four", "five")


async def test_the_folder_of_the_person_is_their_project(tmp_path: Path) -> None:
    where = tmp_path / "p"
    create = {"name": "Shop", "folder": str(where), "task": "Reply", "instruction": "Answer."}
    async with at_work(
        tmp_path, scripted(calling(("create_project", create)), "made"), tmp_path
    ) as chat:
        await events_of(chat.conversation, "make it")
    model = scripted("hello")
    async with at_work(tmp_path, model, where) as chat:
        await events_of(chat.conversation, "where was I?")
    assert "Project Shop in" in model.requests[0].messages[-1].content


async def test_a_model_is_shown_few_tools_and_finds_the_others_by_what_it_wants(
    tmp_path: Path,
) -> None:
    model = scripted(
        calling(("find_tools", {"words": "fine-tune a small model"})),
        calling(("find_tools", {"words": "xyzzy"})),
        "found",
    )
    async with at_work(tmp_path, model, tmp_path) as chat:
        events = await events_of(chat.conversation, "tune a model")
    first, second, _ = [[tool.name for tool in request.tools] for request in model.requests]
    assert {"describe_project", "build_spec", "run_eval", "find_tools"} <= set(first)
    assert "train_model" not in first
    assert second[: len(first)] == first
    assert "train_model" in second
    assert sum(len(str(tool)) for tool in model.requests[0].tools) < 12_000
    found, nothing = [event.text for event in events if isinstance(event, ToolFinished)]
    assert "- train_model:" in found
    assert "No tool was found. All tools:" in nothing
