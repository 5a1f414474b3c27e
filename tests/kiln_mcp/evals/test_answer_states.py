"""An answer that is not complete is a failure of its item: never an output, never a score."""

import json
from collections.abc import Callable

import pytest
from pydantic import JsonValue

from bench import Bench, BenchSetup
from kiln_mcp.llm import ModelAnswer, ModelRequest, Usage
from kiln_mcp.run_configs import service as run_configs
from kiln_mcp.run_configs.errors import EvalError
from storage import Task

BAD = {
    "0": ModelAnswer("half of it", finish="length"),
    "1": ModelAnswer("", finish="length", reasoning="Well,"),
    "2": ModelAnswer("", finish="refused"),
    "3": ModelAnswer(""),
}
PASS = '{"reasoning": "", "right": "pass"}'
JUDGE: dict[str, object] = {"type": "llm_judge", "steps": ["Is it right?"]}
EXACT: dict[str, object] = {"type": "exact_match", "reference_key": "reference_answer"}


class MoodyModel:
    """Gives bad answers to some inputs while it is in a bad mood; judges as it is told."""

    def __init__(self) -> None:
        self.is_moody = True
        self.replies: dict[str, str] = {}
        self.verdict: Callable[[str], str | ModelAnswer] = lambda _: (
            '{"reasoning":"","right":"pass"}'
        )

    def __call__(self, request: ModelRequest) -> str | ModelAnswer:
        asked = request.messages[-1].content
        if "You judge" in request.messages[0].content:
            return self.verdict(asked)
        if self.is_moody and asked in BAD:
            return BAD[asked]
        text = self.replies.get(asked, asked)
        return ModelAnswer(text, usage=Usage(1, 1001, hidden_tokens=1000))


@pytest.fixture
def moody() -> MoodyModel:
    return MoodyModel()


@pytest.fixture
def bench_setup(moody: MoodyModel) -> BenchSetup:
    return BenchSetup(Task(name="Echo", instruction="Say it."), moody)


async def begin(bench: Bench, evaluator: dict[str, object], count: int) -> None:
    await bench.add_items({str(number): str(number) for number in range(count)})
    await bench.evaluator(**evaluator)
    await bench.config("only", "Say it.")


async def test_answers_that_are_not_complete_are_counted_beside_the_scores(bench: Bench) -> None:
    await begin(bench, EXACT, 6)
    report = await bench.run()
    assert (report.newly_scored, report.failed) == (2, 4)
    assert report.failed_by_state == {"truncated": 2, "refused": 1, "empty": 1}
    [row] = report.table
    assert (row.mean, row.n, row.exclusions) == (1.0, 2, 4)
    assert {item.state for item in report.failures} == {"truncated", "refused", "empty"}
    said = " ".join(report.warnings)
    assert "2 answers were cut off at max_tokens" in said
    assert "2000 hidden tokens" in said


async def test_refusals_in_words_are_scored_and_named_unless_they_are_right(
    bench: Bench, moody: MoodyModel
) -> None:
    refusal = "I'm sorry, but I can't help with that."
    moody.replies = {"4": refusal, "5": refusal}
    await bench.add_items({"4": "4", "5": refusal, "6": "6"})
    await bench.evaluator(**EXACT)
    await bench.config("only", "Say it.")
    report = await bench.run()
    assert (report.newly_scored, report.failed) == (3, 0)
    assert any(said.startswith("1 outputs look like refusals") for said in report.warnings)


async def test_only_complete_outputs_are_saved_and_say_so(bench: Bench) -> None:
    await begin(bench, EXACT, 6)
    await bench.run()
    outputs = await bench.generated_runs()
    assert sorted(run.input for run in outputs) == ["4", "5"]
    assert all(
        run.output.source and run.output.source.properties["answer_state"] == "complete"
        for run in outputs
    )


async def test_the_next_run_asks_again_for_what_failed_alone(
    bench: Bench, moody: MoodyModel
) -> None:
    await begin(bench, EXACT, 6)
    await bench.run()
    moody.is_moody = False
    calls = len(bench.model.asked)
    report = await bench.run()
    assert (report.newly_scored, report.already_scored, report.failed) == (4, 2, 0)
    assert len(bench.model.asked) == calls + 4
    assert report.table[0].mean == 1.0


async def test_a_new_run_config_is_not_answered_with_a_refusal_of_the_past(
    bench: Bench, moody: MoodyModel
) -> None:
    await begin(bench, EXACT, 4)
    with pytest.raises(Exception, match="None of 4 outputs could be scored"):
        await bench.run()
    moody.is_moody = False
    await bench.config("same", "Say it.")
    report = await bench.run(run_configs=["same"])
    assert report.newly_scored == 4


async def test_a_judge_may_abstain_and_gives_no_score_then(bench: Bench, moody: MoodyModel) -> None:
    moody.is_moody = False

    def verdict(asked: str) -> str:
        odd = any(f"<model_response>\n{n}\n" in asked for n in (1, 3))
        return json.dumps({"reasoning": "Nothing to see.", "right": None if odd else "pass"})

    moody.verdict = verdict
    await begin(bench, JUDGE, 6)
    report = await bench.run()
    assert (report.newly_scored, report.abstentions, report.skipped) == (4, 2, 0)
    [row] = report.table
    assert (row.mean, row.n, row.exclusions) == (1.0, 4, 2)
    calls = len(bench.model.asked)
    assert (await bench.run()).newly_scored == 0
    assert len(bench.model.asked) == calls


async def test_a_judges_refusal_is_asked_once_and_told_as_one(
    bench: Bench, moody: MoodyModel
) -> None:
    moody.is_moody = False
    refusal = "I'm sorry, but I can't assist with that."
    moody.verdict = lambda asked: refusal if "<model_response>\n1\n" in asked else PASS
    await begin(bench, JUDGE, 3)
    report = await bench.run()
    assert (report.newly_scored, report.failed_by_state) == (2, {"refused": 1})
    assert len(bench.model.asked) == 6
    assert "refused to answer" in report.failures[0].reason


async def test_an_expression_that_finds_nothing_anywhere_is_reported_and_not_averaged(
    bench: Bench, moody: MoodyModel
) -> None:
    moody.is_moody = False
    await begin(bench, EXACT | {"value_expression": "(final_message | fromjson).city"}, 6)
    with pytest.raises(EvalError, match="finds no value in any of 6 outputs") as caught:
        await bench.run()
    assert "value_expression" in str(caught.value)
    assert len(await bench.generated_runs()) == 6


async def test_an_expression_that_finds_nothing_in_one_output_fails_that_one(
    bench: Bench, moody: MoodyModel
) -> None:
    moody.is_moody = False
    moody.replies = {"0": "no JSON", "1": '{"city": "1"}', "2": '{"city": "2"}'}
    await begin(bench, EXACT | {"value_expression": "(final_message | fromjson).city"}, 3)
    report = await bench.run()
    assert (report.newly_scored, report.failed) == (3, 0)
    assert report.table[0].mean == pytest.approx(2 / 3, abs=0.001)


async def test_a_run_config_sets_how_long_its_answers_may_be(
    bench: Bench, moody: MoodyModel
) -> None:
    moody.is_moody = False
    await begin(bench, EXACT, 1)
    arguments: dict[str, JsonValue] = {"name": "long", "prompt": "Say it.", "max_tokens": 9000}
    await run_configs.create_run_config.invoke(
        bench.workspace, {"project": bench.folder, **arguments}
    )
    await bench.run()
    assert sorted(request.max_tokens for request in bench.model.asked) == [1024, 9000]
