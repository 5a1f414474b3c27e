"""SQLite files of a home are opened by several processes, also the moment they are made."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier

import pytest

from storage.sqlite_files import is_busy, open_shared

AT_ONCE = 4
ROUNDS = 40
"""SQLite refuses one of four in about every third round."""


def test_a_new_file_opens_for_all_who_open_it_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(AT_ONCE) as threads:
        for number in range(ROUNDS):
            together = Barrier(AT_ONCE)

            def write(
                _: int, file: Path = tmp_path / f"{number}", all_: Barrier = together
            ) -> None:
                all_.wait()
                with closing(open_shared(file)) as connection:
                    connection.execute("CREATE TABLE IF NOT EXISTS lines (line)")
                    connection.execute("INSERT INTO lines VALUES ('one')")

            list(threads.map(write, range(AT_ONCE)))
            with closing(sqlite3.connect(tmp_path / f"{number}")) as connection:
                assert connection.execute("SELECT count(*) FROM lines").fetchone() == (AT_ONCE,)


def test_a_file_that_another_process_keeps_is_said_to_be_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.sqlite_files.BUSY_S", 0.05)
    with closing(sqlite3.connect(tmp_path / "kept", isolation_level=None)) as other:
        other.execute("CREATE TABLE lines (line)")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError) as refusal:
            open_shared(tmp_path / "kept")
    assert is_busy(refusal.value)


def test_a_new_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    with closing(open_shared(tmp_path / "home" / "new")) as connection:
        connection.execute("CREATE TABLE lines (line)")
        rights = {file.stat().st_mode & 0o777 for file in (tmp_path / "home").iterdir()}
    assert rights == {0o600}


def test_what_is_no_database_is_refused_at_once_and_is_not_busy(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("These are my notes, and no database at all.\n" * 40)
    with pytest.raises(sqlite3.DatabaseError) as refusal:
        open_shared(tmp_path / "notes")
    assert not is_busy(refusal.value)
