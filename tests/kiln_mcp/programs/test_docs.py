"""The examples of docs/programs.md run as they stand there."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from aiohttp import web
from pydantic import JsonValue

from local_endpoint import serve
from program_bench import PYTHON, ProgramBench, open_program_bench

PAGE = Path(__file__).parents[3] / "docs" / "programs.md"
TEXT = PAGE.read_text(encoding="utf-8")
FILES: Mapping[str, str] = {
    match[1]: match[2]
    for match in re.finditer(r"```(?:python|markdown) (\S+)\n(.*?)```", TEXT, re.DOTALL)
}
EXAMPLES: Mapping[str, Mapping[str, JsonValue]] = {
    example["name"]: example
    for match in re.finditer(r"```json\n(.*?)```", TEXT, re.DOTALL)
    for example in [json.loads(match[1])]
}
WITH_SERVER = ("Tool",)
"""Examples that start an MCP server, which takes seconds to import its library."""


async def run_example(bench: ProgramBench, name: str, address: str) -> None:
    """Run an example on the item "a", which has to become "A"."""
    for file, code in FILES.items():
        (bench.folder / file).parent.mkdir(exist_ok=True)
        (bench.folder / file).write_text(code, encoding="utf-8")
    text = json.dumps(EXAMPLES[name])
    text = text.replace("python3", PYTHON).replace("http://127.0.0.1:8000", address)
    example: dict[str, JsonValue] = json.loads(text)
    program, settings = str(example.pop("program")), example.pop("settings", {})
    assert isinstance(settings, dict)
    own: dict[str, JsonValue] = {"python": PYTHON} if program.startswith("python:") else {}
    await bench.create(program, **{**example, "name": "Bot", "settings": {**own, **settings}})
    report = await bench.run()
    assert not report.failures
    assert report.table[0].mean == 1


@pytest.mark.parametrize(
    "name", [n for n, e in EXAMPLES.items() if "program" in e and n not in WITH_SERVER]
)
async def test_an_example_of_the_page_runs(tmp_path: Path, name: str) -> None:
    environment = {"BOT_TOKEN": "a-secret-token"}
    async with (
        serve(lambda _: web.json_response({"answer": "A"})) as server,
        open_program_bench(tmp_path, {"a": "A"}, environment=environment) as bench,
    ):
        await run_example(bench, name, server.address)


@pytest.mark.slow
@pytest.mark.parametrize("name", WITH_SERVER)
async def test_an_example_with_an_mcp_server_runs(tmp_path: Path, name: str) -> None:
    async with open_program_bench(tmp_path, {"a": "A"}) as bench:
        await run_example(bench, name, "")


def test_the_page_has_an_example_of_each_kind() -> None:
    programs = [str(example.get("program", "")) for example in EXAMPLES.values()]
    for begin in ("command:", "POST http", "python:", "mcp:"):
        assert any(program.startswith(begin) for program in programs), begin
