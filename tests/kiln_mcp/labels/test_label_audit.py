"""Labels are compared with a panel, checks and blind repeats before they measure any judge."""

from collections.abc import Mapping

from golden_sets import RIGHT, golden_set_of, item, label_of
from kiln_mcp.labels.label_audit import (
    AuditedLabel,
    Verdicts,
    audit_labels,
    audited_labels,
    differs,
)

NOTHING = Verdicts({}, {})


def labels_of(**values: float) -> dict[str, AuditedLabel]:
    return {name: AuditedLabel(value) for name, value in values.items()}


def panel_of(*votes: Mapping[str, float]) -> Verdicts:
    return Verdicts({f"judge {number}": values for number, values in enumerate(votes)}, {})


def test_labels_that_nearly_all_judges_contradict_come_worst_first() -> None:
    votes = [{"a": 0.0, "b": 0.0, "c": 1.0} for _ in range(4)] + [{"a": 0.0, "b": 1.0, "c": 1.0}]
    audit = audit_labels(labels_of(a=1.0, b=1.0, c=1.0), panel_of(*votes))
    assert [(label.item, label.why) for label in audit.doubtful] == [
        ("a", "5 of 5 judges say the opposite"),
        ("b", "4 of 5 judges say the opposite"),
    ]
    assert audit.can_measure


def test_two_judges_are_no_panel() -> None:
    votes = [{"a": 0.0}, {"a": 0.0}]
    assert audit_labels(labels_of(a=1.0), panel_of(*votes)).doubtful == ()


def test_what_a_check_contradicts_comes_before_what_judges_do() -> None:
    verdicts = Verdicts(
        {str(number): {"a": 0.0, "b": 1.0} for number in range(3)}, {"runs ffmpeg": {"b": 0.0}}
    )
    audit = audit_labels(labels_of(a=1.0, b=1.0), verdicts)
    assert [label.item for label in audit.doubtful] == ["b", "a"]
    assert audit.doubtful[0].why == "runs ffmpeg says the opposite"


def test_labels_that_contradict_most_clear_panels_measure_no_judge() -> None:
    names = [f"i{number}" for number in range(10)]
    votes = [dict.fromkeys(names, 0.0) for _ in range(3)]
    wrong = {name: AuditedLabel(1.0 if number < 6 else 0.0) for number, name in enumerate(names)}
    audit = audit_labels(wrong, panel_of(*votes))
    assert not audit.can_measure
    assert "6 of 10 labels say the opposite" in audit.faults[0]
    looked_at = {
        name: AuditedLabel(label.value, is_second_look=label.value == 1.0)
        for name, label in wrong.items()
    }
    again = audit_labels(looked_at, panel_of(*votes))
    assert again.can_measure
    assert again.doubtful == ()


def test_a_check_that_contradicts_half_of_the_labels_is_named() -> None:
    names = [f"i{number}" for number in range(8)]
    checks = {"runs": {name: float(number % 2) for number, name in enumerate(names)}}
    audit = audit_labels(dict.fromkeys(names, AuditedLabel(1.0)), Verdicts({}, checks))
    assert audit.faults == (
        "The labels contradict 'runs', which is no judge: 4 of 8 labels say the opposite.",
    )


def test_a_rater_who_says_something_else_the_second_time_measures_no_judge() -> None:
    labels = {f"i{n}": AuditedLabel(1.0, repeat=float(n % 2)) for n in range(6)}
    audit = audit_labels(labels, NOTHING)
    assert (audit.repeats, audit.same_repeats) == (6, 3)
    assert "only 3 got the same label" in audit.faults[0]
    assert len(audit.doubtful) == 3
    assert audit_labels(dict(list(labels.items())[:4]), NOTHING).can_measure


def test_labels_for_a_certificate_are_in_doubt_and_not_shown() -> None:
    votes = [{"a": 0.0, "b": 0.0} for _ in range(3)]
    labels = {"a": AuditedLabel(1.0, is_hidden=True), "b": AuditedLabel(1.0)}
    audit = audit_labels(labels, panel_of(*votes))
    assert [label.item for label in audit.doubtful] == ["a", "b"]
    assert [label.item for label in audit.visible] == ["b"]


def test_stars_contradict_from_two_apart() -> None:
    assert differs(2.0, 4.0, "five_star")
    assert not differs(3.0, 4.0, "five_star")
    assert differs(-1.0, 1.0, "pass_fail_critical")


def test_a_blind_repeat_is_compared_with_its_own_raters_label() -> None:
    runs = [item("1", rating=1.0), item("2", rating=0.0)]
    labels = [
        label_of("1", 1.0, purpose="development", draw=None),
        label_of("1", 0.0, purpose="repeat", minute=1),
        label_of("2", 0.0, purpose="second_look", draw=None, rater="ben"),
        label_of("2", 1.0, purpose="repeat", minute=1),
    ]
    audited = audited_labels(golden_set_of(runs, labels), RIGHT, runs)
    assert (audited["1"].repeat, audited["1"].is_second_look) == (0.0, False)
    assert (audited["2"].repeat, audited["2"].is_second_look) == (None, True)
