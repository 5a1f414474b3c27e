"""From an export of traces to how often the feature fails, through the catalogue of all doors."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from pydantic import JsonValue

import trace_exports as exports
from bench import Agrees, Bench, BenchSetup
from imported_answers import DIGITS_JUDGE, fail_digits
from kiln_mcp.catalogue import installed_catalogue
from storage import EvalInput, Task, TaskRun

Answer = Mapping[str, JsonValue]


@pytest.fixture
def bench_setup() -> BenchSetup:
    return BenchSetup(Task(name="Support", instruction="Help."), fail_digits, Agrees())


async def _call(bench: Bench, tool: str, **arguments: JsonValue) -> Answer:
    call: dict[str, JsonValue] = {"project": bench.folder, **arguments}
    return await installed_catalogue().perform(bench.workspace, tool, call)


def _write(file: Path, rows: Sequence[Mapping[str, object]]) -> str:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(file)


async def _add(bench: Bench, file: Path, rows: Sequence[Mapping[str, object]]) -> Answer:
    return await _call(bench, "add_data", file=_write(file, rows))


async def test_an_export_of_traces_is_judged_with_two_further_calls(
    bench: Bench, tmp_path: Path
) -> None:
    added = await _add(bench, tmp_path / "spans.jsonl", [exports.otlp(*exports.agent_spans())])
    assert '"tool": "create_evaluator"' in json.dumps(added["next"])
    created = await bench.evaluator(**DIGITS_JUDGE)
    [step] = created.next
    assert step.arguments == {"eval": "Right", "outputs": "tag::production"}
    report = await bench.run(outputs="tag::production")
    assert (report.rates[0].failures, report.rates[0].n) == (0, 1)
    prompt = str(bench.model.asked[0].messages[-1].content)
    assert "<conversation>\nuser: Weather in Paris?" in prompt
    assert "\n\ntool: " in prompt
    assert {row.name for row in report.numbers} >= {"seconds", "tokens"}


async def test_a_trace_that_a_fuller_export_completes_is_judged_again(
    bench: Bench, tmp_path: Path
) -> None:
    spans = exports.agent_spans()
    first_call = min(
        (span for span in spans if "gen_ai.output.messages" in json.dumps(span)),
        key=lambda span: int(str(span["startTimeUnixNano"])),
    )
    await _add(bench, tmp_path / "part.jsonl", [exports.otlp(first_call)])
    await bench.evaluator(**DIGITS_JUDGE)
    assert (await bench.run(outputs="all")).newly_scored == 1
    await _add(bench, tmp_path / "whole.jsonl", [exports.otlp(*spans)])
    assert len(await bench.store.children(bench.task, TaskRun)) == 1
    again = await bench.run(outputs="all")
    assert (again.newly_scored, again.already_scored, again.rates[0].n) == (1, 0, 1)
    assert (await bench.run(outputs="all")).already_scored == 1


async def test_the_topic_of_an_input_alone_is_kept_and_results_are_sliced_by_it(
    bench: Bench,
) -> None:
    topics = {"bill": "bills", "refund": "refunds"}
    items: list[JsonValue] = [
        {"input": f"{word} {n}", "topic": topic} for n in range(5) for word, topic in topics.items()
    ]
    await _call(bench, "add_data", items=items, tags=["eval_right"])
    inputs = await bench.store.children(bench.task, EvalInput)
    assert {entry.topic for entry in inputs} == {"bills", "refunds"}
    await bench.evaluator(type="contains", substring="fail", name="word")
    await bench.config("only", "<model_response>1</model_response>")
    await bench.run()
    report = await _call(bench, "show_results", eval="Right", slice_by="topic")
    rows = report["slices"]
    assert isinstance(rows, list)
    assert {(row["slice"], row["n"]) for row in rows if isinstance(row, dict)} == {
        ("bills", 5),
        ("refunds", 5),
    }
