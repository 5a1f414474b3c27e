import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from kiln_mcp.labels.hygiene import TimedLabel, label_faults, label_warnings

START = datetime(2026, 1, 1, tzinfo=UTC)


def labels(
    values: Sequence[float], gap_s: float = 20, sessions: Sequence[str] | None = None
) -> list[TimedLabel]:
    return [
        TimedLabel(
            value=value,
            at=START + timedelta(seconds=gap_s * place),
            session=sessions[place] if sessions else None,
        )
        for place, value in enumerate(values)
    ]


def honest(count: int) -> list[float]:
    draw = random.Random(1)
    return [float(draw.random() < 0.7) for _ in range(count)]


def test_careful_labels_raise_no_warning() -> None:
    sessions = [f"s{place % 3}" for place in range(60)]
    assert label_warnings(labels(honest(60), sessions=sessions)) == []
    assert label_warnings([]) == []


def test_few_labels_are_warned_of() -> None:
    assert "Only 5 labels" in " ".join(label_warnings(labels([1, 0, 1, 1, 0])))


def test_labels_that_are_all_the_same_are_warned_of() -> None:
    assert "labels are the same" in " ".join(label_warnings(labels([1.0] * 40)))


def test_labels_entered_once_a_second_are_warned_of() -> None:
    assert "every 0.9 s" in " ".join(label_warnings(labels(honest(40), gap_s=0.9)))


def test_labels_given_together_are_timed_from_the_draw_and_not_from_each_other() -> None:
    slow = [TimedLabel(v, START, seconds=25.0) for v in honest(40)]
    fast = [TimedLabel(v, START, seconds=0.4) for v in honest(40)]
    assert not any("too fast" in warning for warning in label_warnings(slow))
    assert any("too fast" in warning for warning in label_warnings(fast))


def test_labels_in_blocks_are_warned_of() -> None:
    assert "in 2 blocks" in " ".join(label_warnings(labels([1.0] * 25 + [0.0] * 10)))


def test_labels_that_only_differ_between_sessions_are_warned_of() -> None:
    values = [1.0, 0.0] * 20
    by_session = ["a", "b"] * 20
    mixed = ["a", "a", "b", "b"] * 10
    assert "confounded" in " ".join(label_warnings(labels(values, sessions=by_session)))
    assert "confounded" not in " ".join(label_warnings(labels(values, sessions=mixed)))


def test_labels_that_a_program_wrote_together_have_neither_speed_nor_order() -> None:
    together = labels([1.0] * 25 + [0.0] * 10, gap_s=0.0)
    assert label_faults(together) == []
    imported = labels([1.0] * 25 + [0.0] * 10, gap_s=0.01)
    assert not any("too fast" in fault for fault in label_faults(imported))


def test_too_few_labels_are_no_fault_of_them() -> None:
    few = labels([1.0, 1.0, 1.0])
    assert label_warnings(few) != []
    assert label_faults(few) == []
