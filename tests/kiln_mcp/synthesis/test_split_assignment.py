from kiln_mcp.synthesis.split_assignment import assignment_batches
from storage import TaskOutput, TaskRun

TAGS = {"train": "train_s", "test": "test_s"}


def _run(number: int, *tags: str) -> TaskRun:
    return TaskRun(input=f"{number}", output=TaskOutput(output="o"), tags=tags)


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
