"""A project with stored results of several run configs, as a checkout holds them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from storage import (
    DataSource,
    Eval,
    EvalConfig,
    EvalOutputScore,
    EvalRun,
    Project,
    ProjectStore,
    Task,
    TaskOutput,
    TaskRun,
    TaskRunConfig,
)
from storage.records.evaluation import SAMPLE_KEY, VERDICT_KEY, TaskRunSplit
from storage.records.evaluator import ExactMatch, LlmJudge
from storage.records.ratings import RatingType
from storage.records.run_config import KilnAgentProperties

TAG = "eval_right"


@dataclass(frozen=True)
class StoredVerdict:
    """A verdict to be stored.

    Attributes:
        item: The number of the item.
        value: The value of every score.
        sample: Which output of the item.
        verdict: Which verdict of the output.
        at: When it was given.
    """

    item: int
    value: float
    sample: int = 0
    verdict: int = 0
    at: datetime = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class StoredResults:
    """What a project holds.

    Attributes:
        scores: The eval's scores with their kinds.
        items: How many items.
        tags: Further tags of items, by number.
        evaluator: What scores.
        stars: The value of every score that is on stars.
    """

    scores: Mapping[str, RatingType] = field(default_factory=lambda: {"right": "pass_fail"})
    items: int = 40
    tags: Mapping[int, str] = field(default_factory=dict[int, str])
    evaluator: ExactMatch | LlmJudge = field(default_factory=lambda: ExactMatch(expected_value="x"))
    stars: float = 3


JUDGE = LlmJudge(
    model_name="scripted", model_provider="openai", prompt_template="{{ final_message }}"
)


async def make_project(
    folder: Path, results: StoredResults, values: Mapping[str, Sequence[StoredVerdict]]
) -> None:
    """Make a project with the results of run configs, by their names; the first is the default."""
    async with await ProjectStore.create(folder, Project(name="Stored")) as store:
        task = await store.save(Task(name="Answer", instruction="Do it."), parent=store.project)
        person = DataSource(type="human", properties={"created_by": "ann"})
        async with store.transaction() as change:
            items = [
                change.save(
                    TaskRun(
                        input=f"question {number}",
                        output=TaskOutput(output="x", source=person),
                        tags=(TAG, *filter(None, [results.tags.get(number)])),
                    ),
                    parent=task,
                )
                for number in range(results.items)
            ]
        eval_record = await store.save(
            Eval(
                name="Right",
                splits={"test": TaskRunSplit(filter_id=f"tag::{TAG}")},
                output_scores=tuple(
                    EvalOutputScore(name=name, type=kind) for name, kind in results.scores.items()
                ),
            ),
            parent=task,
        )
        evaluator = await store.save(
            EvalConfig(name="check", config_type="v2", properties=results.evaluator),
            parent=eval_record,
        )
        await store.save(eval_record.replace(current_config_id=evaluator.id))
        configs = [await store.save(_config(name), parent=task) for name in values]
        async with store.transaction() as change:
            for config, verdicts in zip(configs, values.values(), strict=True):
                for verdict in verdicts:
                    record = _result(results, config, items[verdict.item], verdict)
                    change.save(record, parent=evaluator)
        await store.save(task.replace(default_run_config_id=configs[0].id))


def _config(name: str) -> TaskRunConfig:
    properties = KilnAgentProperties(model_name="scripted", model_provider_name="openai")
    return TaskRunConfig(name=name, run_config_properties=properties)


def _result(
    results: StoredResults, config: TaskRunConfig, item: TaskRun, verdict: StoredVerdict
) -> EvalRun:
    marks = {SAMPLE_KEY: verdict.sample, VERDICT_KEY: verdict.verdict}
    texts = {key: str(number) for key, number in marks.items() if number}
    scores = {
        EvalOutputScore(name=name, type=kind).json_key: (
            results.stars if kind == "five_star" else verdict.value
        )
        for name, kind in results.scores.items()
    }
    return EvalRun(
        dataset_id=item.id,
        task_run_config_id=config.id,
        scored_run_id=item.id,
        intermediate_outputs=texts or None,
        scores=scores,
        created_at=verdict.at,
    )


def verdicts_of(values: Sequence[float]) -> list[StoredVerdict]:
    """Return one verdict of each item."""
    return [StoredVerdict(number, value) for number, value in enumerate(values)]
