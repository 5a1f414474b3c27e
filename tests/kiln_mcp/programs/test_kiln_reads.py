"""Kiln's own library opens projects with programs under test, and keeps their files."""

from pathlib import Path

import pytest

from kiln_library import read_by_kiln
from kiln_mcp.programs.program_files import read_program
from program_bench import PYTHON, ProgramBench, open_program_bench
from storage import TaskRunConfig

SERVER = f"command: {PYTHON} -S {Path(__file__).parents[2] / 'fakes' / 'tool_server.py'}"


async def fill(bench: ProgramBench) -> None:
    """Create a run config of each form, and outputs of a command and of a tool."""
    settings = {"servers": {"weather": SERVER}}
    await bench.create("mcp: weather/look_up", name="Tool", settings=settings)
    arguments = {"arguments": {"city": "{input}"}}
    await bench.create("mcp: weather/look_up", name="Filled", settings=arguments)
    await bench.create("http://127.0.0.1:9/ask", name="Service")
    await bench.create_model(name="Agent", tools=["weather/look_up"])
    await bench.create(bench.script("shout.py", "import sys; print(sys.stdin.read().upper())"))
    await bench.bench.run(run_configs=["Bot", "Tool"])


@pytest.mark.kiln
async def test_kiln_opens_programs_and_what_they_made(tmp_path: Path) -> None:
    async with open_program_bench(tmp_path, {"a": "A"}) as bench:
        await fill(bench)
        assert (await read_by_kiln(bench.folder))["errors"] == []


@pytest.mark.kiln
async def test_a_program_survives_that_kiln_saves_its_run_config(tmp_path: Path) -> None:
    async with open_program_bench(tmp_path, {"a": "A"}) as bench:
        await fill(bench)
        assert (await read_by_kiln(bench.folder, "rewrite"))["errors"] == []
        store = bench.bench.store
        await store.reload()
        for name in ("Tool", "Filled", "Service", "Bot"):
            config = await store.find(TaskRunConfig, name, parent=bench.bench.task)
            assert await read_program(store, config) is not None
