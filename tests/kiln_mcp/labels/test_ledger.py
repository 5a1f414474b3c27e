"""The lines of labels and draws, as a project's files hold them."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from pydantic import ValidationError

from golden_sets import RIGHT, draw_of, label_of
from kiln_mcp.labels.label_words import label_text
from kiln_mcp.labels.ledger import (
    DRAWS,
    LABELS,
    DrawnStratum,
    Label,
    append_draw,
    append_labels,
    latest,
    read_draws,
    read_labels,
)
from storage import Eval, Project, ProjectStore, Task


@pytest.fixture
async def store(tmp_path: Path) -> AsyncGenerator[ProjectStore]:
    opened = await ProjectStore.create(tmp_path / "p", Project(name="P"))
    yield opened
    await opened.close()


async def eval_in(store: ProjectStore) -> Eval:
    task = await store.save(Task(name="T", instruction="Do."), parent=store.project)
    record = Eval(name="Right", output_scores=(RIGHT,), eval_set_filter_id="tag::test")
    return await store.save(record, parent=task)


async def append(store: ProjectStore, record: Eval, *labels: Label) -> list[Label]:
    async with store.transaction() as change:
        append_labels(change, record, labels)
    return list((await read_labels(store, record)).entries)


async def test_a_label_and_a_draw_are_read_as_they_were_written(store: ProjectStore) -> None:
    record, label, draw = await eval_in(store), label_of("1", 1.0), draw_of("d1", "1")
    assert await append(store, record, label) == [label]
    async with store.transaction() as change:
        append_draw(change, record, draw)
    assert (await read_draws(store, record)).entries == [draw]


async def test_a_label_that_repeats_its_raters_last_one_adds_no_line(store: ProjectStore) -> None:
    record, label = await eval_in(store), label_of("1", 1.0)
    later = label_of("1", 1.0, minute=9)
    assert await append(store, record, label) == [label]
    assert await append(store, record, later) == [label]
    assert len(await append(store, record, label_of("1", 1.0, rater="ben"), later)) == 2


async def test_a_confirmation_of_the_same_value_is_a_new_label(store: ProjectStore) -> None:
    record = await eval_in(store)
    await append(store, record, label_of("1", 1.0, confirmed=False))
    assert len(await append(store, record, label_of("1", 1.0, confirmed=True))) == 2
    assert len(await append(store, record, label_of("1", 1.0, confirmed=False))) == 2


async def test_empty_lines_of_a_ledger_are_no_problem(store: ProjectStore) -> None:
    record = await eval_in(store)
    await append(store, record, label_of("1", 1.0))
    file = store.side_folder(record) / LABELS
    file.write_bytes(b"\n  \n" + file.read_bytes())
    lines = await read_labels(store, record)
    assert (len(lines.entries), list(lines.problems)) == (1, [])


async def test_a_line_that_breaks_a_rule_is_named_by_number_and_field(store: ProjectStore) -> None:
    record = await eval_in(store)
    line = draw_of("d1", "1").model_dump_json().replace('"open":10', '"open":0')
    folder = store.side_folder(record)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / DRAWS).write_text(f"{line}\n", encoding="utf-8")
    lines = await read_draws(store, record)
    (problem,) = lines.problems
    assert problem.startswith(f"Line 1 of {DRAWS} cannot be read and is skipped: strata.right 1")


def test_a_stratum_with_more_drawn_items_than_open_ones_is_refused() -> None:
    with pytest.raises(ValidationError, match="more items were drawn than were open"):
        DrawnStratum(size=3, open=1, drawn=("1", "2"))


def test_the_last_label_of_each_rater_counts_for_its_own_score() -> None:
    labels = [
        label_of("1", 0.0),
        label_of("1", 1.0, minute=1),
        label_of("1", 0.0, rater="ben"),
        label_of("1", 5.0, minute=2).model_copy(update={"score": "tone"}),
    ]
    raters = latest(labels, "right")["1"]
    assert {rater: label.value for rater, label in raters.items()} == {"ann": 1.0, "ben": 0.0}


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (1.0, "pass_fail", "pass"),
        (-1.0, "pass_fail_critical", "critical"),
        (0.5, "pass_fail", "0.5"),
        (4.0, "five_star", "4"),
    ],
)
def test_a_label_is_shown_by_the_word_that_a_person_enters(
    value: float, kind: str, text: str
) -> None:
    assert label_text(value, kind) == text
