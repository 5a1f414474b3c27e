"""What a client is shown of the tools: few and short, with more sets if it asks for them."""

import importlib
import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import mcp_types as types
import pytest
from jsonschema import validate
from mcp import Client, MCPError
from pydantic import JsonValue

from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.doors.border.tool_choice import (
    TOOLSETS,
    ToolChoice,
    choice_in,
    choice_of,
    options_in,
    read_toolsets,
)
from kiln_mcp.doors.server import build_server
from kiln_mcp.doors.server.hidden_steps import with_way_in_words, with_ways_to_hidden_tools
from kiln_mcp.doors.server.tool_list import as_tool, choice_or_refusal
from kiln_mcp.settings import Settings
from kiln_mcp.workbench.capability import Effect, Toolset
from kiln_mcp.workbench.lifecycle import open_workspace

MOST_TOOLS = 24
MOST_TOKENS = 6000
CAPABILITIES = installed_catalogue().capabilities


async def listed(home: Path, **settings: Any) -> list[types.Tool]:
    usual = Settings.from_environment({"KILN_MCP_HOME": str(home)})
    workspace = open_workspace(replace(usual, **settings))
    with anyio.fail_after(30):
        async with Client(build_server(workspace, installed_catalogue())) as client:
            return (await client.list_tools()).tools


async def test_the_default_set_has_at_most_24_tools_and_6000_tokens_as_a_model_sees_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = importlib.util.find_spec("litellm")
    assert package is not None
    assert package.origin is not None
    tokenizers = Path(package.origin).parent / "litellm_core_utils" / "tokenizers"
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tokenizers))
    encoding = importlib.import_module("tiktoken").get_encoding("cl100k_base")
    tools = await listed(tmp_path)
    assert len(tools) <= MOST_TOOLS
    shown = [
        {"name": tool.name, "description": tool.description, "input_schema": tool.input_schema}
        for tool in tools
    ]
    counts = [len(encoding.encode(json.dumps(tool, separators=(",", ":")))) for tool in shown]
    assert sum(counts) <= MOST_TOKENS


async def test_a_client_sees_more_sets_and_schemas_of_answers_only_if_it_asks(
    tmp_path: Path,
) -> None:
    usual = await listed(tmp_path)
    more = await listed(tmp_path, toolsets=("team",), output_schemas=True)
    names = {tool.name for tool in more}
    assert {tool.name for tool in usual} < names
    assert {"sync_project", "restore"} <= names
    assert "test_model" not in names
    assert [tool.output_schema for tool in usual] == [None] * len(usual)
    assert all(tool.output_schema for tool in more)


async def test_a_tool_that_is_not_shown_can_be_called(tmp_path: Path) -> None:
    workspace = open_workspace(Settings.from_environment({"KILN_MCP_HOME": str(tmp_path)}))
    async with Client(build_server(workspace, installed_catalogue())) as client:
        answer = await client.call_tool("show_history", {"project": "/nowhere"})
    assert "No project '/nowhere'" in str(answer.content)


@pytest.mark.parametrize("item", CAPABILITIES, ids=lambda item: item.name)
def test_every_tool_has_a_title_annotations_and_flat_arguments(item: Any) -> None:
    tool = as_tool(item)
    assert tool.title
    assert tool.annotations is not None
    assert tool.annotations.read_only_hint is (item.effect is Effect.READS)
    assert item.discovery.search_hint
    nested = [
        name
        for name, schema in tool.input_schema["properties"].items()
        if schema.get("type") == "object" and "properties" in schema
    ]
    assert nested == []


def test_a_schema_of_answers_fits_an_answer_a_plan_and_a_job() -> None:
    schema = as_tool(installed_catalogue().find("run_eval"), has_output_schema=True).output_schema
    assert schema is not None
    for answer in (
        {"eval": "Right", "table": [], "next": [{"tool": "show_results", "reason": "look"}]},
        {"status": "needs_approval", "plan": "Spend.", "approval_id": "ap-1", "message": "Ask."},
        {"status": "running", "job": "a1", "capability": "run_eval", "state": "running"},
    ):
        validate(answer, schema)


def test_a_schema_of_answers_names_what_was_left_out() -> None:
    schema = as_tool(installed_catalogue().find("find"), has_output_schema=True).output_schema
    assert schema is not None
    assert schema["properties"]["shortened"]["items"] == {"type": "string"}


@pytest.mark.parametrize(
    ("choice", "is_hidden"), [(ToolChoice(), True), (ToolChoice(("admin",)), False)]
)
def test_a_next_step_with_a_tool_that_is_not_shown_says_how_to_reach_it(
    choice: ToolChoice, is_hidden: bool
) -> None:
    steps: list[JsonValue] = [
        {"tool": "resume_job", "reason": "go on"},
        {"tool": "check_job", "reason": "look"},
        {"tool": "of_an_extension_that_is_gone", "reason": "try"},
    ]
    answer = with_ways_to_hidden_tools({"job": "a", "next": steps}, installed_catalogue(), choice)
    text = json.dumps(answer)
    inside: dict[str, JsonValue] = {"jobs": [{"job": "a", "result": {"next": steps}}]}
    shown = json.dumps(with_ways_to_hidden_tools(inside, installed_catalogue(), choice))
    assert ("--toolsets admin" in shown) is is_hidden
    assert ("kiln-mcp resume-job" in text) is is_hidden
    assert ("--toolsets admin" in text) is is_hidden
    assert text.count("not one of your tools") == int(is_hidden)
    assert answer["job"] == "a"


def test_the_sets_of_the_bridge_are_those_of_the_catalogue() -> None:
    assert set(TOOLSETS) == set(Toolset)


@pytest.mark.parametrize(
    ("text", "toolsets"),
    [("", ()), ("team", ("team",)), (" Admin,team,default,team", ("admin", "team"))],
)
def test_sets_are_listed_with_commas(text: str, toolsets: tuple[str, ...]) -> None:
    assert read_toolsets(text) == toolsets


def test_a_set_that_does_not_exist_is_answered_with_those_that_do() -> None:
    with pytest.raises(ValueError, match=r"Did you mean 'team'\?.*default, team"):
        choice_in({"KILN_MCP_TOOLSETS": "teem"})


@pytest.mark.parametrize(
    ("words", "variables"),
    [
        ([], {}),
        (["--toolsets", "team,admin"], {"KILN_MCP_TOOLSETS": "team,admin"}),
        (
            ["--toolsets=team", "--output-schemas"],
            {"KILN_MCP_TOOLSETS": "team", "KILN_MCP_OUTPUT_SCHEMAS": "1"},
        ),
        (["--toolsets"], None),
        (["--toolsets", "team", "run-eval"], None),
        (["--help"], None),
    ],
)
def test_the_bridge_takes_its_own_options_and_leaves_all_else_to_the_command_line(
    words: list[str], variables: dict[str, str] | None
) -> None:
    assert options_in(words) == variables


def test_a_request_says_what_its_client_is_shown_and_else_the_server_does() -> None:
    usual = ToolChoice(("admin",), output_schemas=True)
    assert choice_of({}, usual) == usual
    own = ToolChoice(("team",))
    assert choice_of(own.as_headers(), usual) == own
    assert choice_of(ToolChoice().as_headers(), usual) == ToolChoice()


def test_a_request_for_a_set_that_does_not_exist_is_refused() -> None:
    with pytest.raises(MCPError, match="There is no tool set 'x'"):
        choice_or_refusal({"kiln-mcp-toolsets": "x"}, ToolChoice())


def test_a_search_for_users_words_finds_the_tools() -> None:
    script = Path(__file__).parents[4] / "benchmarks" / "surface" / "finding.py"
    run = [sys.executable, str(script), "--set", "all"]
    done = subprocess.run(run, capture_output=True, text=True, check=True, timeout=60)
    assert int(done.stdout.rsplit("|", 2)[1].strip().removesuffix("%")) >= 95, done.stdout


@pytest.mark.parametrize(
    ("sentence", "hidden"),
    [
        ("It was deleted. Next: restore {}: bring it back.", ["kiln-mcp restore"]),
        ("Call sync_project first, then show_history.", ["sync-project", "show-history"]),
        ("Nothing can restore it. Call find.", []),
    ],
)
def test_an_error_that_names_tools_which_are_not_shown_says_how_to_reach_them(
    sentence: str, hidden: list[str]
) -> None:
    catalogue = installed_catalogue()
    text = with_way_in_words(sentence, catalogue, ToolChoice())
    assert text.startswith(sentence)
    assert text.count("not one of your tools") == len(hidden)
    assert all(command in text for command in hidden)
    assert with_way_in_words(sentence, catalogue, ToolChoice(("team",))) == sentence
    job = with_ways_to_hidden_tools({"jobs": [{"error": sentence}]}, catalogue, ToolChoice())
    assert job == {"jobs": [{"error": text}]}
