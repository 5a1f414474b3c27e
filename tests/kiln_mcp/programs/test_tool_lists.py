"""Tools that a server lists, answers of other forms, and tools that are no longer there."""

from pathlib import Path

import pytest

from kiln_mcp.errors import InvalidArguments
from kiln_mcp.llm import Message, ModelAnswer, ModelRequest, ToolCall
from kiln_mcp.llm.errors import ModelError
from kiln_mcp.programs.notation import server_text
from kiln_mcp.programs.toolbox import Toolbox
from program_bench import PYTHON, ProgramBench, open_program_bench
from storage import ExternalToolServer, TaskRunConfig
from storage.errors import Refusal, WorkbenchError
from storage.records.run_config import McpProperties
from storage.records.tools import LocalServer, RemoteServer, TaskServer

SERVER = f"command: {PYTHON} -S {Path(__file__).parents[2] / 'fakes' / 'tool_server.py'}"
SERVERS = {"servers": {"weather": SERVER}}


def calls_of(*calls: tuple[str, str]) -> "CallsThenResults":
    return CallsThenResults([ToolCall(f"c{n}", *call) for n, call in enumerate(calls)])


class CallsThenResults:
    """A model that makes some calls of tools, and answers with their results."""

    def __init__(self, calls: list[ToolCall]) -> None:
        self._calls = tuple(calls)

    def __call__(self, request: ModelRequest) -> str | ModelAnswer:
        results = [message.content for message in request.messages if message.role == "tool"]
        return "; ".join(results) or ModelAnswer(text="", tool_calls=self._calls)


async def rename_tool(bench: ProgramBench, tool_id: str) -> None:
    """Let the run config call another tool, as another program might write it."""
    store = bench.bench.store
    config = await store.find(TaskRunConfig, "Bot", parent=bench.bench.task)
    properties = config.run_config_properties
    assert isinstance(properties, McpProperties)
    reference = properties.tool_reference.replace(tool_id=tool_id)
    renamed = properties.replace(tool_reference=reference)
    await store.save(config.replace(run_config_properties=renamed))


@pytest.mark.parametrize(
    ("arguments", "result"),
    [
        ('{"a": 1, "b": 0}', "division by zero"),
        ('{"a": 1}', "a and b must be numbers"),
        ("[1, 2]", "the arguments are no JSON object"),
        ("1 and 2", "the arguments are no JSON."),
    ],
)
async def test_arguments_that_cannot_be_calculated_are_told_to_the_model(
    tmp_path: Path, arguments: str, result: str
) -> None:
    model = calls_of(("divide", arguments))
    async with open_program_bench(tmp_path, {"1/0": "x"}, answer=model) as bench:
        await bench.create_model(tools=["kiln_tool::divide_numbers"])
        await bench.run()
        [output] = (await bench.outputs()).values()
        assert result in output


async def test_a_refusal_and_an_object_of_a_server_are_told_to_the_model(tmp_path: Path) -> None:
    model = calls_of(("refuse", "{}"), ("measure", "{}"))
    async with open_program_bench(tmp_path, {"Bern": "x"}, answer=model) as bench:
        await bench.create_model(tools=["weather/refuse", "weather/measure"], settings=SERVERS)
        await bench.run()
        assert await bench.outputs() == {"Bern": 'Error: Method not found; {"degrees": 7}'}


async def test_a_list_of_tools_is_read_to_its_last_page(tmp_path: Path) -> None:
    model = calls_of(("measure", "{}"))
    async with open_program_bench(tmp_path, {"Bern": '{"degrees": 7}'}, answer=model) as bench:
        settings = {"servers": {"weather": f"{SERVER} --pages"}}
        await bench.create_model(tools=["weather/measure"], settings=settings)
        report = await bench.run()
        assert report.table[0].mean == 1


async def test_an_input_that_is_an_object_is_the_arguments_of_a_tool(tmp_path: Path) -> None:
    items = {'{"city": "Bern"}': "Rain in Bern (no key)"}
    async with open_program_bench(tmp_path, items) as bench:
        await bench.create("mcp: weather/look_up", settings=SERVERS)
        report = await bench.run()
        assert report.table[0].mean == 1


@pytest.mark.parametrize(
    ("tools", "servers", "reason"),
    [
        (["weather/missing"], {"weather": SERVER}, "no tool 'missing'; there are: look_up, fail"),
        (["weather/look_up"], {"weather": f"{SERVER} --broken"}, "the weather is closed"),
        (["mcp::local::1::look_up"], {}, "no MCP server '1' for its tools"),
        (
            ["weather/look_up", "climate/look_up"],
            {"weather": SERVER, "climate": SERVER},
            "two of its tools have the name 'look_up'",
        ),
    ],
)
async def test_tools_that_cannot_be_offered_are_refused_before_the_model_is_asked(
    tmp_path: Path, tools: list[str], servers: dict[str, str], reason: str
) -> None:
    asked: list[ModelRequest] = []

    def answer(request: ModelRequest) -> str:
        asked.append(request)
        return "x"

    async with open_program_bench(tmp_path, {"Bern": "x"}, answer=answer) as bench:
        await bench.create_model(tools=tools, settings={"servers": servers})
        with pytest.raises(WorkbenchError, match=reason):
            await bench.run()
        assert asked == []


@pytest.mark.parametrize(
    ("server", "reason"),
    [
        (
            ExternalToolServer(
                name="other",
                type="kiln_task",
                properties=TaskServer(task_id="1", run_config_id="1", name="t", description="d"),
            ),
            "'other' is no MCP server",
        ),
        (
            ExternalToolServer(
                name="other",
                type="local_mcp",
                properties=LocalServer(command="python", is_archived=True),
            ),
            "the server 'other' is archived",
        ),
    ],
    ids=["task", "archived"],
)
async def test_a_server_whose_tools_cannot_be_called_is_refused(
    tmp_path: Path, server: ExternalToolServer, reason: str
) -> None:
    async with open_program_bench(tmp_path, {"Bern": "x"}) as bench:
        store = bench.bench.store
        await store.save(server, parent=store.project)
        for program in ({"tools": ["other/look_up"]}, {"program": "mcp: other/look_up"}):
            with pytest.raises(WorkbenchError, match=reason):
                await bench.create_model(**program, prompt=None)


@pytest.mark.parametrize(
    ("tool_id", "reason"),
    [
        ("look_up", "'look_up' is no tool of an MCP server"),
        ("mcp::local::1::look_up", "the project has no MCP server '1'"),
    ],
)
async def test_a_stored_tool_that_is_not_there_is_a_failure(
    tmp_path: Path, tool_id: str, reason: str
) -> None:
    async with open_program_bench(tmp_path, {"Bern": "x"}) as bench:
        await bench.create("mcp: weather/look_up", settings=SERVERS)
        await rename_tool(bench, tool_id)
        with pytest.raises(WorkbenchError, match=reason):
            await bench.run()


async def test_a_server_that_is_neither_command_nor_address_is_refused(tmp_path: Path) -> None:
    async with open_program_bench(tmp_path, {"Bern": "x"}) as bench:
        settings = {"servers": {"weather": "uvx weather"}}
        with pytest.raises(Refusal, match="The MCP server 'weather' cannot be read"):
            await bench.create_model(tools=["weather/look_up"], settings=settings)


async def test_a_limit_of_no_turns_is_refused_at_its_place(tmp_path: Path) -> None:
    async with open_program_bench(tmp_path, {"Bern": "x"}) as bench:
        with pytest.raises(InvalidArguments, match=r"settings\.tool_turns"):
            await bench.create_model(settings={"tool_turns": 0})


def test_a_person_reads_where_a_server_lies() -> None:
    address = "https://weather.example.com/mcp"
    remote = RemoteServer(server_url=address)
    server = ExternalToolServer(name="weather", type="remote_mcp", properties=remote)
    assert server_text(server) == f"the MCP server weather: {address}"


async def test_tools_answer_no_request_to_a_model() -> None:
    toolbox = Toolbox("Bot", "program/tools-1", (), {})
    with pytest.raises(ModelError, match="are no model"):
        await toolbox.complete(ModelRequest("program/tools-1", (Message("user", "Hi"),)))
