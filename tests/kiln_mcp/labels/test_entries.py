"""A person's labels are checked as a whole before the ledger takes them."""

import pytest

from golden_sets import RIGHT, STARS, draw_of, golden_set_of, item, label_of, pass_of
from kiln_mcp.labels.entries import (
    ItemLabel,
    ledger_entries,
    plan_of_labels,
    with_confirmation,
    without_confirmation,
)
from kiln_mcp.labels.golden_set import GoldenSet
from kiln_mcp.labels.ledger import DrawnStratum, Label
from storage.errors import Refusal

RUNS = [item(str(number)) for number in range(25)]


def entries_of(golden_set: GoldenSet, *labels: ItemLabel) -> list[Label]:
    parts = ledger_entries(pass_of(golden_set), labels, "ann")
    return [entry for part in parts for entry in part.entries]


def test_a_drawn_item_takes_stratum_and_probability_of_its_newest_draw() -> None:
    golden_set = golden_set_of(RUNS, draws=[draw_of("d1", "1"), draw_of("d2", "1", "2")])
    (entry,) = entries_of(golden_set, ItemLabel(item="1", label="pass"))
    assert (entry.purpose, entry.draw, entry.stratum) == ("certificate", "d2", "right 1")
    assert entry.probability == pytest.approx(2 / 10)


def test_a_draw_from_an_empty_stratum_has_no_probability() -> None:
    draw = draw_of("d1")
    empty = DrawnStratum.model_construct(size=1, open=0, drawn=("1",))
    golden_set = golden_set_of(RUNS, draws=[draw.model_copy(update={"strata": {"right 1": empty}})])
    (entry,) = entries_of(golden_set, ItemLabel(item="1", label="fail"))
    assert entry.probability is None


def test_an_item_picked_by_hand_is_for_development() -> None:
    (entry,) = entries_of(golden_set_of(RUNS), ItemLabel(item="1", label=" PASS "))
    assert (entry.purpose, entry.draw, entry.probability, entry.value) == (
        "development",
        None,
        None,
        1.0,
    )


@pytest.mark.parametrize(
    ("label", "sentence"),
    [
        (ItemLabel(item="1", label="pass"), "1: name one score of right, tone"),
        (ItemLabel(item="1", label="pass", score="speed"), "1: name one score of right, tone"),
        (ItemLabel(item="99", label="pass", score="right"), "99 is not in the golden set"),
        (ItemLabel(item="1", label="9", score="tone"), "1: '9' is none of 1, 2, 3, 4, 5, both"),
    ],
)
def test_a_label_that_does_not_fit_is_refused_with_the_valid_values(
    label: ItemLabel, sentence: str
) -> None:
    golden_set = golden_set_of(RUNS, scores=(RIGHT, STARS))
    with pytest.raises(Refusal, match=rf"No label was saved.*{sentence}"):
        entries_of(golden_set, label, ItemLabel(item="2", label="pass", score="Right"))


def test_two_different_labels_of_one_item_are_refused() -> None:
    labels = [ItemLabel(item="1", label="pass"), ItemLabel(item="1", label="fail")]
    with pytest.raises(Refusal, match=r"1 has two different labels"):
        entries_of(golden_set_of(RUNS), *labels)
    assert len(entries_of(golden_set_of(RUNS), labels[0], labels[0])) == 1


def test_confirmation_marks_labels_of_draws_alone() -> None:
    golden_set = golden_set_of(RUNS, draws=[draw_of("d1", "1")])
    labels = [ItemLabel(item="1", label="pass"), ItemLabel(item="2", label="pass")]
    parts = ledger_entries(pass_of(golden_set), labels, "ann")
    confirmed, passed_on = with_confirmation(parts), without_confirmation(parts)
    assert [entry.certifies for entry in confirmed[0].entries] == [True, False]
    assert [entry.purpose for entry in passed_on[0].entries] == ["development"] * 2


def test_a_plan_shows_the_first_labels_and_counts_the_others() -> None:
    golden_set = golden_set_of(RUNS, scores=(RIGHT, STARS))
    labels = [ItemLabel(item=run.id, label="4", score="tone") for run in RUNS]
    labels += [ItemLabel(item="1", label="fail", score="right")]
    outputs = {run.id: f"output {run.id}" for run in RUNS}
    parts = ledger_entries(pass_of(golden_set), labels, "ann")
    plan = plan_of_labels(parts, "ann", outputs)
    assert plan.text.startswith("Record 25 4, 1 fail as labels that 'ann' gave in 'Right'. ")
    assert "'output 0' (tone): 4; " in plan.text
    assert "… and 6 more" in plan.text
    assert not plan.certifies


@pytest.mark.parametrize(
    ("word", "state"),
    [("both", "both"), ("Cannot_Judge", "cannot_judge"), ("skip", "skipped")],
)
def test_a_rater_may_say_that_there_is_no_one_value(word: str, state: str) -> None:
    label = ItemLabel(item="1", label=word, reason="  It is\n vague. ")
    (entry,) = entries_of(golden_set_of(RUNS), label)
    assert (entry.state, entry.value, entry.reason) == (state, None, "It is vague.")


def test_a_repeat_that_has_its_label_takes_no_later_one() -> None:
    draws = [draw_of("d1", "1", purpose="development"), draw_of("d2", "1", purpose="repeat")]
    label = ItemLabel(item="1", label="fail")
    (repeated,) = entries_of(golden_set_of(RUNS, draws=draws), label)
    assert (repeated.purpose, repeated.draw) == ("repeat", "d2")
    labels = [label_of("1", 1.0, draw="d2", purpose="repeat")]
    (later,) = entries_of(golden_set_of(RUNS, labels, draws), label)
    assert (later.purpose, later.draw) == ("development", "d1")


def test_labels_of_several_evals_go_to_their_own_ledgers() -> None:
    first, second = golden_set_of(RUNS), golden_set_of(RUNS, scores=(STARS,))
    labels = [
        ItemLabel(item="1", label="pass", score="right"),
        ItemLabel(item="1", label="4", score="tone"),
    ]
    parts = ledger_entries(pass_of(first, second), labels, "ann")
    assert [[(e.score, e.value) for e in part.entries] for part in parts] == [
        [("right", 1.0)],
        [("tone", 4.0)],
    ]
    with pytest.raises(Refusal, match="1: name one score of right, tone"):
        ledger_entries(pass_of(first, second), [ItemLabel(item="1", label="pass")], "ann")
