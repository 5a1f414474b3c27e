"""What servers and models do to an eval, from the door that a person has."""

import json
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from bench import Agrees, Bench, BenchSetup, open_bench
from kiln_mcp.llm import ModelRequest, ServerSettings
from kiln_mcp.run_configs.errors import EvalError
from misbehaving_models import REASONING
from model_zoo import Zoo, open_zoo
from storage import Task

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
        await server_bench.add_items({"France": "Paris", "la France": "Paris"})
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
    "small-window",
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


@pytest.mark.parametrize(
    "model",
    [
        "no-format",
        "object-only",
        "no-system-json",
        "words-system-first",
        "words-alternate",
        "words-no-system",
        "refuses-all",
    ],
)
async def test_a_judge_is_asked_in_the_dialect_of_its_model(
    server_bench: Bench, model: str
) -> None:
    await server_bench.evaluator(**JUDGE, model=f"zoo/{model}")
    await server_bench.config("good", "Name it.")
    report = await server_bench.run()
    assert [(row.mean, row.n) for row in report.table] == [(1.0, 2)]


async def test_a_correction_keeps_the_turns_that_a_judges_model_wants(
    server_bench: Bench, zoo: Zoo
) -> None:
    """What is sent back for correction alternates as well, and the item fails in its own words."""
    await server_bench.evaluator(**JUDGE, model="zoo/words-alternate-prose")
    await server_bench.config("good", "Name it.")
    with pytest.raises(EvalError, match="None of 2 outputs could be scored"):
        await server_bench.run()
    roles = [message["role"] for message in zoo.bodies[-1]["messages"]]
    assert roles == ["user", "assistant", "user", "assistant", "user"]


@pytest.mark.parametrize(
    "model", ["string-number", "label-number", "key-case", "one-element", "float"]
)
async def test_a_number_is_a_score_as_people_write_it(server_bench: Bench, model: str) -> None:
    await rate_quality(server_bench, f"zoo/{model}")
    report = await server_bench.run(eval="Quality")
    assert [(row.mean, row.n) for row in report.table] == [(4.0, 2)]


async def test_a_judge_that_answers_null_has_abstained(server_bench: Bench) -> None:
    await rate_quality(server_bench, "zoo/abstains")
    report = await server_bench.run(eval="Quality")
    assert (report.newly_scored, report.abstentions, report.failed) == (0, 2, 0)


@pytest.mark.parametrize("model", ["out-of-range", "nan", "overflow", "prose"])
async def test_a_score_that_is_none_fails_its_item(server_bench: Bench, model: str) -> None:
    await rate_quality(server_bench, f"zoo/{model}")
    with pytest.raises(EvalError, match="None of 2 outputs could be scored"):
        await server_bench.run(eval="Quality")


async def rate_quality(server_bench: Bench, model: str) -> None:
    scores = [{"name": "Quality", "type": "five_star"}]
    new_eval = {"scores": scores, "test_filter": "tag::eval_right"}
    await server_bench.evaluator_of("Quality", JUDGE | {"model": model}, new_eval)
    await server_bench.config("good", "Name it.")


@pytest.mark.parametrize("model", ["no-quota", "quota-code", "credits-used"])
async def test_an_account_without_credit_is_told_and_not_asked_again(
    server_bench: Bench, zoo: Zoo, model: str
) -> None:
    await server_bench.evaluator(**EXACT)
    await server_bench.config("only", "Name it.", f"zoo/{model}")
    with pytest.raises(EvalError, match="no credit left"):
        await server_bench.run()
    assert len(zoo.bodies) <= 2


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
        report = await server_bench.run(evaluators=[judge.evaluator_id])
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
        await server_bench.add_items({str(n): f'{{"n": {n}}}' for n in range(20)})
        await server_bench.evaluator(**EXACT)
        await server_bench.config("only", "Give it.")
        report = await server_bench.run()
        assert (report.newly_scored, report.failed_by_state) == (19, {"unreadable": 1})
        assert "it holds NaN" in report.failures[0].reason
        assert report.table[0].mean == 1.0
        assert len(server_bench.model.asked) == 19 + 3
