"""What the index says of scores is what the results say."""

from itertools import product
from pathlib import Path
from statistics import fmean

import pytest

from storage import (
    Eval,
    EvalConfig,
    EvalOutputScore,
    EvalRun,
    ExactMatch,
    Project,
    ProjectStore,
    Task,
    TaskRunSplit,
)

_SCORES = (
    EvalOutputScore(name="Right", type="pass_fail"),
    EvalOutputScore(name="Kind", type="five_star"),
)


async def _eval(store: ProjectStore, task: Task, name: str) -> tuple[Eval, list[EvalConfig]]:
    measured = await store.save(
        Eval(name=name, output_scores=_SCORES, splits={"test": TaskRunSplit(filter_id="all")}),
        parent=task,
    )
    check = ExactMatch(expected_value="x")
    judges = [EvalConfig(name=n, config_type="v2", properties=check) for n in ("one", "two")]
    return measured, [await store.save(judge, parent=measured) for judge in judges]


async def test_the_score_table_and_what_is_scored_agree_with_the_results(tmp_path: Path) -> None:
    async with await ProjectStore.create(tmp_path / "p", Project(name="P")) as store:
        task = await store.save(Task(name="T", instruction="Do."), parent=store.project)
        measured, judges = await _eval(store, task, "a [*] name")
        _, others = await _eval(store, task, "another")
        results: dict[tuple[str, str], list[EvalRun]] = {}
        async with store.transaction() as change:
            for judge, config in product([*judges, *others], ("c1", "c2", None)):
                if (judge, config) == (judges[1], "c2"):
                    continue
                runs = [
                    EvalRun(
                        dataset_id=str(item),
                        task_run_config_id=config,
                        eval_config_eval=config is None,
                        scores={"right": item % 2, "kind": 1 + (item + len(results)) % 5},
                    )
                    for item in range(3 + len(results))
                ]
                for run in runs:
                    change.save(run, parent=judge)
                if judge in judges:
                    results[judge.saved.path, config or ""] = runs
            change.save(
                EvalRun(dataset_id="9", task_run_config_id="c2", skipped_reason="no reference"),
                parent=judges[1],
            )
        scored = {
            (cell.evaluator, cell.run_config_id): cell.items
            for cell in await store.score_counts(measured)
        }
        assert scored == {key: len(runs) for key, runs in results.items()}
        table = await store.score_table(measured)
        assert {(c.evaluator, c.run_config_id) for c in table} == {key for key in results if key[1]}
        for cell in table:
            values = [run.scores[cell.key] for run in results[cell.evaluator, cell.run_config_id]]
            assert cell.items == len(values)
            assert cell.mean == pytest.approx(fmean(values))
