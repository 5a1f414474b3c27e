"""What servers and models do to an eval, from the door that a person has."""

import json
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from bench import Agrees, Bench, BenchSetup, open_bench
from kiln_mcp.llm import ModelRequest, ServerSettings
from misbehaving_models import REASONING
from model_zoo import Zoo, open_zoo
from storage import DataSource, Task, TaskOutput, TaskRun

EXACT: dict[str, object] = {"type": "exact_match", "reference_key": "reference_answer"}
JUDGE: dict[str, object] = {"type": "llm_judge", "steps": ["Is it right?"]}


@pytest.fixture
async def zoo() -> AsyncGenerator[Zoo]:
    async with open_zoo() as server:
        yield server


@pytest.fixture
async def server_bench(zoo: Zoo, tmp_path: Path) -> AsyncGenerator[Bench]:
    server = ServerSettings(
        "zoo", zoo.address, input_usd_per_million=1.0, output_usd_per_million=2.0
    )
    task = Task(name="Capitals", instruction="Name the capital.")
    setup = BenchSetup(task, lambda _: "Paris", servers=(server,), person=Agrees())
    async with open_bench(tmp_path, setup) as server_bench:
        person = DataSource(type="human", properties={"created_by": "ann"})
        async with server_bench.store.transaction() as change:
            for country in ("France", "la France"):
                output = TaskOutput(output="Paris", source=person)
                run = TaskRun(input=country, output=output, tags=("eval_right",))
                change.save(run, parent=server_bench.task)
        yield server_bench


RIGHT = [
    *(model.name for model in REASONING if not model.litellm_differs),
    "thinking-parts",
    "no-system",
    "no-system-500",
    "alternate-no-system",
    "completion-tokens",
    "default-temperature",
    "positive-temperature",
    "no-stream-usage",
]


@pytest.mark.parametrize("model", RIGHT)
async def test_a_right_answer_is_scored_as_one_whatever_its_dialect(
    server_bench: Bench, model: str
) -> None:
    await server_bench.evaluator(**EXACT)
    await server_bench.config("only", "Name it.", f"zoo/{model}")
    report = await server_bench.run()
    [row] = report.table
    assert (report.newly_scored, report.failed, row.mean) == (2, 0, 1.0)


@pytest.mark.parametrize(
    ("model", "state"),
    [
        ("content-filter", "refused"),
        ("refusal", "refused"),
        ("only-reasoning", "truncated"),
        ("only-reasoning-stop", "empty"),
        ("truncated-text", "truncated"),
    ],
)
async def test_what_is_no_answer_is_not_scored(server_bench: Bench, model: str, state: str) -> None:
    await server_bench.evaluator(**EXACT)
    await server_bench.config("bad", "Name it.", f"zoo/{model}")
    await server_bench.config("good", "Name it.")
    report = await server_bench.run()
    assert (report.newly_scored, report.failed_by_state) == (2, {state: 2})
    assert [(row.run_config, row.mean) for row in report.table] == [("good", 1.0)]


@pytest.mark.parametrize(
    "model", ["draft-final", "braces-before", "fence", "schema-echo", "think-json", "upper"]
)
async def test_a_judges_last_word_is_its_verdict(server_bench: Bench, model: str) -> None:
    await server_bench.evaluator(**JUDGE, model=f"zoo/{model}")
    await server_bench.config("good", "Name it.")
    report = await server_bench.run()
    assert [(row.mean, row.n) for row in report.table] == [(1.0, 2)]


async def test_hidden_tokens_of_reasoning_are_paid_as_output(server_bench: Bench) -> None:
    await server_bench.evaluator(**EXACT)
    await server_bench.config("only", "Name it.", "zoo/hidden-reasoning")
    report = await server_bench.run()
    assert report.table[0].usd_each == pytest.approx(0.00203)
    assert any("2000 hidden tokens" in warning for warning in report.warnings)


async def test_one_judge_that_takes_no_schema_lowers_no_other(
    server_bench: Bench, zoo: Zoo
) -> None:
    await server_bench.config("good", "Name it.")
    for model in ("words-system-first", "draft-final"):
        judge = await server_bench.evaluator(**JUDGE, model=f"zoo/{model}")
        report = await server_bench.run(evaluator=judge.evaluator_id)
        assert report.newly_scored == 2
    kinds = {
        body["response_format"]["type"] for body in zoo.bodies if body["model"] == "draft-final"
    }
    assert kinds == {"json_schema"}


async def test_one_answer_that_is_no_json_fails_alone_and_pays_for_no_other(
    tmp_path: Path,
) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "number"}}, "required": ["n"]}
    task = Task(name="Number", instruction="Give it.", output_json_schema=json.dumps(schema))

    def answer(request: ModelRequest) -> str:
        number = request.messages[1].content
        return '{"n": NaN}' if number == "7" else f'{{"n": {number}}}'

    async with open_bench(tmp_path, BenchSetup(task, answer)) as server_bench:
        person = DataSource(type="human", properties={"created_by": "ann"})
        async with server_bench.store.transaction() as change:
            for number in range(20):
                output = TaskOutput(output=f'{{"n": {number}}}', source=person)
                run = TaskRun(input=str(number), output=output, tags=("eval_right",))
                change.save(run, parent=server_bench.task)
        await server_bench.evaluator(**EXACT)
        await server_bench.config("only", "Give it.")
        report = await server_bench.run()
        assert (report.newly_scored, report.failed_by_state) == (19, {"unreadable": 1})
        assert "it holds NaN" in report.failures[0].reason
        assert report.table[0].mean == 1.0
        assert len(server_bench.model.asked) == 19 + 3
