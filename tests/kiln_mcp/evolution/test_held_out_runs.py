"""How often start and winner are run on held-out items, and what that is said to see."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from kiln_mcp.approvals.errors import MissingApproval
from kiln_mcp.evals import service as evals
from kiln_mcp.evals.lookups import find_eval, load_measurement
from kiln_mcp.evals.measurement import Repeats
from kiln_mcp.evolution.engine import Result
from kiln_mcp.evolution.held_out_runs import plan_runs
from kiln_mcp.evolution.search_context import SearchRequest, prepare
from kiln_mcp.evolution.search_log import ResumableLog
from kiln_mcp.evolution.trials import engine_items
from kiln_mcp.llm import BudgetLimit, ModelRequest
from kiln_mcp.llm.errors import RejectedRequest
from search_bench import (
    TEST_START,
    Bench,
    by_coin,
    by_instruction,
    edits,
    open_search_bench,
)
from storage import EvalConfig, StepsJudge, TaskRun

CALL = {"max_calls": 200, "reflect_with": "editor"}


def held_out_requests(bench: Bench) -> list[tuple[str, str, int]]:
    """Return prompt, input and sample of each request for a held-out item."""
    return [
        (request.messages[0].content, request.messages[-1].content, request.sample)
        for request in bench.model.requests
        if int(request.messages[-1].content) >= TEST_START
    ]


async def outputs_of(bench: Bench) -> int:
    runs = await bench.store.children(bench.task, TaskRun)
    return sum(run.eval_source is not None for run in runs)


async def test_a_model_that_answers_by_chance_is_measured_several_times_and_paid_once(
    tmp_path: Path,
) -> None:
    async with open_search_bench(tmp_path, by_coin) as bench:
        report = await bench.evolve(**CALL)
        assert report.held_out_runs == 4
        assert "with 4 runs of each of 60 items" in report.held_out_sight
        assert report.gain_shown
        requests = held_out_requests(bench)
        assert len(requests) == len(set(requests)) == report.held_out_calls == 2 * 60 * 4
        assert await outputs_of(bench) == 2 * 60 * 4
        text = await anyio.Path(report.search_log).read_text(encoding="utf-8")
        line = json.loads(text.splitlines()[-2])
        assert line["samples"] == [[0, 0], [1, 0], [2, 0], [3, 0]]
        assert line["noise"] > 0.05
        assert report.comparison[0].n == 60


def no_edits(_: ModelRequest) -> str:
    return "I would rather talk about the weather."


def wordy_edits(request: ModelRequest) -> str:
    """Answer with edits once a first answer without any was refused."""
    return edits(request) if len(request.messages) > 2 else no_edits(request)


@pytest.mark.parametrize("answer", [by_coin, by_instruction])
@pytest.mark.parametrize("editor", [edits, wordy_edits, no_edits])
async def test_every_call_that_a_model_answers_is_counted(
    tmp_path: Path,
    answer: Callable[[ModelRequest], str],
    editor: Callable[[ModelRequest], str],
) -> None:
    async with open_search_bench(tmp_path, answer, editor=editor) as bench:
        report = await bench.evolve(**CALL)
        counted = report.search_calls + report.held_out_calls + report.noise_calls
        assert await bench.workspace.engine.count_answers() == counted


async def test_calls_that_tell_the_noise_alone_are_counted(tmp_path: Path) -> None:
    async with open_search_bench(tmp_path, by_coin) as bench:
        measurement = await load_measurement(
            bench.store, await find_eval(bench.store, "Right"), None
        )
        engine = bench.workspace.engine
        engine = engine.within(await engine.budget("jobs/4714", BudgetLimit()))
        workspace = replace(bench.workspace, job="4714", engine=engine)
        context = await prepare(workspace, measurement, SearchRequest("start", 60, 0, None))
        result = Result(context.start, context.start, "budget", [], [context.start], 0, 0, 0)
        log = ResumableLog(tmp_path, "search")
        item = engine_items(context.parts.val)[0]
        await context.trials.run(context.start, item)
        runs = await plan_runs(context, result, log)
        assert runs.noise > 0.05
        # One of the 16 runs was paid for by the search.
        assert runs.noise_calls == 15 == await engine.count_answers() - 1
        assert (await plan_runs(context, result, log)).noise_calls == 15
        log.close()


async def test_a_model_that_repeats_itself_is_measured_once(tmp_path: Path) -> None:
    async with open_search_bench(tmp_path, by_instruction) as bench:
        report = await bench.evolve(**CALL)
        assert (report.held_out_runs, report.held_out_calls) == (1, 120)
        assert report.held_out_sight.startswith("The test can see 13 points with 1 run")


async def test_fewer_runs_can_be_asked_for_and_what_they_cannot_see_is_said(
    tmp_path: Path,
) -> None:
    async with open_search_bench(tmp_path, by_coin) as bench:
        report = await bench.evolve(**CALL, goals=["runs 1"])
        assert (report.held_out_runs, report.held_out_calls) == (1, 120)
        (warning,) = [said for said in report.warnings if "More runs would show" in said]
        assert warning.startswith("The test can see ")


async def test_a_measurement_that_stops_half_way_goes_on_with_the_same_runs(
    tmp_path: Path,
) -> None:
    failures = [RejectedRequest("small", "it is closed now.")]

    def answer(request: ModelRequest) -> str:
        if request.sample == 2 and request.messages[-1].content == "230" and failures:
            raise failures.pop()
        return by_coin(request)

    async with open_search_bench(tmp_path, answer) as bench:
        engine = bench.workspace.engine
        engine = engine.within(await engine.budget("jobs/4713", BudgetLimit()))
        attempt = replace(bench, workspace=replace(bench.workspace, job="4713", engine=engine))
        with pytest.raises(RejectedRequest, match="closed now"):
            await attempt.evolve(**CALL)
        report = await attempt.evolve(**CALL)
        assert report.held_out_runs == 4
        requests = held_out_requests(bench)
        # The one that failed is asked again, and no other one.
        assert len(requests) - len(set(requests)) == 1
        assert len(set(requests)) == 2 * 60 * 4
        assert await outputs_of(bench) == 2 * 60 * 4


async def test_runs_of_the_start_that_an_eval_has_left_count_as_runs(tmp_path: Path) -> None:
    async with open_search_bench(tmp_path, by_coin) as bench:
        call = {"project": str(bench.store.folder), "eval": "Right", "run_configs": ["start"]}
        await evals.run_eval.invoke(bench.workspace, json.loads(json.dumps(call)))
        report = await bench.evolve(**CALL)
        assert report.held_out_calls == 2 * 60 * 4 - 60


async def test_the_plan_says_what_the_test_can_see_before_anything_is_asked(
    tmp_path: Path,
) -> None:
    async with open_search_bench(tmp_path, by_coin) as bench:
        with pytest.raises(MissingApproval) as refusal:
            await bench.evolve(reflect_with="fireworks_ai/some-model", goals=["runs 2"])
        said = str(refusal.value)
        assert "can see 13 points with 1 run an item if scores repeat themselves" in said
        assert "25 points with 2 runs an item if each run is a toss of a coin" in said
        assert bench.model.requests == []


async def test_a_judge_of_a_model_that_repeats_itself_is_asked_again_about_one_output(
    tmp_path: Path,
) -> None:
    async with open_search_bench(tmp_path, by_coin) as bench:
        measurement = await load_measurement(
            bench.store, await find_eval(bench.store, "Right"), None
        )
        request = SearchRequest("start", 60, 0, None)
        context = await prepare(bench.workspace, measurement, request)
        assert context.repeats(4) == Repeats(outputs=4)
        judge = EvalConfig(
            name="judge",
            config_type="llm_as_judge",
            model_name="small",
            model_provider="kiln_custom_registry",
            properties=StepsJudge(eval_steps=("Is it right?",)),
        )
        context = replace(context, eval_context=measurement.of(judge))
        assert context.repeats(4) == Repeats(verdicts=4)
        warm = replace(context.resolved_config, temperature=0.7)
        assert replace(context, resolved_config=warm).repeats(4) == Repeats(outputs=4)
