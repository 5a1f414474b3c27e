"""The verdict matrix, read from the index of a project."""

import time
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from kiln_mcp.evaluators.verdict_matrix import PanelMember, VerdictMatrix, read_verdict_matrix
from kiln_mcp.judging.certificates.strata import disagreements
from kiln_mcp.statistics.scales import PASS_FAIL
from storage import (
    Eval,
    EvalConfig,
    EvalOutputScore,
    EvalRun,
    LlmJudge,
    Project,
    ProjectStore,
    Task,
)
from storage.records.evaluation import SAMPLE_KEY, VERDICT_KEY


@pytest.fixture
async def store(tmp_path: Path) -> AsyncGenerator[ProjectStore]:
    opened = await ProjectStore.create(tmp_path / "p", Project(name="P"))
    yield opened
    await opened.close()


async def add_eval(store: ProjectStore, judges: int) -> tuple[Eval, list[EvalConfig]]:
    task = await store.save(Task(name="T", instruction="Do it."), parent=store.project)
    score = EvalOutputScore(name="Right", type="pass_fail")
    record = Eval(name="E", output_scores=(score,), eval_set_filter_id="tag::test")
    record = await store.save(record, parent=task)
    properties = LlmJudge(model_name="m", model_provider="p", prompt_template="{{ task_input }}")
    configs = [
        EvalConfig(name=f"judge {n}", config_type="v2", properties=properties)
        for n in range(judges)
    ]
    return record, [await store.save(config, parent=record) for config in configs]


def verdict(item: str, value: float | None, **texts: str) -> EvalRun:
    return EvalRun(
        dataset_id=item,
        scored_run_id=item,
        eval_config_eval=True,
        scores={} if value is None else {"right": value},
        intermediate_outputs=texts or None,
        skipped_reason="cannot_be_judged" if value is None else None,
    )


async def test_repeats_are_members_and_abstentions_are_kept(store: ProjectStore) -> None:
    record, (first, second) = await add_eval(store, 2)
    async with store.transaction() as change:
        for run in (
            verdict("1", 1.0),
            verdict("1", 0.0, **{VERDICT_KEY: "1"}),
            verdict("1", 0.0, **{SAMPLE_KEY: "1"}),
            verdict("2", None),
        ):
            change.save(run, parent=first)
        change.save(verdict("1", 0.0), parent=second)
        change.save(verdict("2", 1.0), parent=second)
    matrix = await read_verdict_matrix(store, record)
    judge = PanelMember(first.id, "judge 0")
    again, other = PanelMember(first.id, "judge 0", 1), PanelMember(second.id, "judge 1")
    assert set(matrix.members) == {judge, again, other}
    assert matrix.column(judge, "right") == {"1": 1.0}
    assert matrix.column(again, "right") == {"1": 0.0}
    assert matrix.abstentions == {judge: frozenset({"2"})}
    assert shares_of_the_panel(matrix, first.id) == {"1": 1.0}
    assert shares_of_the_panel(matrix, second.id) == {"1": 0.5, "2": 0.0}


def shares_of_the_panel(matrix: VerdictMatrix, evaluator_id: str) -> dict[str, float]:
    """Return the share of the panel that differs from a judge, as the strata have it."""
    judge = matrix.member(evaluator_id)
    assert judge is not None
    panel = [matrix.column(member, "right") for member in matrix.panel(evaluator_id)]
    return disagreements(matrix.column(judge, "right"), panel, PASS_FAIL)


async def test_of_several_results_of_one_verdict_the_oldest_counts(store: ProjectStore) -> None:
    record, (judge,) = await add_eval(store, 1)
    for value in (1.0, 0.0):
        await store.save(verdict("1", value), parent=judge)
    matrix = await read_verdict_matrix(store, record)
    assert matrix.column(matrix.members[0], "right") == {"1": 1.0}


@pytest.mark.slow
async def test_the_verdicts_of_ten_judges_are_read_at_fifty_thousand_a_second(
    store: ProjectStore,
) -> None:
    record, judges = await add_eval(store, 10)
    for judge in judges:
        runs = [(verdict(str(item), float(item % 2)), judge) for item in range(1_000)]
        assert not any(await store.save_each(runs))
    await read_verdict_matrix(store, record)  # the index takes in the new files first
    begin = time.process_time()
    matrix = await read_verdict_matrix(store, record)
    assert time.process_time() - begin < 0.2
    assert sum(map(len, matrix.columns.values())) == 10_000
