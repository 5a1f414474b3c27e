"""Drift of a judge and of a feature, with the results that tell them apart made for it."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from bench import Bench, BenchSetup
from kiln_mcp.evals.baselines import pin_baseline
from kiln_mcp.evals.gate.anchors import DriftRequest, anchor_items, checks_of_drift
from kiln_mcp.evals.gate.checks import CheckOutcome
from kiln_mcp.evals.gate.drift import Shift, read_drift
from kiln_mcp.evals.gate.eval_gate import GatedConfig, read_gated_config
from kiln_mcp.evals.gate.fresh_results import FreshResults, make_results, plan_anchors
from kiln_mcp.evals.lookups import find_eval, find_run_configs, load_measurement
from kiln_mcp.evals.results.service import show_results
from kiln_mcp.llm import ModelRequest
from storage import Task

ITEMS = 30


class ChangingModels:
    """A feature and its judge, which change as a test says."""

    def __init__(self) -> None:
        self.judge_passes = True
        self.feature_works = True

    def __call__(self, request: ModelRequest) -> str:
        asked = request.messages[-1].content
        if "You judge" not in request.messages[0].content:
            return "works" if self.feature_works else "broken"
        passes = self.judge_passes and "broken" not in asked
        return json.dumps({"reasoning": "", "right": "pass" if passes else "fail"})


@pytest.fixture
def models() -> ChangingModels:
    return ChangingModels()


@pytest.fixture
def bench_setup(models: ChangingModels) -> BenchSetup:
    return BenchSetup(Task(name="Echo", instruction="Say it."), models)


async def gated_config(bench: Bench) -> GatedConfig:
    task_eval = await find_eval(bench.store, "Right")
    measurement = await load_measurement(bench.store, task_eval, None)
    [config] = await find_run_configs(bench.store, measurement.task, [])
    return await read_gated_config(measurement, config)


async def drift_outcomes(bench: Bench, since: datetime) -> list[CheckOutcome]:
    gated, request = await gated_config(bench), DriftRequest(since)
    anchors = await anchor_items(gated, request.tag)
    plan = await plan_anchors(bench.workspace, gated, anchors, since)
    assert await make_results(bench.workspace, FreshResults([plan])) == []
    gated = await gated_config(bench)
    return [check.outcome for check in await checks_of_drift(gated, request, 20)]


@pytest.mark.parametrize(
    ("judge", "feature", "outcomes"),
    [
        (True, True, ["pass", "pass"]),
        (False, True, ["fail", "pass"]),
        (True, False, ["pass", "fail"]),
    ],
)
async def test_what_moved_is_told_by_judging_old_and_new_outputs_again(
    bench: Bench, models: ChangingModels, judge: bool, feature: bool, outcomes: list[str]
) -> None:
    await bench.add_items({f"item {n}": "x" for n in range(ITEMS)})
    await bench.evaluator(type="llm_judge", steps=["Is it right?"])
    await bench.config("only", "Say it.")
    await bench.run()
    since = datetime.now(UTC) + timedelta(milliseconds=1)
    models.judge_passes, models.feature_works = judge, feature
    bench.model.asked.clear()
    assert await drift_outcomes(bench, since) == outcomes
    calls = len(bench.model.asked)
    assert calls <= 3 * ITEMS
    assert await drift_outcomes(bench, since) == outcomes
    assert len(bench.model.asked) == calls


async def test_a_stricter_judge_is_not_taken_for_a_better_or_worse_feature(
    bench: Bench, models: ChangingModels
) -> None:
    await bench.add_items({f"item {n}": "x" for n in range(ITEMS)})
    await bench.evaluator(type="llm_judge", steps=["Is it right?"])
    await bench.config("only", "Say it.")
    await bench.run()
    since = datetime.now(UTC) + timedelta(milliseconds=1)
    models.judge_passes = False
    await drift_outcomes(bench, since)
    gated = await gated_config(bench)
    [drift] = await read_drift(gated.measurement, gated.config, gated.ids, since)
    assert isinstance(drift.judge, Shift)
    assert isinstance(drift.feature, Shift)
    assert (drift.judge.old, drift.judge.new) == (1.0, 0.0)
    assert (drift.feature.old, drift.feature.new) == (0.0, 0.0)


async def test_the_report_says_since_the_pin_whether_the_judge_or_the_feature_moved(
    bench: Bench, models: ChangingModels
) -> None:
    await bench.add_items({f"item {n}": "x" for n in range(ITEMS)})
    await bench.evaluator(type="llm_judge", steps=["Is it right?"])
    await bench.config("only", "Say it.")
    await bench.run()
    gated = await gated_config(bench)
    pinned = await pin_baseline(gated.measurement, gated.config, gated.ids, "ann")
    models.judge_passes = False
    await drift_outcomes(bench, pinned.at)
    report = await show_results(bench.workspace, bench.folder, "Right")
    judge, feature = report.model_dump()["conclusions"]
    assert judge.startswith("only, right: since the pin of")
    assert "its judge moved: 1.000 before, 0.000 now" in judge
    assert "the feature did not move as far as can be shown: 0.000 before" in feature
