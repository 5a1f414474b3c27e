"""A bench for programs under test: scripts in the project's folder, which the person trusts."""

import json
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from bench import Agrees, Answer, Bench, BenchSetup, open_bench
from kiln_mcp.evals.answers import EvalRunReport
from kiln_mcp.run_configs.answers import RunConfigCreated
from kiln_mcp.run_configs.service import create_run_config
from storage import Task, TaskRun

PYTHON = sys.executable


@dataclass
class ProgramBench:
    """A bench whose run configs are programs."""

    bench: Bench

    @property
    def folder(self) -> Path:
        return self.bench.store.folder

    def script(self, name: str, code: str) -> str:
        """Write a script into the project's folder; return the command that runs it."""
        (self.folder / name).write_text(code)
        return f"command: {PYTHON} {name}"

    async def create(self, program: str, **arguments: object) -> RunConfigCreated:
        call: dict[str, JsonValue] = json.loads(
            json.dumps(
                {"project": str(self.folder), "name": "Bot", "program": program, **arguments}
            )
        )
        made = await create_run_config.invoke(self.bench.workspace, call)
        assert isinstance(made, RunConfigCreated)
        return made

    async def create_model(self, **arguments: object) -> RunConfigCreated:
        """Make a run config of the bench's model."""
        call: dict[str, JsonValue] = json.loads(
            json.dumps({"project": str(self.folder), "name": "Bot", "prompt": "Do.", **arguments})
        )
        made = await create_run_config.invoke(self.bench.workspace, call)
        assert isinstance(made, RunConfigCreated)
        return made

    async def run(self, **arguments: object) -> EvalRunReport:
        return await self.bench.run(run_configs=["Bot"], **arguments)

    async def outputs(self) -> dict[str, str]:
        """Return the outputs that the program made, by input."""
        runs = await self.bench.generated_runs()
        return {run.input: run.output.output for run in runs}

    def files_with(self, text: str) -> list[str]:
        """Return the names of the project's records and side files that hold a text."""
        files = (file for file in self.folder.rglob("*") if file.suffix in {".kiln", ".jsonl"})
        return [file.name for file in files if text in file.read_text(encoding="utf-8")]

    async def only_run(self) -> TaskRun:
        [run] = await self.bench.generated_runs()
        return run


@asynccontextmanager
async def open_program_bench(
    folder: Path,
    items: Mapping[str, str],
    *,
    task: Task | None = None,
    is_trusted: bool = True,
    environment: Mapping[str, str] | None = None,
    answer: Answer | str = "a model",
) -> AsyncGenerator[ProgramBench]:
    """Open a bench with an eval "Right" that compares outputs with the right ones."""
    setup = BenchSetup(
        task or Task(name="Shout", instruction="Shout."),
        answer if callable(answer) else lambda _: answer,
        Agrees(),
        environment=environment or {},
    )
    async with open_bench(folder, setup) as bench:
        if is_trusted:
            bench.workspace.trust.grant(bench.store.folder)
        await bench.add_items(items)
        await bench.evaluator_of(
            "Right",
            {"type": "exact_match", "reference_key": "reference_answer"},
            {"test_filter": "tag::eval_right"},
        )
        yield ProgramBench(bench)
