"""Several outputs of an item, several verdicts of an output: what is asked, kept and reported."""

import json
from collections.abc import Callable

import pytest

from bench import Bench, BenchSetup
from kiln_mcp.approvals.errors import MissingApproval
from kiln_mcp.evals.results.service import show_results
from kiln_mcp.llm import ModelRequest
from kiln_mcp.llm.errors import RejectedRequest
from storage import Eval, EvalConfig, EvalRun, Task
from storage.errors import Refusal

EXACT: dict[str, object] = {"type": "exact_match", "reference_key": "reference_answer"}
JUDGE: dict[str, object] = {"type": "llm_judge", "steps": ["Is it right?"]}


class NoisyModel:
    """Answers differ from sample to sample, as a test says."""

    def __init__(self) -> None:
        self.answer: Callable[[str, int], str] = lambda text, _: text
        self.verdict: Callable[[str, int], bool] = lambda _, __: True

    def __call__(self, request: ModelRequest) -> str:
        asked = request.messages[-1].content
        if "You judge" in request.messages[0].content:
            [output] = [n for n in range(40) if f"<model_response>\n{n}\n" in asked]
            passes = self.verdict(str(output), request.sample)
            return json.dumps({"reasoning": "", "right": "pass" if passes else "fail"})
        return self.answer(asked, request.sample)


@pytest.fixture
def model() -> NoisyModel:
    return NoisyModel()


@pytest.fixture
def bench_setup(model: NoisyModel) -> BenchSetup:
    return BenchSetup(Task(name="Echo", instruction="Say it."), model)


async def begin(bench: Bench, evaluator: dict[str, object], count: int) -> None:
    await bench.add_items({str(number): str(number) for number in range(count)})
    await bench.evaluator(**evaluator)
    await bench.config("only", "Say it.")


def often(text: str, sample: int) -> str:
    """Answer 0 always right, 1 in its first sample alone, 2 never, and so on."""
    kind = int(text) % 3
    return text if kind == 0 or (kind == 1 and sample == 0) else "39"


async def test_rates_are_of_items_that_pass_all_and_any_of_their_outputs(
    bench: Bench, model: NoisyModel
) -> None:
    model.answer = often
    await begin(bench, EXACT, 6)
    report = await bench.run(repeats=3)
    assert (report.items, report.newly_scored, report.outputs_made) == (6, 18, 18)
    [row], [repeats] = report.table, report.repeats
    assert (row.n, row.exclusions, row.mean) == (6, 0, pytest.approx(4 / 9, abs=1e-4))
    assert (repeats.outputs, repeats.verdicts, repeats.n) == (3, 1, 6)
    assert (repeats.pass_all, repeats.pass_any) == (
        pytest.approx(1 / 3, abs=1e-4),
        pytest.approx(2 / 3, abs=1e-4),
    )
    assert repeats.variance_of_judge == 0
    assert repeats.variance_of_sampling == pytest.approx(1 / 9, abs=1e-4)


async def test_outputs_of_one_item_do_not_narrow_an_interval_as_items_do(
    bench: Bench, model: NoisyModel
) -> None:
    model.answer = lambda text, _: text if int(text) % 2 else "39"
    await begin(bench, EXACT, 10)
    once = (await bench.run()).table[0]
    [row] = (await bench.run(repeats=5)).table
    assert (row.mean, row.low, row.high, row.n) == (once.mean, once.low, once.high, 10)


async def test_a_run_with_more_repeats_asks_for_the_further_outputs_alone(
    bench: Bench, model: NoisyModel
) -> None:
    await begin(bench, EXACT, 4)
    await bench.run()
    report = await bench.run(repeats=3)
    assert (report.newly_scored, report.already_scored) == (8, 4)
    assert sorted(request.sample for request in bench.model.asked) == [0] * 4 + [1] * 4 + [2] * 4
    assert (await bench.run(repeats=3)).newly_scored == 0
    assert (await bench.run()).already_scored == 4


async def test_an_output_that_failed_is_asked_for_again_with_its_own_number(
    bench: Bench, model: NoisyModel
) -> None:
    is_broken = True

    def answer(text: str, sample: int) -> str:
        if is_broken and (text, sample) == ("2", 1):
            raise RejectedRequest("scripted", "the server is in a bad mood.")
        return text

    model.answer = answer
    await begin(bench, EXACT, 4)
    report = await bench.run(repeats=3)
    assert (report.newly_scored, report.failed) == (11, 1)
    assert report.repeats[0].n == 3
    is_broken = False
    bench.model.asked.clear()
    report = await bench.run(repeats=3)
    assert [request.sample for request in bench.model.asked] == [1]
    assert (report.newly_scored, report.repeats[0].n) == (1, 4)


async def test_a_second_run_config_of_the_same_prompt_gets_the_same_samples_unpaid(
    bench: Bench, model: NoisyModel
) -> None:
    await begin(bench, EXACT, 3)
    await bench.run(repeats=2)
    asked = len(bench.model.asked)
    await bench.config("same", "Say it.")
    report = await bench.run(run_configs=["same"], repeats=2)
    assert (report.outputs_made, len(bench.model.asked)) == (6, asked)


async def test_a_judges_noise_is_told_apart_from_the_outputs(
    bench: Bench, model: NoisyModel
) -> None:
    model.verdict = lambda output, sample: int(output) < 6 or sample % 2 == 0
    await begin(bench, JUDGE, 12)
    report = await bench.run(repeats=2, judge_repeats=4)
    assert (report.newly_scored, report.outputs_made) == (96, 24)
    [row] = report.repeats
    assert (row.verdicts, row.variance_of_sampling) == (4, 0)
    assert row.variance_of_judge == pytest.approx(1 / 6, abs=1e-4)
    assert report.table[0].n == 12
    assert (await bench.run(repeats=2, judge_repeats=4)).newly_scored == 0


async def test_a_judge_that_judges_once_leaves_its_noise_untold(
    bench: Bench, model: NoisyModel
) -> None:
    await begin(bench, JUDGE, 5)
    report = await bench.run(repeats=2)
    [row] = report.repeats
    assert (row.variance_of_judge, row.variance_of_sampling) == (None, None)
    assert "every output has one verdict" in row.says
    assert (await bench.run(judge_repeats=2)).repeats[0].variance_of_judge is not None


async def test_one_output_an_item_has_no_rates_of_repeats(bench: Bench) -> None:
    await begin(bench, EXACT, 5)
    assert (await bench.run()).repeats == []


async def test_a_check_is_not_asked_for_several_verdicts(bench: Bench) -> None:
    await begin(bench, EXACT, 2)
    with pytest.raises(Refusal, match=r"same verdict each time.*Leave judge_repeats out"):
        await bench.run(judge_repeats=2)


async def test_the_plan_counts_every_output_and_every_verdict(bench: Bench) -> None:
    await begin(bench, JUDGE | {"model": "ollama/unpriced"}, 4)
    with pytest.raises(MissingApproval) as caught:
        await bench.run(repeats=3, judge_repeats=2)
    said = str(caught.value)
    assert "3 outputs an item, 2 verdicts an output" in said
    assert "About 36 model calls" in said
    assert bench.model.asked == []


async def test_a_comparison_counts_each_item_once_with_the_mean_of_its_outputs(
    bench: Bench, model: NoisyModel
) -> None:
    model.answer = often
    await begin(bench, EXACT, 6)
    await bench.run(repeats=3)
    model.answer = lambda text, _: text
    await bench.config("better", "Say it, please.")
    await bench.run(run_configs=["better"])
    better, only = (await bench.compare("only", "better")).rows
    assert (better.n, only.n) == (6, 6)
    assert (only.mean, better.mean) == (pytest.approx(4 / 9, abs=1e-4), 1.0)
    assert better.difference == pytest.approx(5 / 9, abs=1e-4)


async def test_an_item_is_shown_once_with_the_worst_of_its_outputs(
    bench: Bench, model: NoisyModel
) -> None:
    model.answer = often
    await begin(bench, EXACT, 3)
    await bench.run(repeats=3)
    arguments = bench.arguments(items="failures")
    report = await show_results.invoke(bench.workspace, arguments)
    items = report.model_dump()["items"]
    assert report.model_dump()["items_found"] == 2
    assert {(i["input"], i["output"], i["outputs"], i["outputs_right"]) for i in items} == {
        ("1", "39", 3, 1),
        ("2", "39", 3, 0),
    }
    assert report.model_dump()["repeats"][0]["outputs"] == 3


@pytest.mark.parametrize("evaluator", [EXACT, JUDGE])
async def test_outputs_and_verdicts_are_records_that_say_their_numbers(
    bench: Bench, evaluator: dict[str, object]
) -> None:
    await begin(bench, evaluator, 1)
    verdicts_each = 2 if evaluator is JUDGE else 1
    await bench.run(repeats=2, judge_repeats=verdicts_each)
    outputs = await bench.generated_runs()
    assert sorted(output.sample for output in outputs) == [0, 1]
    first = next(output for output in outputs if not output.sample)
    assert first.output.source is not None
    assert "sample" not in first.output.source.properties
    [eval_record] = await bench.store.children(bench.task, Eval)
    [judge] = await bench.store.children(eval_record, EvalConfig)
    results = await bench.store.children(judge, EvalRun)
    assert {(r.sample, r.verdict_number) for r in results} == {
        (sample, verdict) for sample in range(2) for verdict in range(verdicts_each)
    }
    samples = {output.id: output.sample for output in outputs}
    assert all(samples[result.scored_run_id or ""] == result.sample for result in results)
