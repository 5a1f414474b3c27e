"""Tools of MCP servers: as the program of a run config, and for its model to call."""

import json
from pathlib import Path

import pytest

from kiln_mcp.llm import ModelAnswer, ModelRequest, ToolCall
from kiln_mcp.programs.tool_servers import secret_variable
from program_bench import PYTHON, ProgramBench, open_program_bench
from storage import ExternalToolServer, Task, TaskRunConfig
from storage.errors import Refusal, WorkbenchError
from storage.records.run_config import McpProperties

SERVER = f"command: {PYTHON} -S {Path(__file__).parents[2] / 'fakes' / 'tool_server.py'}"
SERVERS = {"servers": {"weather": SERVER}}


def calls(bench: ProgramBench) -> list[str]:
    file = bench.folder / "calls"
    return file.read_text(encoding="utf-8").split() if file.exists() else []


def ask_tool(*names: str, arguments: str = '{"city": "Bern"}') -> ModelAnswer:
    tool_calls = tuple(ToolCall(f"c{n}", name, arguments) for n, name in enumerate(names))
    return ModelAnswer(text="", tool_calls=tool_calls)


def look_then_answer(request: ModelRequest) -> str | ModelAnswer:
    """Call the tool first, then answer with its result."""
    last = request.messages[-1]
    return f"It is: {last.content}" if last.role == "tool" else ask_tool("look_up")


async def test_a_tool_as_program_is_stored_as_kiln_stores_it_and_runs(tmp_path: Path) -> None:
    async with open_program_bench(tmp_path, {"Bern": "Rain in Bern (no key)"}) as bench:
        await bench.create("mcp: weather/look_up", settings=SERVERS)
        report = await bench.run()
        assert report.table[0].mean == 1
        store = bench.bench.store
        config = await store.find(TaskRunConfig, "Bot", parent=bench.bench.task)
        properties = config.run_config_properties
        assert isinstance(properties, McpProperties)
        [server] = await store.children(store.project, ExternalToolServer)
        assert properties.tool_reference.tool_id == f"mcp::local::{server.id}::look_up"
        source = (await bench.only_run()).output.source
        assert source is not None
        assert source.type == "tool_call"


async def test_a_second_server_of_a_name_is_refused(tmp_path: Path) -> None:
    async with open_program_bench(tmp_path, {"Bern": "x"}) as bench:
        await bench.create("mcp: weather/look_up", settings=SERVERS)
        with pytest.raises(Refusal, match="an MCP server 'weather' already"):
            await bench.create("mcp: weather/look_up", name="Other", settings=SERVERS)


async def test_arguments_of_a_tool_may_hold_input_and_prompt(tmp_path: Path) -> None:
    async with open_program_bench(tmp_path, {"Bern": "Rain in Bern, CH (no key)"}) as bench:
        settings = {**SERVERS, "arguments": {"city": "{input}, {prompt}"}}
        await bench.create("mcp: weather/look_up", prompt="CH", settings=settings)
        report = await bench.run()
        assert report.table[0].mean == 1


@pytest.mark.parametrize(
    ("tool", "settings", "reason"),
    [
        ("fail", {"arguments": {}}, "answered with an error: it is closed"),
        ("hang", {"arguments": {}, "timeout_s": 0.3}, "took longer than 0.3 s"),
        ("fail", {}, "say in `arguments` which one gets"),
        ("missing", {}, "has no tool 'missing'; there are: look_up, fail, hang"),
        ("refuse", {"arguments": {}}, "broke: MCPError: Method not found"),
        ("look_up", {"largest_output": 5}, "answered more than 5 bytes"),
    ],
)
async def test_a_tool_that_fails_is_a_failure_of_its_item(
    tmp_path: Path, tool: str, settings: dict[str, object], reason: str
) -> None:
    async with open_program_bench(tmp_path, {"Bern": "x"}) as bench:
        await bench.create(f"mcp: weather/{tool}", settings={**SERVERS, **settings})
        with pytest.raises(WorkbenchError, match=reason):
            await bench.run()


async def test_a_server_that_does_not_start_says_its_last_words(tmp_path: Path) -> None:
    async with open_program_bench(tmp_path, {"Bern": "x"}) as bench:
        settings = {"servers": {"weather": f"{SERVER} --broken"}}
        await bench.create("mcp: weather/look_up", settings=settings)
        with pytest.raises(WorkbenchError, match="the weather is closed"):
            await bench.run()


async def test_a_server_gets_the_secrets_that_are_named_and_no_others(tmp_path: Path) -> None:
    environment = {"WEATHER_KEY": "the-weather-key"}
    async with open_program_bench(tmp_path, {"Bern": "x"}, environment=environment) as bench:
        server = {"start": SERVER, "environment": ["WEATHER_KEY"]}
        await bench.create("mcp: weather/look_up", settings={"servers": {"weather": server}})
        await bench.run()
        # It got the secret, which no record keeps.
        assert await bench.outputs() == {"Bern": "Rain in Bern (…)"}


async def test_a_secret_in_a_tools_result_reaches_no_model_and_no_record(tmp_path: Path) -> None:
    environment = {"WEATHER_KEY": "the-weather-key"}
    bench_of = open_program_bench(
        tmp_path, {"Bern": "x"}, environment=environment, answer=look_then_answer
    )
    async with bench_of as bench:
        server = {"start": SERVER, "environment": ["WEATHER_KEY"]}
        settings = {"servers": {"weather": server}}
        await bench.create_model(tools=["weather/look_up"], settings=settings)
        await bench.run()
        assert await bench.outputs() == {"Bern": "It is: Rain in Bern (…)"}
        assert bench.files_with("the-weather-key") == []


async def test_a_model_may_call_tools_and_the_trace_holds_the_calls(tmp_path: Path) -> None:
    right = "It is: Rain in Bern (no key)"
    async with open_program_bench(tmp_path, {"Bern": right}, answer=look_then_answer) as bench:
        await bench.create_model(tools=["weather/look_up"], settings=SERVERS)
        report = await bench.run()
        assert report.table[0].mean == 1
        trace = (await bench.only_run()).trace
        assert trace is not None
        messages = [message.model_dump(mode="json") for message in trace]
        assert [message["role"] for message in messages[1:]] == [
            "user",
            "assistant",
            "tool",
            "assistant",
        ]
        assert messages[2]["tool_calls"][0]["function"]["name"] == "look_up"


async def test_checks_of_tool_calls_and_steps_judge_the_trace(tmp_path: Path) -> None:
    async with open_program_bench(tmp_path, {"Bern": "x"}, answer=look_then_answer) as bench:
        await bench.create_model(tools=["weather/look_up"], settings=SERVERS)
        expected = {"tool_name": "look_up", "expected_args": {"city": {"value": "Bern"}}}
        for name, evaluator in (
            ("Called", {"type": "tool_call_check", "expected_tools": [expected]}),
            ("Short", {"type": "step_count_check", "count_type": "tool_calls", "max_count": 1}),
        ):
            await bench.bench.evaluator(name=name, **evaluator)
            report = await bench.run(evaluators=[name])
            assert report.table[0].mean == 1, name
        assert calls(bench) == ["look_up"]


async def test_a_tool_is_not_called_again_for_the_same_place_of_a_conversation(
    tmp_path: Path,
) -> None:
    asked: list[int] = []

    def answer(request: ModelRequest) -> str | ModelAnswer:
        asked.append(len(request.messages))
        if request.messages[-1].role != "tool":
            return ask_tool("look_up", "look_up")
        return "" if len(asked) == 2 else "A"

    async with open_program_bench(tmp_path, {"Bern": "A"}, answer=answer) as bench:
        await bench.create_model(tools=["weather/look_up"], settings=SERVERS)
        with pytest.raises(WorkbenchError, match="empty"):
            await bench.run()
        report = await bench.run()
        assert report.table[0].mean == 1
        assert calls(bench) == ["look_up", "look_up"]


async def test_what_a_tool_cannot_do_is_told_to_the_model(tmp_path: Path) -> None:
    def answer(request: ModelRequest) -> str | ModelAnswer:
        results = [message.content for message in request.messages if message.role == "tool"]
        names = ("missing", "fail")
        return ask_tool(names[len(results)]) if len(results) < 2 else " ".join(results)

    async with open_program_bench(tmp_path, {"Bern": "x"}, answer=answer) as bench:
        await bench.create_model(tools=["weather/look_up", "weather/fail"], settings=SERVERS)
        await bench.run()
        [output] = (await bench.outputs()).values()
        assert "there is no tool 'missing'; there are: look_up, fail" in output
        assert "Error: it is closed" in output


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"tool_turns": 2}, "gave no answer within 2 turns with tools"),
        ({"tool_calls": 1}, "called tools more than 1 times"),
    ],
)
async def test_a_model_that_does_not_stop_is_a_failure(
    tmp_path: Path, limits: dict[str, int], reason: str
) -> None:
    def never(_: ModelRequest) -> ModelAnswer:
        return ask_tool("look_up")

    async with open_program_bench(tmp_path, {"Bern": "x"}, answer=never) as bench:
        await bench.create_model(tools=["weather/look_up"], settings={**SERVERS, **limits})
        with pytest.raises(WorkbenchError, match=reason):
            await bench.run()


async def test_json_is_asked_for_once_the_tools_are_done(tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"w": {"type": "string"}}, "required": ["w"]}
    task = Task(name="Weather", instruction="Tell.", output_json_schema=json.dumps(schema))

    def answer(request: ModelRequest) -> str | ModelAnswer:
        if request.schema is not None:
            return '{"w": "rain"}'
        return look_then_answer(request)

    items = {"Bern": '{"w": "rain"}'}
    async with open_program_bench(tmp_path, items, task=task, answer=answer) as bench:
        await bench.create_model(tools=["weather/look_up"], settings=SERVERS)
        await bench.run()
        assert await bench.outputs() == {"Bern": '{"w": "rain"}'}


async def test_kilns_tools_of_arithmetic_run_here(tmp_path: Path) -> None:
    def answer(request: ModelRequest) -> str | ModelAnswer:
        last = request.messages[-1]
        numbers = '{"a": 6, "b": 7}'
        return last.content if last.role == "tool" else ask_tool("multiply", arguments=numbers)

    async with open_program_bench(tmp_path, {"6*7": "42"}, answer=answer) as bench:
        await bench.create_model(tools=["kiln_tool::multiply_numbers"])
        report = await bench.run()
        assert report.table[0].mean == 1


async def test_tools_of_an_untrusted_folder_are_not_started(tmp_path: Path) -> None:
    async with open_program_bench(tmp_path, {"Bern": "x"}, is_trusted=False) as bench:
        await bench.create_model(tools=["weather/look_up"], settings=SERVERS)
        with pytest.raises(Refusal, match="is not trusted"):
            await bench.run()
        assert calls(bench) == []


async def test_a_tool_of_a_kind_that_does_not_run_here_is_refused(tmp_path: Path) -> None:
    async with open_program_bench(tmp_path, {"Bern": "x"}) as bench:
        await bench.create_model(tools=["kiln_tool::rag::1"])
        with pytest.raises(WorkbenchError, match="does not run here"):
            await bench.run()


def test_a_secret_header_is_a_variable_in_capitals() -> None:
    assert secret_variable("X-Api-Key") == "X_API_KEY"
