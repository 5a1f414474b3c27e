from hypothesis import example, given
from hypothesis import strategies as st

from kiln_mcp.jobs import Progress
from kiln_mcp.jobs.job_progress import ProgressAccount


def visible(
    account: ProgressAccount, *reports: tuple[float, float | None]
) -> list[tuple[float, float | None]]:
    created = [account.add(done, total, "Scored") for done, total in reports]
    return [(progress.done, progress.total) for progress in created]


def test_the_first_attempt_is_shown_as_it_counts() -> None:
    account = ProgressAccount(Progress())
    assert visible(account, (0, None), (1, 3), (2, 3), (3, 3)) == [
        (0, None),
        (1, 3),
        (2, 3),
        (3, 3),
    ]


def test_an_attempt_that_goes_through_everything_again_goes_on_where_the_last_was() -> None:
    account = ProgressAccount(Progress(40, 100, "Scored"))
    assert account.add(12, 100, "Scored") == Progress(
        40, 100, "Going through what was done before: 12 of 40. Scored"
    )
    assert account.add(41, 100, "Scored") == Progress(41, 100, "Scored")


def test_an_attempt_that_does_only_what_is_left_goes_on_where_the_last_was() -> None:
    account = ProgressAccount(Progress(40, 100, "Scored"))
    assert visible(account, (1, 60), (60, 60)) == [(41, 100), (100, 100)]
    second_run = ProgressAccount(Progress(70, 100, "Scored"))
    assert visible(second_run, (1, 30), (30, 30)) == [(71, 100), (100, 100)]


def test_one_thing_after_another_is_counted_together() -> None:
    account = ProgressAccount(Progress())
    assert visible(account, (4, 4), (1, 2), (2, 2), (1, 2)) == [(4, 4), (5, 6), (6, 6), (7, 8)]


def test_a_sentence_without_a_total_takes_nothing_back() -> None:
    account = ProgressAccount(Progress(40, 100, "Scored"))
    assert visible(account, (0, None), (0, 100), (50, 100), (50, None)) == [
        (40, 100),
        (40, 100),
        (50, 100),
        (50, 100),
    ]


def test_a_job_that_is_done_is_shown_as_whole() -> None:
    account = ProgressAccount(Progress(110, 140, "Scored"))
    assert visible(account, (30, 30)) == [(140, 140)]
    stale = ProgressAccount(Progress(100, 140, "Scored"))
    visible(stale, (130, 130))
    assert stale.complete() is None
    short = ProgressAccount(Progress(20, 50, "Scored"))
    visible(short, (50, 50), (30, 30))
    assert short.complete() is None
    stopped_early = ProgressAccount(Progress())
    visible(stopped_early, (3, 10))
    assert stopped_early.complete() is None


reports = st.lists(st.tuples(st.integers(0, 30), st.none() | st.integers(0, 30)), max_size=20)


@given(attempts=st.lists(reports, max_size=4))
@example(attempts=[[(0, 0)], [(1, None)]])
def test_whatever_is_reported_no_job_falls_back_or_passes_its_total(
    attempts: list[list[tuple[int, int | None]]],
) -> None:
    current = Progress()
    for attempt in attempts:
        account = ProgressAccount(current)
        for done, total in attempt:
            earlier, current = current, account.add(done, total, None)
            assert current.done >= earlier.done
            assert current.total is None or current.done <= current.total
            assert (current.total is None) <= (earlier.total is None)
        current = account.complete() or current
