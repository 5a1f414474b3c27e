"""Which label of an item counts, and for what."""

from golden_sets import RIGHT, STARS, START, draw_of, golden_set_of, item, label_of
from kiln_mcp.labels.golden_set import strata_by_verdict


def test_a_confirmed_label_counts_before_the_rating_of_the_record() -> None:
    run = item("1", rating=0.0)
    golden_set = golden_set_of([run], [label_of("1", 1.0)])
    assert golden_set.label(run, RIGHT) == 1.0
    assert golden_set.count_contradictions(RIGHT) == 1


def test_a_rating_counts_if_nobody_confirmed_a_label() -> None:
    run = item("1", rating=0.0)
    golden_set = golden_set_of([run], [label_of("1", 1.0, confirmed=False)])
    assert golden_set.label(run, RIGHT) == 0.0
    assert golden_set.count_contradictions(RIGHT) == 0


def test_the_first_of_the_confirmed_labels_counts() -> None:
    run = item("1")
    labels = [label_of("1", 1.0, minute=5), label_of("1", 0.0, minute=1, rater="ben")]
    assert golden_set_of([run], labels).label(run, RIGHT) == 0.0


def test_labels_for_a_certificate_are_hidden_from_development() -> None:
    runs = [item("1", rating=1.0), item("2", rating=0.0), item("3"), item("4", rating=1.0)]
    labels = [
        label_of("1", 1.0),
        label_of("2", 0.0, purpose="development", draw=None, reason="It invents a price."),
        label_of("3", None, state="both", purpose="development", draw=None),
        label_of("4", 1.0, purpose="development", confirmed=False),
    ]
    golden_set = golden_set_of(runs, labels, [draw_of("d1", "1", "4")])
    found = golden_set.development_labels(RIGHT)
    assert {name: (label.value, label.reason) for name, label in found.items()} == {
        "2": (0.0, "It invents a price."),
        "3": (None, ""),
    }
    assert [golden_set.is_hidden(run, RIGHT) for run in runs].count(True) == 2


def test_an_item_that_cannot_be_judged_needs_no_other_label_and_teaches_nothing() -> None:
    runs = [item("1"), item("2")]
    labels = [
        label_of("1", None, state="cannot_judge", purpose="development", draw=None),
        label_of("2", None, state="skipped", purpose="development", draw=None),
    ]
    golden_set = golden_set_of(runs, labels)
    assert golden_set.complete == {"1"}
    assert golden_set.development_labels(RIGHT) == {}
    assert golden_set.labelled_runs(RIGHT) == []


def test_blind_repeats_and_withdrawn_labels_are_no_labels() -> None:
    runs = [item("1"), item("2")]
    labels = [
        label_of("1", 1.0, purpose="repeat"),
        label_of("2", None, state="both", purpose="development", draw=None),
        label_of("2", None, state="withdrawn", purpose="development", draw=None, minute=1),
    ]
    assert golden_set_of(runs, labels).complete == frozenset()


def test_a_drawn_item_with_labels_that_nobody_confirmed_is_not_complete() -> None:
    runs = [item("1", rating=1.0), item("2", rating=1.0), item("3")]
    labels = [
        label_of("1", 1.0, purpose="development", confirmed=False),
        label_of("2", 1.0),
    ]
    golden_set = golden_set_of(runs, labels)
    assert golden_set.complete == {"2"}
    assert golden_set.count_unconfirmed(RIGHT) == 1


def test_an_item_is_complete_only_with_a_label_for_every_score() -> None:
    golden_set = golden_set_of([item("1", rating=1.0)], scores=(RIGHT, STARS))
    assert [run.id for run in golden_set.labelled_runs(RIGHT)] == ["1"]
    assert golden_set.complete == frozenset()


def test_a_label_belongs_to_the_certificate_only_if_the_person_confirmed_it() -> None:
    runs = [item("1"), item("2", rating=1.0)]
    golden_set = golden_set_of(runs, [label_of("1", 1.0)])
    purposes = ("all", "certificate", "development")
    assert [golden_set.has_purpose(runs[0], RIGHT, purpose) for purpose in purposes] == [
        True,
        True,
        False,
    ]
    assert [golden_set.has_purpose(runs[1], RIGHT, purpose) for purpose in purposes] == [
        True,
        False,
        True,
    ]


def test_labels_have_the_time_of_the_ledger_or_else_of_the_rating() -> None:
    session = "synthetic_session_7"
    runs = [item("1", session=session), item("2", rating=0.0), item("3")]
    labels = [label_of("1", 1.0, minute=3).model_copy(update={"seconds": 4.0})]
    first, second = golden_set_of(runs, labels).timed_labels(runs, RIGHT)
    assert (first.value, first.seconds, first.session) == (1.0, 4.0, session)
    assert (second.value, second.at, second.session) == (0.0, START, None)


def test_items_are_sorted_into_strata_by_their_verdict() -> None:
    runs = [item("1"), item("2"), item("3")]
    strata = strata_by_verdict(runs, {"1": 1.0, "3": 0.0}, RIGHT)
    assert strata == {"right 1": ["1"], "unjudged": ["2"], "right 0": ["3"]}
