import pytest

from kiln_mcp.evals.eval_items import item_of
from kiln_mcp.evaluators.references import REFERENCE_KEY
from storage import DataSource, TaskOutput, TaskOutputRating, TaskRun

MADE: dict[str, str | int | float] = {
    "model_name": "m",
    "model_provider": "openai",
    "adapter_name": "kiln-adapter",
}
SOURCES = {
    "person": DataSource(type="human", properties={"created_by": "ann"}),
    "file": DataSource(type="file_import", properties={"file_name": "a.csv"}),
    "assistant": DataSource(type="synthetic", properties={**MADE, "model_provider": "host"}),
    "run config": DataSource(type="synthetic", properties=MADE, run_config_id="1"),
}


def _reference(source: DataSource, rating: float | None = None) -> object:
    given = None if rating is None else TaskOutputRating(value=rating)
    output = TaskOutput(output="Rome", source=source, rating=given)
    return item_of(TaskRun(input="x", output=output)).reference


@pytest.mark.parametrize("giver", ["person", "file", "assistant"])
def test_an_output_that_was_given_as_right_is_the_reference(giver: str) -> None:
    assert _reference(SOURCES[giver]) == {REFERENCE_KEY: "Rome"}


def test_a_run_config_is_never_compared_with_its_own_unchecked_answer() -> None:
    assert _reference(SOURCES["run config"]) is None
    assert _reference(SOURCES["run config"], rating=2) is None


def test_an_answer_that_a_person_rated_high_is_a_reference() -> None:
    assert _reference(SOURCES["run config"], rating=5) == {REFERENCE_KEY: "Rome"}


def test_an_answer_that_is_not_complete_is_never_a_reference_unless_it_is_repaired() -> None:
    cut = DataSource(type="synthetic", properties={**MADE, "answer_state": "truncated"})
    assert _reference(cut, rating=5) is None
    run = TaskRun(
        input="x",
        output=TaskOutput(output="Ro", source=cut),
        repaired_output=TaskOutput(output="Rome"),
        repair_instructions="It was cut off.",
    )
    assert item_of(run).reference == {REFERENCE_KEY: "Rome"}
