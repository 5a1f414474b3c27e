from hypothesis import example, given
from hypothesis import strategies as st

from kiln_mcp.jobs import Progress
from kiln_mcp.jobs.progress import Course


def shown(course: Course, *reports: tuple[float, float | None]) -> list[tuple[float, float | None]]:
    made = [course.at(done, total, "Scored") for done, total in reports]
    return [(progress.done, progress.total) for progress in made]


def test_the_first_attempt_is_shown_as_it_counts() -> None:
    course = Course(Progress())
    assert shown(course, (0, None), (1, 3), (2, 3), (3, 3)) == [(0, None), (1, 3), (2, 3), (3, 3)]


def test_an_attempt_that_goes_through_everything_again_goes_on_where_the_last_was() -> None:
    course = Course(Progress(40, 100, "Scored"))
    assert course.at(12, 100, "Scored") == Progress(
        40, 100, "Going through what was done before: 12 of 40. Scored"
    )
    assert course.at(41, 100, "Scored") == Progress(41, 100, "Scored")


def test_an_attempt_that_does_only_what_is_left_goes_on_where_the_last_was() -> None:
    course = Course(Progress(40, 100, "Scored"))
    assert shown(course, (1, 60), (60, 60)) == [(41, 100), (100, 100)]
    again = Course(Progress(70, 100, "Scored"))
    assert shown(again, (1, 30), (30, 30)) == [(71, 100), (100, 100)]


def test_one_thing_after_another_is_counted_together() -> None:
    course = Course(Progress())
    assert shown(course, (4, 4), (1, 2), (2, 2), (1, 2)) == [(4, 4), (5, 6), (6, 6), (7, 8)]


def test_a_sentence_without_a_total_takes_nothing_back() -> None:
    course = Course(Progress(40, 100, "Scored"))
    assert shown(course, (0, None), (0, 100), (50, 100), (50, None)) == [
        (40, 100),
        (40, 100),
        (50, 100),
        (50, 100),
    ]


def test_a_job_that_is_done_is_shown_as_whole() -> None:
    course = Course(Progress(110, 140, "Scored"))
    assert shown(course, (30, 30)) == [(140, 140)]
    stale = Course(Progress(100, 140, "Scored"))
    shown(stale, (130, 130))
    assert stale.at_its_end() is None
    short = Course(Progress(20, 50, "Scored"))
    shown(short, (50, 50), (30, 30))
    assert short.at_its_end() is None
    stopped_early = Course(Progress())
    shown(stopped_early, (3, 10))
    assert stopped_early.at_its_end() is None


reports = st.lists(st.tuples(st.integers(0, 30), st.none() | st.integers(0, 30)), max_size=20)


@given(attempts=st.lists(reports, max_size=4))
@example(attempts=[[(0, 0)], [(1, None)]])
def test_whatever_is_reported_no_job_falls_back_or_passes_its_total(
    attempts: list[list[tuple[int, int | None]]],
) -> None:
    now = Progress()
    for attempt in attempts:
        course = Course(now)
        for done, total in attempt:
            before, now = now, course.at(done, total, None)
            assert now.done >= before.done
            assert now.total is None or now.done <= now.total
            assert (now.total is None) <= (before.total is None)
        now = course.at_its_end() or now
