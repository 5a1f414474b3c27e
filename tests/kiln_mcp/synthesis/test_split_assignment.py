from dataclasses import replace

from kiln_mcp.datasets.summaries import ItemSummary, summary_of
from kiln_mcp.synthesis.split_assignment import (
    assignment_batches,
    deal_batches,
    with_part_tag,
)
from storage import TaskOutput, TaskRun

TAGS = {"train": "train_s", "test": "test_s"}


def _run(number: int, *tags: str) -> ItemSummary:
    return summary_of(TaskRun(input=f"{number}", output=TaskOutput(output="o"), tags=tags))


def test_a_group_is_dealt_in_one_transaction_and_items_that_stay_are_not_written() -> None:
    sizes = [1] * 700 + [400, 999, 1000, 2100]
    groups = [f"g{place}" for place, size in enumerate(sizes) for _ in range(size)]
    assignments = [(_run(number), "train", group) for number, group in enumerate(groups)]
    dealt = (_run(9999, "train_s"), "train", "g0")
    batches = assignment_batches([*assignments, dealt], TAGS)
    group_of = {run.id: group for run, _, group in assignments}
    assert sorted(run.id for batch in batches for run, _ in batch) == sorted(group_of)
    assert max(map(len, batches)) <= 1000
    groups_of_batches = [{group_of[run.id] for run, _ in batch} for batch in batches]
    for place, size in enumerate(sizes):
        if size <= 1000:
            assert sum(f"g{place}" in own for own in groups_of_batches) == 1


def test_a_split_that_changes_nothing_is_one_empty_batch() -> None:
    assert assignment_batches([(_run(1, "test_s"), "test", "g")], TAGS) == [[]]


def test_a_redeal_that_is_killed_leaves_no_old_part_beside_a_new_one() -> None:
    runs = {run.id: run for run in (_run(number, "train_s", "own") for number in range(2200))}
    stay = [run.id for run in runs.values()][:100]
    parts = {name: "train" if name in stay else "test" for name in runs}
    states = list[set[tuple[str, ...]]]()
    for batch in deal_batches([(run, parts[run.id], run.id) for run in runs.values()], TAGS):
        assert len(batch) <= 1000
        for run, part in batch:
            runs[run.id] = replace(run, tags=with_part_tag(runs[run.id].tags, part, TAGS))
        states.append({run.tags for run in runs.values() if run.id not in stay})
    old, new, none = ("train_s", "own"), ("own", "test_s"), ("own",)
    assert states == [{old, none}, {old, none}, {none}, {none, new}, {none, new}, {new}]
    assert {runs[name].tags for name in stay} == {old}


def test_a_redeal_of_few_items_is_one_transaction() -> None:
    assignments = [(_run(number, "train_s"), "test", "g") for number in range(9)]
    assert [len(batch) for batch in deal_batches(assignments, TAGS)] == [9]
