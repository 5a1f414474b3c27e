"""Many run configs compared in one call, at the door of show_results."""

import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from kiln_mcp.evals.results.answers import Comparison
from kiln_mcp.evals.results.service import show_results
from kiln_mcp.llm import Engine, EngineSettings
from kiln_mcp.settings import Settings
from kiln_mcp.workbench.workspace import KnownProjects, Workspace
from storage import Eval, EvalConfig, EvalRun, ProjectStore, Task
from storage.errors import Refusal
from stored_results import StoredResults, StoredVerdict, make_project, verdicts_of


async def compare(folder: Path, names: Sequence[str], **options: object) -> Comparison:
    """Return the comparison of run configs of a project, as an assistant gets it."""
    settings = Settings(home=folder.parent / "home", engine=EngineSettings(environment={}))
    async with Engine(settings.engine) as engine:
        projects = KnownProjects(settings.home / "projects.json")
        workspace = Workspace(settings=settings, engine=engine, projects=projects)
        call = {"project": str(folder), "eval": "Right", "compare": list(names), **options}
        try:
            answer = await show_results.invoke(workspace, call)  # pyright: ignore[reportArgumentType]
        finally:
            await projects.close()
    comparison = getattr(answer, "root", answer)
    assert isinstance(comparison, Comparison)
    return comparison


def rates(count: int, **passes: int) -> Mapping[str, list[StoredVerdict]]:
    """Return run configs that pass so many of the items, evenly spread."""
    return {
        name: verdicts_of([float(n * passed % count < passed) for n in range(count)])
        for name, passed in passes.items()
    }


def lines_of_uses(folder: Path) -> list[str]:
    files = folder.rglob("kiln_mcp_test_uses.jsonl")
    return [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]


def block_uses(folder: Path) -> None:
    """Let no use be stored: something else has the file's name."""
    [eval_file] = folder.rglob("eval.kiln")
    eval_file.with_name("kiln_mcp_test_uses.jsonl").mkdir()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "project"


async def test_one_call_compares_all_with_the_baseline_and_the_best(folder: Path) -> None:
    values = rates(60, start=20, better=58, same=21)
    await make_project(folder, StoredResults(items=60), values)
    comparison = await compare(folder, ["all"])
    assert comparison.baseline == "start"
    assert [row.run_config for row in comparison.rows] == ["better", "same", "start"]
    better, same, start = comparison.rows
    assert (better.may_be_best, same.may_be_best, start.may_be_best) == (True, False, False)
    assert better.low is not None
    assert better.low > 0.3
    assert same.more_items is not None
    assert same.behind_high is not None
    assert same.behind_high < 0
    assert "It is better than every other one" in comparison.says[0]
    assert "better: better; 1 cannot be told from it" in comparison.says[1]


async def test_the_same_question_is_no_new_use_and_another_one_is(folder: Path) -> None:
    values = rates(40, start=20, one=30, two=25)
    await make_project(folder, StoredResults(), values)
    first = await compare(folder, ["start", "one"])
    again = await compare(folder, ["one", "start"])
    second = await compare(folder, ["all"])
    third = await compare(folder, ["start", "two"])
    assert [one.use for one in (first, again, second, third)] == [1, 1, 2, 3]
    assert first.level == pytest.approx(0.975)
    assert third.says[-1] == "3rd use of this test part, tested at 0.42 %."
    assert len(lines_of_uses(folder)) == 3


async def test_new_results_of_the_same_run_configs_are_a_new_use(folder: Path) -> None:
    values = rates(40, start=20, one=30)
    await make_project(folder, StoredResults(), {**values, "one": values["one"][:30]})
    assert (await compare(folder, ["start", "one"])).use == 1
    async with await ProjectStore.open(folder) as store:
        evaluator = await _evaluator(store)
        records = await store.children(evaluator, EvalRun)
        counts = Counter(record.task_run_config_id for record in records)
        config = min(counts, key=lambda config: counts[config])
        scored = {r.dataset_id for r in records if r.task_run_config_id == config}
        other = next(r.dataset_id for r in records if r.dataset_id not in scored)
        record = EvalRun(
            dataset_id=other, scored_run_id=other, task_run_config_id=config, scores={"right": 1.0}
        )
        await store.save(record, parent=evaluator)
    comparison = await compare(folder, ["start", "one"])
    assert comparison.use == 2
    assert any("were not scored for all" in warning for warning in comparison.warnings)


async def _evaluator(store: ProjectStore) -> EvalConfig:
    [task] = await store.children(store.project, Task)
    [eval_record] = await store.children(task, Eval)
    [evaluator] = await store.children(eval_record, EvalConfig)
    return evaluator


async def test_choices_on_the_validation_part_use_up_nothing(folder: Path) -> None:
    await make_project(folder, StoredResults(), rates(40, start=20, one=30))
    with pytest.raises(Refusal, match=r"cannot be compared"):
        await compare(folder, ["start", "one"], part="val")
    assert lines_of_uses(folder) == []


async def test_a_gain_is_said_with_the_scores_that_are_not_cleared(folder: Path) -> None:
    results = StoredResults(scores={"right": "pass_fail", "tone": "five_star"}, items=60)
    await make_project(folder, results, rates(60, start=20, one=55))
    async with await ProjectStore.open(folder) as store:
        evaluator = await _evaluator(store)
        records = await store.children(evaluator, EvalRun)
        records.sort(key=lambda record: (record.task_run_config_id or "", record.dataset_id or ""))
        async with store.transaction() as change:
            for number, record in enumerate(records):
                stars = float(3 + (number + (number >= 60)) % 2)
                change.save(record.replace(scores={**record.scores, "tone": stars}))
    comparison = await compare(folder, ["start", "one"])
    assert comparison.says[0].startswith("right: one is better than start")
    assert comparison.says[1].startswith("tone: Cannot tell which is better")
    assert "'one' gains in right, but is not cleared in tone" in comparison.says[2]
    cleared = {(r.run_config, r.score): r.floor_cleared for r in comparison.rows}
    assert cleared["one", "right"]
    assert cleared["one", "tone"] is False


async def test_one_run_config_alone_is_compared_with_the_named_baseline(folder: Path) -> None:
    await make_project(folder, StoredResults(), rates(40, start=20, one=39))
    comparison = await compare(folder, ["one"], baseline="start")
    assert comparison.baseline == "start"
    assert comparison.says[0].startswith("one is better than start")
    with pytest.raises(Refusal, match=r"needs two run configs with results of 'Right'"):
        await compare(folder, ["one"])


async def test_a_project_that_cannot_be_written_is_compared_and_says_so(folder: Path) -> None:
    await make_project(folder, StoredResults(), rates(40, start=20, one=39))
    block_uses(folder)
    comparison = await compare(folder, ["start", "one"])
    assert comparison.use == 1
    assert any("could not be counted" in warning for warning in comparison.warnings)


@pytest.mark.slow
async def test_31_run_configs_of_150_items_are_compared_in_two_seconds(folder: Path) -> None:
    draw = random.Random(4)
    values = {
        f"config {n}": verdicts_of([float(draw.random() < 0.5 + n / 100) for _ in range(150)])
        for n in range(31)
    }
    await make_project(folder, StoredResults(items=150), values)
    await compare(folder, ["all"])
    started = time.process_time()
    comparison = await compare(folder, ["all"])
    assert len(comparison.rows) == 31
    assert time.process_time() - started < 3
