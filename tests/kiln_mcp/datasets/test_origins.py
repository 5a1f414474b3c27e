"""Columns of origins, and the classes of items."""

from kiln_mcp.datasets.classes import classes_of
from kiln_mcp.datasets.origins import origin_columns, with_conversations
from kiln_mcp.datasets.summaries import Lineage, summary_of
from storage import DataSource, TaskOutput, TaskRun, Usage

WRITER: dict[str, str | int | float] = {
    "model_name": "m",
    "model_provider": "p",
    "adapter_name": "kiln_data_gen",
}


def run(output: str = "o", parent: str | None = None, **properties: str) -> TaskRun:
    source = DataSource(type="synthetic", properties={**WRITER, **properties})
    return TaskRun(
        input="i",
        input_source=source,
        output=TaskOutput(output=output),
        parent_task_run_id=parent,
        usage=Usage(cost=0.5),
    )


def test_what_an_item_was_made_from_and_for_is_kept() -> None:
    own = run(document="d", seed_example="s", session_id="c", clause="c1", aim="fail", label="x")
    assert summary_of(own).lineage == Lineage(
        "d", "s", "c", "c1", "fail", "x", aim="fail", cost=0.5
    )
    assert summary_of(run(aim="any")).lineage.outcome == ""
    assert summary_of(run("billing")).lineage.label == "billing"
    assert summary_of(run("word " * 40)).lineage.label == ""


def test_the_verified_outcome_and_the_pair_count_before_the_plan() -> None:
    own = run(aim="pass", seed_example="s")
    output = TaskOutput(
        output="o",
        source=DataSource(
            type="synthetic", properties={**WRITER, "outcome": "borderline", "pair_of": "p"}
        ),
    )
    lineage = summary_of(own.replace(output=output)).lineage
    assert (lineage.outcome, lineage.seed_example) == ("borderline", "p")


def test_an_item_shares_its_seed_example_with_what_was_made_from_it() -> None:
    seed, other = run(), run()
    made = run(seed_example=seed.id)
    columns = origin_columns([summary_of(item) for item in (seed, other, made)])
    assert columns["seed example"] == [seed.id, None, seed.id]


def test_a_chain_of_seed_examples_has_one_origin_and_a_circle_ends() -> None:
    first = run(seed_example="elsewhere")
    second = run(seed_example=first.id)
    third = run(seed_example=second.id)
    columns = origin_columns([summary_of(item) for item in (third, second, first)])
    assert columns["seed example"] == ["elsewhere"] * 3
    circle = [
        first.replace(id="b", input_source=run(seed_example="a").input_source),
        first.replace(id="a", input_source=run(seed_example="b").input_source),
    ]
    assert origin_columns([summary_of(item) for item in circle])["seed example"] == ["a", "a"]


def test_turns_that_branch_from_one_turn_are_one_conversation() -> None:
    first = run()
    second = run(parent=first.id)
    last, other = run(parent=second.id), run(parent=second.id)
    named = run(parent=second.id, session_id="s")
    runs = [summary_of(item) for item in (first, second, last, other, named)]
    items = with_conversations(runs[2:], runs)
    assert [item.lineage.conversation for item in items] == [first.id, first.id, "s"]


def test_short_outputs_that_recur_are_classes_and_others_are_none() -> None:
    assert classes_of(["a", "b", "a", "", "b"]) == ["a", "b", "a", "", "b"]
    assert classes_of(["a", "b", "c", "d"]) == [""] * 4
    assert classes_of(["a", "a"]) == ["", ""]
    assert classes_of(["a", "b", "a", "b", *[""] * 6]) == [""] * 10
