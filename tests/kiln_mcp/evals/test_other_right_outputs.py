"""Items with several right outputs: each of them counts as right, from the file to the results."""

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from pydantic import JsonValue

from bench import Agrees, Bench, BenchSetup, open_bench
from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.datasets.topics import topic_of
from kiln_mcp.evals.answers import EvalReport
from kiln_mcp.evals.results.service import show_results
from kiln_mcp.llm import ModelRequest
from kiln_mcp.synthesis.service import add_data
from storage import Task, TaskRun

CITY = {"type": "object", "properties": {"city": {"type": "string"}, "zip": {"type": "integer"}}}
RIGHT = ["Rome", "Roma"]
EXACT: dict[str, object] = {"type": "exact_match", "reference_key": "reference_answer"}
CONTAINS: dict[str, object] = {"type": "contains", "reference_key": "reference_answer"}
NONE_OF = CONTAINS | {"mode": "must_not_contain"}
EQUAL_SETS: dict[str, object] = {
    "type": "set_check",
    "mode": "equal",
    "reference_key": "reference_answer",
}


@asynccontextmanager
async def _bench(
    tmp_path: Path,
    answer: str | Callable[[ModelRequest], str],
    right: list[object] | list[str],
    schema: object = None,
) -> AsyncGenerator[Bench]:
    """Open a bench with one item that has several right outputs, from a file of evals."""
    text = json.dumps(schema) if schema else None
    task = Task(name="Read", instruction="Read it.", output_json_schema=text)
    setup = BenchSetup(task, answer if callable(answer) else lambda _: answer, Agrees())
    file = tmp_path / "evals.jsonl"
    await anyio.Path(tmp_path).mkdir(exist_ok=True)
    row = {"input": [{"role": "user", "content": "Italy?"}], "ideal": right}
    await anyio.Path(file).write_text(json.dumps(row), encoding="utf-8")
    async with open_bench(tmp_path, setup) as bench:
        added = await add_data(bench.workspace, bench.folder, file=str(file), tags=["eval_right"])
        assert added.new_items == 1
        await bench.config("only", "Read it.")
        yield bench


async def _means(bench: Bench, evaluator: dict[str, object]) -> dict[str, float | None]:
    await bench.evaluator(**evaluator)
    return {row.score: row.mean for row in (await bench.run()).table}


@pytest.mark.parametrize(
    ("evaluator", "answer", "mean"),
    [
        (EXACT, "Roma", 1.0),
        (EXACT, "Rome", 1.0),
        (EXACT, "Paris", 0.0),
        (CONTAINS, "It is Roma.", 1.0),
        (CONTAINS, "It is Paris.", 0.0),
        (NONE_OF, "It is Roma.", 0.0),
        (NONE_OF, "It is Paris.", 1.0),
        (EQUAL_SETS, "Roma", 1.0),
        (EQUAL_SETS, "Paris", 0.0),
        ({**EXACT, "value_expression": "final_message | upper"}, "Roma", 0.0),
        ({**EXACT, "value_expression": "final_message | trim('.')"}, "Roma.", 1.0),
    ],
)
async def test_each_right_output_is_right_for_a_check(
    tmp_path: Path, evaluator: dict[str, object], answer: str, mean: float
) -> None:
    async with _bench(tmp_path, answer, RIGHT) as bench:
        assert await _means(bench, evaluator) == {"right": mean}


@pytest.mark.parametrize(
    ("answer", "means"),
    [
        ({"city": "Roma", "zip": 2}, {"right": 1.0, "city": 1.0, "zip": 1.0}),
        ({"city": "Rome", "zip": 1}, {"right": 1.0, "city": 1.0, "zip": 1.0}),
        ({"city": "Roma", "zip": 9}, {"right": 0.0, "city": 1.0, "zip": 0.0}),
        ({"city": "Oslo", "zip": 2}, {"right": 0.0, "city": 0.0, "zip": 1.0}),
    ],
)
async def test_fields_are_compared_with_the_right_output_that_agrees_most(
    tmp_path: Path, answer: object, means: dict[str, float]
) -> None:
    right: list[object] = [{"city": "Rome", "zip": 1}, {"city": "Roma", "zip": 2}]
    async with _bench(tmp_path, json.dumps(answer), right, CITY) as bench:
        assert await _means(bench, EXACT) == means


async def test_a_judge_and_a_person_see_all_right_outputs(tmp_path: Path) -> None:
    def answer(request: ModelRequest) -> str:
        return '{"reasoning": "r", "right": "fail"}' if request.schema else "Roma"

    judge: dict[str, object] = {"type": "llm_judge", "steps": ["Right?"], "with_reference": True}
    async with _bench(tmp_path, answer, RIGHT) as bench:
        await _means(bench, judge)
        prompt = bench.model.asked[-1].messages[-1].content
        assert "Rome\n\nEach of these is right as well:\n1. Roma\n" in str(prompt)
        report = await show_results(
            bench.workspace, bench.folder, "Right", items="failures", limit=1
        )
        assert isinstance(report, EvalReport)
        (item,) = report.items
        assert (item.expected, item.also_right) == ("Rome", ["Roma"])


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
async def test_an_export_holds_all_right_outputs_and_the_topic(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"runs.{ending}"
    async with _bench(tmp_path / "first", "Roma", RIGHT) as bench:
        (run,) = await bench.store.children(bench.task, TaskRun)
        assert run.input_source is not None
        source = run.input_source.replace(properties={"file_name": "f", "topic_path": "places"})
        await bench.store.save(run.replace(input_source=source))
        call: dict[str, JsonValue] = {"project": bench.folder, "file": str(file)}
        await installed_catalogue().perform(bench.workspace, "export", call)
    task = Task(name="Read", instruction="Read it.")
    async with open_bench(tmp_path / "second", BenchSetup(task, lambda _: "Roma")) as bench:
        added = await add_data(bench.workspace, bench.folder, file=str(file))
        (run,) = await bench.store.children(bench.task, TaskRun)
        assert (added.new_items, run.output.output) == (1, "Rome")
        assert (run.other_right_outputs, topic_of(run)) == (("Roma",), "places")
