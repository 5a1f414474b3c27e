import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from agent.events import ToolFinished
from agent.terminal.painter import Painter
from agent.terminal.plots import curve, interval_bar, progress_bar
from agent.terminal.results import ShownResult, whole_result

NUMBERS = st.floats(-10, 10)


def test_an_interval_stands_where_it_is_between_0_and_1() -> None:
    assert interval_bar(0.5, 0.25, 0.75, 5) == "·├●┤·"
    assert interval_bar(1.0, 1.0, 1.0, 5) == "····●"


@given(NUMBERS, NUMBERS, NUMBERS, st.integers(1, 60))
def test_a_bar_has_its_width_and_one_value_whatever_the_numbers(
    value: float, low: float, high: float, width: int
) -> None:
    bar = interval_bar(value, low, high, width)
    assert len(bar) == width
    assert bar.count("●") == 1


@pytest.mark.parametrize(
    ("done", "total", "bar"), [(1, 2, "██░░"), (9, 2, "████"), (1, None, ""), (1, 0, "")]
)
def test_progress_is_a_bar_if_the_total_is_known(
    done: float, total: float | None, bar: str
) -> None:
    assert progress_bar(done, total, 4) == bar


@given(st.lists(NUMBERS, min_size=1, max_size=200), st.integers(1, 60))
def test_a_curve_ends_at_the_last_number_and_never_outgrows_its_width(
    values: list[float], width: int
) -> None:
    drawn = curve(values, width)
    assert len(drawn) == min(width, len(values))
    if len(drawn) > 1 and values[-1] > max(values[:-1]):
        assert drawn.endswith("█")


def test_what_a_table_shows_is_not_shown_once_more_as_text() -> None:
    text = (
        "jobs:\n| job | state |\n|---|---|\n| j1 | done |\nrows:\n  - n: 1\n    more: [2]\nnext: x"
    )
    answer: JsonValue = {
        "jobs": [{"job": "j1", "state": "done"}],
        "rows": [{"n": 1, "more": [2]}],
        "next": "x",
    }
    finished = ToolFinished("c1", "t", text, is_error=False, seconds=0.1, structured=answer)
    shown = Painter(None, escapes=False).paint(whole_result(ShownResult(1, "{}", finished)), 100)
    assert (shown.count("j1"), shown.count("done")) == (1, 1)
    assert "more: [2]" in shown
    assert "next: x" in shown
