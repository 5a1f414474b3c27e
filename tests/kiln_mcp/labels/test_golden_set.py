"""Which label of an item counts, and for what."""

from golden_sets import RIGHT, STARS, START, draw_of, item, label_of, pool_of
from kiln_mcp.labels.golden_set import strata_by_verdict
from kiln_mcp.labels.ledger import LabelledVerdict


def test_a_confirmed_label_counts_before_the_rating_of_the_record() -> None:
    run = item("1", rating=0.0)
    pool = pool_of([run], [label_of("1", 1.0)])
    assert pool.label(run, RIGHT) == 1.0
    assert pool.count_contradictions(RIGHT) == 1


def test_a_rating_counts_if_nobody_confirmed_a_label() -> None:
    run = item("1", rating=0.0)
    pool = pool_of([run], [label_of("1", 1.0, confirmed=False)])
    assert pool.label(run, RIGHT) == 0.0
    assert pool.count_contradictions(RIGHT) == 0


def test_the_newest_of_the_confirmed_labels_counts() -> None:
    run = item("1")
    labels = [label_of("1", 1.0, minute=5), label_of("1", 0.0, minute=1, rater="ben")]
    assert pool_of([run], labels).label(run, RIGHT) == 1.0


def test_a_drawn_item_with_labels_that_nobody_confirmed_is_not_complete() -> None:
    runs = [item("1", rating=1.0), item("2", rating=1.0), item("3")]
    labels = [
        label_of("1", 1.0, ledger="development", confirmed=False),
        label_of("2", 1.0),
    ]
    pool = pool_of(runs, labels)
    assert pool.complete == {"2"}
    assert pool.count_unconfirmed(RIGHT) == 1


def test_an_item_is_complete_only_with_a_label_for_every_score() -> None:
    pool = pool_of([item("1", rating=1.0)], scores=(RIGHT, STARS))
    assert [run.id for run in pool.labelled_runs(RIGHT)] == ["1"]
    assert pool.complete == frozenset()


def test_a_label_belongs_to_the_certificate_only_if_the_person_confirmed_it() -> None:
    runs = [item("1"), item("2", rating=1.0)]
    pool = pool_of(runs, [label_of("1", 1.0)])
    ledgers = ("all", "certificate", "development")
    assert [pool.in_ledger(runs[0], RIGHT, ledger) for ledger in ledgers] == [True, True, False]
    assert [pool.in_ledger(runs[1], RIGHT, ledger) for ledger in ledgers] == [True, False, True]


def test_pairs_hold_the_stratum_of_confirmed_labels_alone() -> None:
    runs = [item("1"), item("2", rating=0.0), item("3", rating=1.0), item("4")]
    pool = pool_of(runs, [label_of("1", 1.0)])
    pairs = pool.pairs(runs, RIGHT, {"1": 1.0, "2": 1.0, "4": 0.0})
    assert pairs == [LabelledVerdict(1.0, 1.0, "right 1"), LabelledVerdict(1.0, 0.0, None)]


def test_strata_of_two_judges_are_not_weighted_together() -> None:
    labels = [label_of("1", 1.0), label_of("2", 1.0, draw="d2")]
    alike = [draw_of("d1", "1"), draw_of("d2", "2", size=12)]
    other = [draw_of("d1", "1"), draw_of("d2", "2", evaluator="another")]
    runs = [item("1"), item("2")]
    assert pool_of(runs, labels, alike).stratum_sizes(RIGHT) == {"right 1": 12}
    assert pool_of(runs, labels, other).stratum_sizes(RIGHT) is None
    assert pool_of(runs, [], alike).stratum_sizes(RIGHT) is None


def test_labels_have_the_time_of_the_ledger_or_else_of_the_rating() -> None:
    session = "synthetic_session_7"
    runs = [item("1", session=session), item("2", rating=0.0), item("3")]
    labels = [label_of("1", 1.0, minute=3).model_copy(update={"seconds": 4.0})]
    first, second = pool_of(runs, labels).timed_labels(runs, RIGHT)
    assert (first.value, first.seconds, first.session) == (1.0, 4.0, session)
    assert (second.value, second.at, second.session) == (0.0, START, None)


def test_items_are_sorted_into_strata_by_their_verdict() -> None:
    runs = [item("1"), item("2"), item("3")]
    strata = strata_by_verdict(runs, {"1": 1.0, "3": 0.0}, RIGHT)
    assert strata == {"right 1": ["1"], "unjudged": ["2"], "right 0": ["3"]}
