"""Patterns, expressions, schemas and code that hang or break cost one item, through run_eval."""

import json
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio
import pytest
from pydantic import JsonValue

from bench import Agrees
from kiln_mcp.approvals.errors import MissingApproval
from kiln_mcp.errors import WorkbenchError
from kiln_mcp.evals import service
from kiln_mcp.evals.answers import EvalRunReport
from kiln_mcp.llm import Engine, EngineSettings, ModelRequest
from kiln_mcp.projects import service as projects
from kiln_mcp.run_configs import service as run_configs_service
from kiln_mcp.run_configs.errors import EvalError
from kiln_mcp.settings import Settings
from kiln_mcp.synthesis import service as synthesis
from kiln_mcp.workbench.workspace import KnownProjects, Workspace
from scripted_model import ScriptedModel
from storage import Project, ProjectStore, Task
from storage.errors import Refusal
from storage.isolation.item_limits import WorkerLimits
from storage.isolation.pool import shared_pool
from storage.isolation.protection import protection

HOSTILE = "^(?=a)(a+)+$"
ENDLESS = "a" * 40 + "!"
OBJECT: dict[str, JsonValue] = {"type": "object", "properties": {"a": {"type": "string"}}}
NODE: dict[str, JsonValue] = {
    "$defs": {
        "Node": {
            "type": "object",
            "properties": {
                "v": {"type": "string"},
                "next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
            },
            "required": ["v"],
        }
    },
    "$ref": "#/$defs/Node",
}


@pytest.fixture(autouse=True)
def limits() -> Generator[None]:
    """Let an item take 1 s, so that the tests of a breach are quick."""
    usual = shared_pool().limits
    shared_pool().limits = WorkerLimits(seconds=1)
    yield
    shared_pool().limits = usual


@dataclass
class Bench:
    """A project with one task, and a model that answers with its input."""

    workspace: Workspace
    store: ProjectStore
    asked: list[str] = field(default_factory=list[str])

    @property
    def folder(self) -> str:
        return str(self.store.folder)

    async def task(self, **schemas: JsonValue) -> None:
        given = {"project": self.folder, "name": "T", "instruction": "Repeat.", **schemas}
        await projects.create_project.invoke(self.workspace, given)

    async def items(self, *inputs: str, output: JsonValue = "x") -> None:
        items: list[JsonValue] = [{"input": text, "output": output} for text in inputs]
        given: dict[str, JsonValue] = {"project": self.folder, "items": items, "tags": ["test"]}
        await synthesis.add_data.invoke(self.workspace, given)

    async def evaluator(self, **evaluator: JsonValue) -> None:
        given: dict[str, JsonValue] = {
            "project": self.folder,
            "eval": "Right",
            "test_filter": "tag::test",
            **evaluator,
        }
        await service.create_evaluator.invoke(self.workspace, given)

    async def run(self) -> EvalRunReport:
        made: dict[str, JsonValue] = {"project": self.folder, "name": "echo", "prompt": "Repeat."}
        await run_configs_service.create_run_config.invoke(self.workspace, made)
        given: dict[str, JsonValue] = {"project": self.folder, "eval": "Right"}
        report = await service.run_eval.invoke(self.workspace, given)
        assert isinstance(report, EvalRunReport)
        return report


@asynccontextmanager
async def open_echo_bench(folder: Path) -> AsyncGenerator[Bench]:
    asked: list[str] = []

    def echo(request: ModelRequest) -> str:
        asked.append(request.messages[-1].content)
        return asked[-1]

    settings = Settings(
        home=folder / "home", engine=EngineSettings(default_model="scripted", environment={})
    )
    async with Engine(settings.engine, models={"scripted": ScriptedModel(echo)}) as engine:
        known = KnownProjects(settings.home / "projects.json")
        workspace = Workspace(settings=settings, engine=engine, projects=known, person=Agrees())
        await (await ProjectStore.create(folder / "p", Project(name="P"))).close()
        yield Bench(workspace, await workspace.open_project(str(folder / "p")), asked)
        await known.close()


async def test_a_pattern_that_hangs_fails_its_item_and_scores_the_others(tmp_path: Path) -> None:
    async with open_echo_bench(tmp_path) as bench:
        await bench.task()
        await bench.items("aaa", ENDLESS, "aa", "b")
        await bench.evaluator(type="pattern_match", pattern=HOSTILE)
        with anyio.fail_after(60):
            report = await bench.run()
    assert (report.newly_scored, report.failed) == (3, 1)
    assert "took longer than 1 s on this item" in report.failures[0].reason
    assert report.table[0].mean == pytest.approx(2 / 3, abs=1e-3)


async def test_an_answer_that_is_nested_without_end_fails_its_item_alone(tmp_path: Path) -> None:
    async with open_echo_bench(tmp_path) as bench:
        await bench.task()
        await bench.items('{"x": "yes"}', "[" * 3000, '{"x": "no"}')
        await bench.evaluator(
            type="exact_match", expected_value="yes", value_expression="(final_message|fromjson).x"
        )
        report = await bench.run()
    assert (report.newly_scored, report.failed) == (3, 0)
    assert report.table[0].mean == pytest.approx(1 / 3, abs=1e-3)


async def test_an_expression_that_takes_all_memory_fails_in_a_sentence(tmp_path: Path) -> None:
    async with open_echo_bench(tmp_path) as bench:
        await bench.task()
        await bench.items("a", "b")
        await bench.evaluator(
            type="exact_match",
            expected_value="x",
            value_expression="final_message|center(3000000000)",
        )
        with pytest.raises(EvalError, match="needed more than 512 MB on this item"):
            await bench.run()


@pytest.mark.parametrize(
    "evaluator",
    [
        {"type": "pattern_match", "pattern": "("},
        {"type": "exact_match", "expected_value": "x", "value_expression": "final_message |"},
        {"type": "exact_match", "expected_value": "x", "value_expression": "(" * 3000},
        {"type": "code_eval", "code": "def score(:"},
        {"type": "code_eval", "code": "def other(output):\n    return 1"},
    ],
)
async def test_logic_that_is_not_valid_makes_no_evaluator(
    tmp_path: Path, evaluator: dict[str, JsonValue]
) -> None:
    async with open_echo_bench(tmp_path) as bench:
        await bench.task()
        with pytest.raises(EvalError, match=r"cannot be used"):
            await bench.evaluator(**evaluator)


@pytest.mark.parametrize(
    ("properties", "reason"),
    [
        ({"a": {"$ref": "#/$defs/Nope"}}, "the \\$ref '#/\\$defs/Nope' leads to nothing"),
        ({"a": {"$ref": "http://127.0.0.1:9/s"}}, "leads out of this schema"),
        ({"a": {"anyOf": [{"$ref": "#/properties/a"}]}}, "is endless"),
        ({"a": {"type": "number", "exclusiveMinimum": True}}, "True is not of type"),
    ],
)
async def test_a_schema_with_a_reference_to_nothing_is_refused_when_the_task_is_made(
    tmp_path: Path, properties: JsonValue, reason: str
) -> None:
    async with open_echo_bench(tmp_path) as bench:
        with pytest.raises(Refusal, match=reason):
            await bench.task(output_schema={"type": "object", "properties": properties})
        assert await bench.store.children(bench.store.project, Task) == []


async def test_a_schema_that_recurs_is_taken_and_its_items_are_checked(tmp_path: Path) -> None:
    async with open_echo_bench(tmp_path) as bench:
        await bench.task(output_schema=NODE)
        (task,) = await bench.store.children(bench.store.project, Task)
        kept = json.loads(task.output_json_schema or "")
        assert (kept["type"], sorted(kept["properties"])) == ("object", ["next", "v"])
        await bench.items("a", output={"v": "x", "next": {"v": "y", "next": None}})
        with pytest.raises(WorkbenchError, match="does not fit the task's schema"):
            await bench.items("b", output={"v": "x", "next": {"next": None}})


async def test_a_schema_whose_pattern_hangs_refuses_the_value_in_time(tmp_path: Path) -> None:
    async with open_echo_bench(tmp_path) as bench:
        text: JsonValue = {"type": "string", "pattern": HOSTILE}
        await bench.task(output_schema={"type": "object", "properties": {"a": text}})
        await bench.items("good", output={"a": "aaa"})
        with anyio.fail_after(60), pytest.raises(WorkbenchError, match="took longer than"):
            await bench.items("bad", output={"a": ENDLESS})


async def test_a_bad_schema_that_is_on_disk_is_named_by_each_call_that_needs_it(
    tmp_path: Path,
) -> None:
    async with open_echo_bench(tmp_path) as bench:
        await bench.task(output_schema=OBJECT)
        await bench.items("a", "b", output={"a": "x"})
        await bench.evaluator(type="exact_match", expected_value="x")
        (task,) = await bench.store.children(bench.store.project, Task)
        file = anyio.Path(bench.store.folder / task.saved.path)
        held = await file.read_text(encoding="utf-8")
        broken = held.replace('{\\"type\\": \\"string\\"}', '{\\"$ref\\": \\"#/$defs/Nope\\"}')
        assert broken != held
        await file.write_text(broken, encoding="utf-8")
        with pytest.raises(WorkbenchError, match="cannot be checked against the task's schema"):
            await bench.items("c", output={"a": "x"})
        with pytest.raises(EvalError, match="No model was asked: the schema of its answer"):
            await bench.run()
        assert bench.asked == []


LENGTH = "def score(output, task_input):\n    return 1 if len(output) > 2 else 0"


async def test_code_of_a_folder_that_is_not_trusted_is_never_run(tmp_path: Path) -> None:
    async with open_echo_bench(tmp_path) as bench:
        await bench.task()
        await bench.items("aaa", "a")
        marked = tmp_path / "ran"
        await bench.evaluator(type="code_eval", code=f"open({str(marked)!r}, 'w')\n{LENGTH}")
        with pytest.raises(Refusal, match="The code evaluator 'code eval' was not run"):
            await bench.run()
        assert bench.asked == []
        assert not marked.exists()


async def test_code_is_saved_only_after_a_person_has_read_it_even_in_a_trusted_folder(
    tmp_path: Path,
) -> None:
    async with open_echo_bench(tmp_path) as bench:
        await bench.task()
        bench.workspace.trust.grant(bench.store.folder)
        bench.workspace = replace(bench.workspace, person=None)
        with pytest.raises(MissingApproval, match=r"run on this machine:.*def score"):
            await bench.evaluator(type="code_eval", code=LENGTH)
        assert list(bench.store.folder.rglob("scorer.py")) == []
        await bench.evaluator(type="exact_match", expected_value="x")


async def test_code_of_a_trusted_folder_scores_each_item(tmp_path: Path) -> None:
    async with open_echo_bench(tmp_path) as bench:
        await bench.task()
        await bench.items("aaa", "a")
        await bench.evaluator(type="code_eval", code=LENGTH)
        bench.workspace.trust.grant(bench.store.folder)
        report = await bench.run()
        (file,) = bench.store.folder.rglob("scorer.py")
        record = json.loads((file.parent / "eval_config.kiln").read_text(encoding="utf-8"))
    assert (report.newly_scored, report.failed, report.table[0].mean) == (2, 0, 0.5)
    assert file.read_text(encoding="utf-8") == LENGTH
    assert "code" not in record["properties"]
    assert record["properties"]["type"] == "code_eval"


async def test_code_that_breaks_or_hangs_fails_its_item_alone(tmp_path: Path) -> None:
    code = (
        "import time\ndef score(output):\n    if output == 'slow':\n        time.sleep(60)\n"
        "    return 1 / len(output.strip('b'))"
    )
    async with open_echo_bench(tmp_path) as bench:
        await bench.task()
        await bench.items("a", "slow", "b")
        await bench.evaluator(type="code_eval", code=code, settings={"timeout_seconds": 1})
        bench.workspace.trust.grant(bench.store.folder)
        report = await bench.run()
    assert (report.newly_scored, report.failed) == (1, 2)
    reasons = " ".join(sorted(failure.reason for failure in report.failures))
    assert "broke: ZeroDivisionError" in reasons
    assert "took longer than 1 s" in reasons


REACHES_OUT = (
    "open('/etc/passwd').read()",
    "import os; os.listdir(os.path.expanduser('~root'))",
    "import os; open(f'/proc/{os.getppid()}/environ', 'rb').read()",
    "import socket; socket.create_connection(('127.0.0.1', PORT))",
    "import os\nwhile True: os.fork()",
    "import os\nfor n in range(999):\n    with open(str(n), 'wb') as f: f.write(bytes(15 << 20))",
    "import os, signal; os.kill(os.getppid(), signal.SIGKILL)",
    "import subprocess; subprocess.Popen(['setsid', 'sleep', '60'])",
    "import os\nwhile True: os.write(1, bytes(1 << 20))",
)


@pytest.mark.slow
async def test_code_that_reaches_out_costs_its_item_alone_and_reaches_nothing(
    tmp_path: Path,
) -> None:
    if gaps := protection().gaps:
        pytest.skip(f"here code can {', '.join(gaps)}")
    code = "def score(output):\n    exec(output)\n    return 1"
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        port = str(server.getsockname()[1])
        async with open_echo_bench(tmp_path) as bench:
            await bench.task()
            await bench.items(*(text.replace("PORT", port) for text in REACHES_OUT), "pass")
            await bench.evaluator(type="code_eval", code=code, settings={"timeout_seconds": 2})
            bench.workspace.trust.grant(bench.store.folder)
            report = await bench.run()
        with pytest.raises(BlockingIOError):
            server.accept()
    assert (report.newly_scored, report.failed) == (1, len(REACHES_OUT))
    assert report.warnings[0].startswith(f"{len(REACHES_OUT)} items could not be scored")
    reasons = [failure.reason for failure in report.failures]
    assert all("broke: " in r or "took longer" in r or "wrote more" in r for r in reasons), reasons


async def test_a_command_of_a_trusted_folder_scores_each_item(tmp_path: Path) -> None:
    async with open_echo_bench(tmp_path) as bench:
        await bench.task()
        await bench.items("exit 0", "exit 1", "echo x > file && cat file")
        await bench.evaluator(type="command_check", settings={"command": "sh {output}"})
        with pytest.raises(Refusal, match="The command evaluator 'command check' was not run"):
            await bench.run()
        bench.workspace.trust.grant(bench.store.folder)
        given: dict[str, JsonValue] = {"project": bench.folder, "eval": "Right"}
        report = await service.run_eval.invoke(bench.workspace, given)
    assert isinstance(report, EvalRunReport)
    assert (report.newly_scored, report.failed) == (3, 0)
    assert report.table[0].mean == pytest.approx(2 / 3, abs=1e-3)


async def test_a_command_that_fails_every_right_answer_is_reported_and_not_the_outputs(
    tmp_path: Path,
) -> None:
    async with open_echo_bench(tmp_path) as bench:
        await bench.task()
        await bench.items("a", "b", "c", "d", output="right")
        await bench.evaluator(type="command_check", settings={"command": "false"})
        bench.workspace.trust.grant(bench.store.folder)
        with pytest.raises(WorkbenchError, match="fails the right answers of all 4 items"):
            await bench.run()


async def test_a_check_whose_settings_kiln_dropped_is_read_from_its_file(tmp_path: Path) -> None:
    async with open_echo_bench(tmp_path) as bench:
        await bench.task()
        await bench.items("one two", "one two three")
        await bench.evaluator(type="number_check", settings={"measure": "words", "at_most": 2})
        (scorer,) = bench.store.folder.rglob("scorer.py")
        file = scorer.parent / "eval_config.kiln"
        record = json.loads(file.read_text(encoding="utf-8"))
        del record["properties"]["kiln_mcp_check"]
        file.write_text(json.dumps(record), encoding="utf-8")
        bench.workspace.trust.grant(bench.store.folder)
        report = await bench.run()
    assert (report.newly_scored, report.table[0].mean) == (2, 0.5)
