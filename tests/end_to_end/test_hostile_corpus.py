"""More than a hundred hostile inputs against the real daemon: nobody else notices, nothing breaks.

The inputs lie in `tests/hostile_corpus`.
"""

import sys

import anyio
import pytest

from tests.hostile_corpus.siege import Siege, besiege

ANSWERED_WITHIN_S = 2.0
LEAST_INPUTS = 100
MOST_MB = 900

pytestmark = [
    pytest.mark.hostile,
    pytest.mark.timeout(400),
    pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc"),
]


@pytest.fixture(scope="module")
def siege(tmp_path_factory: pytest.TempPathFactory) -> Siege:
    return anyio.run(besiege, tmp_path_factory.mktemp("siege"))


def test_every_hostile_input_is_answered_in_a_short_sentence(siege: Siege) -> None:
    assert siege.inputs >= LEAST_INPUTS
    assert siege.faults == [], "\n".join(siege.faults)


def test_a_second_client_is_answered_within_two_seconds_throughout(siege: Siege) -> None:
    assert siege.waits > siege.inputs
    assert siege.slowest[0] < ANSWERED_WITHIN_S, siege.slowest


def test_the_daemon_stays_alive_and_small(siege: Siege) -> None:
    assert siege.is_alive
    assert max(siege.peaks.values()) < MOST_MB, siege.peaks


def test_nothing_outside_the_projects_and_the_home_is_touched_and_nothing_foreign_runs(
    siege: Siege,
) -> None:
    assert siege.touched == []
    assert not siege.world.mark.exists()


def test_the_daemons_log_holds_no_traceback(siege: Siege) -> None:
    assert "Traceback" not in siege.log, siege.log[-3000:]
