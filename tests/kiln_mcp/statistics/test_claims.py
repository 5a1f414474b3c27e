import random
from statistics import fmean

import pytest

from kiln_mcp.statistics import (
    best_mean,
    detection_share,
    items_to_tell_apart,
    level_of_use,
    pareto_front,
    score_columns,
)


@pytest.mark.parametrize(("items", "share"), [(60, 0.40), (120, 0.70), (240, 0.92)])
def test_a_gain_of_ten_points_is_seen_as_often_as_was_measured(items: int, share: float) -> None:
    assert detection_share(items, 0.10) == pytest.approx(share, abs=0.04)


def test_half_the_difference_takes_four_times_the_items() -> None:
    large = items_to_tell_apart(0.2, 0.5, 1.96)
    small = items_to_tell_apart(0.1, 0.5, 1.96)
    assert large is not None
    assert small == pytest.approx(4 * large, abs=4)
    assert items_to_tell_apart(0.0, 0.5, 1.96) is None


def test_all_claims_on_the_same_items_have_the_error_together() -> None:
    assert level_of_use(3) == pytest.approx(0.05 / 12)
    assert sum(map(level_of_use, range(1, 2000))) == pytest.approx(0.05, rel=1e-3)
    with pytest.raises(ValueError, match="first use"):
        level_of_use(0)


def test_the_front_holds_what_nothing_beats() -> None:
    quality_and_cost = [(0.9, -3.0), (0.8, -1.0), (0.7, -2.0), (0.9, -3.0)]
    assert pareto_front(quality_and_cost) == [0, 1, 3]


def test_a_respect_that_some_lack_is_left_out_of_the_front() -> None:
    assert pareto_front([(0.9, None), (0.8, -1.0)]) == [0]


def test_the_mean_of_the_best_is_corrected_for_the_choice() -> None:
    draw = random.Random(2)
    raw: list[float] = []
    corrected: list[float] = []
    held = 0
    for _ in range(30):
        columns = [{str(n): float(draw.random() < 0.7) for n in range(40)} for _ in range(20)]
        best = best_mean(score_columns(columns))
        raw.append(best.mean - 0.7)
        corrected.append(best.corrected_mean - 0.7)
        held += best.low <= 0.7
    assert fmean(raw) > 0.1
    assert abs(fmean(corrected)) < fmean(raw) / 2
    assert held >= 27
