"""Sweeps at a service on the loopback, whose models are the better the more epochs they read."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kiln_mcp.approvals.approval import Door, ProposedCall
from kiln_mcp.approvals.decision import Reply
from kiln_mcp.evals.results.answers import Comparison
from kiln_mcp.evals.results.service import show_results
from kiln_mcp.evals.service import create_evaluator, run_eval
from kiln_mcp.run_configs.service import create_run_config
from kiln_mcp.tuning.formats import Thinking
from kiln_mcp.tuning.providers.registry import ProviderName
from kiln_mcp.tuning.sweep_answers import SweepResult
from kiln_mcp.tuning.sweep_outlook import sweep_outlook
from kiln_mcp.tuning.sweep_service import sweep_trainings
from kiln_mcp.tuning.sweeps import SweepRequest, wishes_of
from kiln_mcp.tuning.training_drafts import TrainingWish
from storage import TaskRunConfig
from storage.errors import InvalidValue, Refusal, WorkbenchError
from tuning_bench import BASES, Bench, open_bench

BASE = BASES["openai"]


@asynccontextmanager
async def open_sweep(tmp_path: Path) -> AsyncGenerator[Bench]:
    async with open_bench(tmp_path, "openai") as bench:
        workspace, project = bench.workspace, bench.project
        await create_run_config(workspace, project, name="Base", model=f"openai/{BASE}")
        await create_evaluator(
            workspace, project, "Exact", "exact_match", reference_key="reference_answer"
        )
        yield bench


async def sweep(bench: Bench, **changes: Any) -> SweepResult:
    arguments: dict[str, Any] = {
        "split": "F",
        "eval": "Exact",
        "provider": ProviderName.OPENAI,
        "base_models": [BASE],
        "compare": ["Base"],
        "grid": {"epochs": [1, 3]},
        "part": "train",
        "despite_faults": True,
    }
    return await sweep_trainings(bench.workspace, bench.project, **(arguments | changes))


async def test_a_sweep_trains_each_combination_and_compares_all_of_them_once(
    tmp_path: Path,
) -> None:
    async with open_sweep(tmp_path) as bench:
        result = await sweep(bench)
        assert [row.parameters["epochs"] for row in result.trainings] == [1, 3]
        assert len(bench.services.trainings) == 2
        comparison = result.comparison
        assert comparison.baseline == "Base"
        best = comparison.rows[0]
        assert best.run_config == result.trainings[1].run_config
        assert best.difference is not None
        assert best.difference > 0.5
        assert best.low is not None
        assert best.low > 0
        assert {row.run_config for row in comparison.rows} == {
            "Base",
            *(row.run_config for row in result.trainings),
        }


class Declines:
    """A person who reads each plan and agrees to none."""

    door = Door.TERMINAL

    def __init__(self) -> None:
        self.summaries: list[str] = []

    async def ask(self, call: ProposedCall) -> Reply:
        self.summaries.append(call.plan.summary)
        return Reply.DECLINE


async def plan_of(bench: Bench, **changes: Any) -> str:
    person = Declines()
    reader = replace(bench, workspace=replace(bench.workspace, person=person))
    with pytest.raises(WorkbenchError):
        await sweep(reader, **changes)
    return person.summaries[-1]


async def test_the_plan_says_what_is_to_be_expected_and_the_comparison_corrects_the_choice(
    tmp_path: Path,
) -> None:
    async with open_sweep(tmp_path) as bench:
        summary = await plan_of(bench)
        assert "No gain can be expected from data: run the baseline" in summary
        assert "The best of 2 equal models would look" in summary
        await run_eval(bench.workspace, bench.project, "Exact", run_configs=["Base"], part="train")
        summary = await plan_of(bench)
        assert "the baseline can gain 100 points at most" in summary
        assert "half of that, 50 points, it is shown in" in summary
        result = await sweep(bench)
        two = result.comparison.rows[0]
        alone = await show_results(
            bench.workspace,
            bench.project,
            "Exact",
            compare=["Base", two.run_config],
            part="train",
        )
        assert isinstance(alone, Comparison)
        [best_alone] = [row for row in alone.rows if row.run_config == two.run_config]
        assert two.low is not None
        assert best_alone.low is not None
        assert two.low < best_alone.low, "the interval of the best of two is no wider"
        summary = await plan_of(bench, grid={"epochs": [5]}, name="Third")
        assert "The models trained before, 2, gained" in summary


async def test_a_training_that_fails_stops_no_other_one(tmp_path: Path) -> None:
    async with open_sweep(tmp_path) as bench:
        bench.services.faults["start"] = [400]
        result = await sweep(bench)
        assert "did not start" in result.trainings[0].problem
        assert result.trainings[1].run_config
        bench.services.faults["start"] = [400]
        with pytest.raises(Refusal, match="None of the 1 trainings was completed"):
            await sweep(bench, grid={"epochs": [2]}, name="Second")


async def test_no_training_begins_after_the_sweeps_hours(tmp_path: Path) -> None:
    async with open_sweep(tmp_path) as bench:
        result = await sweep(bench, most_hours=1e-9)
        first, second = result.trainings
        assert first.run_config
        assert "hours were over" in second.problem
        assert len(bench.services.trainings) == 1


async def test_each_prompt_is_learnt_and_kept_by_its_run_config(tmp_path: Path) -> None:
    async with open_sweep(tmp_path) as bench:
        await create_run_config(
            bench.workspace, bench.project, name="Terse", prompt="Be terse.", model="openai/gpt-4.1"
        )
        result = await sweep(bench, prompts=["Base", "Terse"], grid={"epochs": [1]})
        store, task = await bench.store()
        configs = {config.name: config for config in await store.children(task, TaskRunConfig)}
        prompts = [configs[row.run_config].prompt for row in result.trainings]
        assert [prompt and prompt.prompt for prompt in prompts] == ["Answer.", "Be terse."]


async def test_what_cannot_be_compared_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    async with open_sweep(tmp_path) as bench:
        with pytest.raises(InvalidValue, match=r"1 to 24 trainings, and this one has 50"):
            await sweep(bench, grid={"epochs": list(range(1, 51))})
        with pytest.raises(InvalidValue, match="there is no parameter 'rank'"):
            await sweep(bench, grid={"rank": [4]})
        assert bench.services.files == {}


def test_names_and_values_of_all_combinations_differ() -> None:
    grid = {"epochs": [1, 2], "batch_size": [4, 8]}
    request = SweepRequest(["a/x", "a/y"], [None], grid, ["Base"], None, "test", 1)
    wish = TrainingWish(ProviderName.LOCAL, "a/x", thinking=Thinking.FINAL_ONLY)
    wishes = wishes_of(request, wish)
    assert len({each.name for each in wishes}) == len({each.label for each in wishes}) == 8
    assert wishes[-1].base_model == "a/y"
    assert wishes[-1].parameters == {"epochs": 2, "batch_size": 8}


def test_what_is_to_be_expected_comes_from_earlier_models_or_from_what_is_lacking() -> None:
    unknown, lacking = sweep_outlook(60, 4), sweep_outlook(60, 4, [0.5] * 60)
    assert (unknown.expected_gain, unknown.power) == (None, None)
    assert lacking.expected_gain == pytest.approx(0.25)
    assert lacking.power is not None
    earlier = sweep_outlook(60, 4, [0.5] * 60, [0.1, 0.3, 0.5])
    assert earlier.expected_gain == pytest.approx(0.3)
    assert earlier.power is not None
    assert earlier.power > lacking.power
    assert "3, gained 30 points on average" in earlier.says
    assert sweep_outlook(60, 4, [0.9] * 60, [0.4]).expected_gain == pytest.approx(0.1)
    worse = sweep_outlook(60, 4, [0.5] * 60, [-0.2])
    assert worse.power == 0
    assert "no gain is to be expected" in worse.says
    more_models = sweep_outlook(60, 20, [0.5] * 60)
    assert more_models.power is not None
    assert more_models.power < lacking.power


def test_more_models_and_fewer_items_show_less() -> None:
    few, many = sweep_outlook(40, 1), sweep_outlook(400, 1)
    assert few.smallest_gain is not None
    assert many.smallest_gain is not None
    assert many.smallest_gain < few.smallest_gain
    several = sweep_outlook(400, 12, [1.0, 0.0])
    assert several.smallest_gain is not None
    assert several.smallest_gain > many.smallest_gain
    assert several.luck > many.luck == 0
    assert "can gain 50 points" in several.says
    assert "too few to show any gain" in sweep_outlook(2, 1).says
