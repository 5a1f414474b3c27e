"""Counts of evals that share a golden set are those of each by itself."""

from pathlib import Path

from kiln_mcp.advice.item_counts import GoldenCounts, ItemCounts
from storage import (
    Eval,
    EvalOutputScore,
    Project,
    ProjectStore,
    RequirementRating,
    Task,
    TaskOutput,
    TaskOutputRating,
    TaskRun,
)
from storage.records.task import TaskRequirement

FILTERS = {"eval_set_filter_id": "tag::test", "eval_configs_filter_id": "tag::golden"}


def score(name: str) -> EvalOutputScore:
    return EvalOutputScore(name=name, type="pass_fail")


def run(stars: float | None, **ratings: float) -> TaskRun:
    own = {
        key.replace("named", "named::"): RequirementRating(value=value, type="pass_fail")
        for key, value in ratings.items()
    }
    rating = TaskOutputRating(value=stars, requirement_ratings=own)
    return TaskRun(input="i", output=TaskOutput(output="o", rating=rating), tags=("golden",))


async def test_each_eval_counts_the_items_with_a_rating_for_all_of_its_scores(
    tmp_path: Path,
) -> None:
    requirement = TaskRequirement(id="r1", name="Tone", instruction="Be kind.", type="pass_fail")
    runs = [
        run(5, namedRight=1, namedTone=1, r1=0),
        run(5, namedRight=1),
        run(None, namedRight=1, namedTone=0),
        run(None),
    ]
    overall = EvalOutputScore(name="Overall Rating", type="five_star")
    expected: list[tuple[list[EvalOutputScore], GoldenCounts]] = [
        ([score("Right")], GoldenCounts(4, 3, True)),
        ([score("Right"), score("Tone")], GoldenCounts(4, 2, True)),
        ([overall], GoldenCounts(4, 2, True)),
        ([overall, score("Right")], GoldenCounts(4, 2, True)),
        ([score("Other")], GoldenCounts(4, 0, False)),
    ]
    async with await ProjectStore.create(tmp_path / "p", Project(name="P")) as store:
        task = Task(name="T", instruction="I", requirements=(requirement,))
        saved = await store.save(task, parent=store.project)
        async with store.transaction() as change:
            for own in runs:
                change.save(own, saved)
        counts = ItemCounts(store, saved)
        for scores, golden in expected:
            data = {"name": "E", "output_scores": scores, **FILTERS}
            assert await counts.golden(Eval.model_validate(data), set()) == golden, scores
        labelled = {runs[1].id, runs[3].id, "gone"}
        both = {"name": "E", "output_scores": [score("Right"), score("Tone")], **FILTERS}
        assert await counts.golden(Eval.model_validate(both), labelled) == GoldenCounts(4, 4, False)
