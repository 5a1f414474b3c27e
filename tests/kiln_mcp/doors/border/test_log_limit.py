"""The daemon's log stays small."""

import logging
from pathlib import Path

from kiln_mcp.doors.border.log_limit import MOST_ALIKE, WINDOW_S, LogLimit, RepetitionFilter


def records(count: int, line: int) -> list[logging.LogRecord]:
    return [
        logging.LogRecord("x", logging.WARNING, "file", line, "Refused %s.", (number,), None)
        for number in range(count)
    ]


def test_what_repeats_is_left_out_and_counted() -> None:
    now = [0.0]
    limit = RepetitionFilter(clock=lambda: now[0])
    written = [one for one in records(1_000, 1) + records(3, 2) if limit.filter(one)]
    assert len(written) == MOST_ALIKE + 3
    now[0] = WINDOW_S
    (later,) = records(1, 1)
    assert limit.filter(later)
    assert later.getMessage() == "Refused 0. (990 more like it were left out)"


def test_a_full_log_is_put_aside_once_while_others_write_to_it(tmp_path: Path) -> None:
    file = tmp_path / "daemon.log"
    limit = LogLimit(file, largest=100)
    with file.open("ab", buffering=0) as log:
        for number in range(3):
            log.write(b"%d" % number * 150)
            limit.trim()
            assert file.stat().st_size == 0
        log.write(b"after")
        limit.trim()
    assert file.read_bytes() == b"after"
    assert (tmp_path / "daemon.log.1").read_bytes() == b"2" * 100
