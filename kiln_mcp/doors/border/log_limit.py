"""The size limit of the daemon's log: repetitions are counted, and a full file is rotated."""

import logging
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

LARGEST_LOG: Final = 5 * 2**20
MOST_ALIKE: Final = 10
"""How often one sentence is written in a window of time."""
WINDOW_S: Final = 60.0
MOST_SENTENCES: Final = 1_000


@dataclass(slots=True)
class _Sentence:
    began: float
    count: int = 0
    omissions: int = 0


class RepetitionFilter(logging.Filter):
    """Passes a sentence a few times a minute, and later writes how often it was left out.

    Records from one place of the code count as the same sentence, whatever values they hold.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._sentences: dict[tuple[str, int, str], _Sentence] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record should be written."""
        time_s = self._clock()
        key = record.pathname, record.lineno, record.levelname
        sentence = self._sentences.get(key)
        if sentence is None or time_s - sentence.began >= WINDOW_S:
            if len(self._sentences) >= MOST_SENTENCES:
                self._sentences.clear()
            omissions = sentence.omissions if sentence is not None else 0
            self._sentences[key] = sentence = _Sentence(time_s)
            if omissions:
                record.msg = f"{record.getMessage()} ({omissions} more like it were left out)"
                record.args = ()
        if sentence.count >= MOST_ALIKE:
            sentence.omissions += 1
            return False
        sentence.count += 1
        return True


class LogLimit:
    """Keeps this process's log file below a size."""

    def __init__(self, file: Path, largest: int = LARGEST_LOG) -> None:
        """Set up.

        Args:
            file: The log, which standard error appends to.
            largest: The most bytes; as many older ones are kept in `<name>.1`.
        """
        self._file = file
        self._largest = largest

    def attach(self) -> None:
        """Filter repetitions in all that this process logs."""
        for handler in logging.getLogger().handlers:
            handler.addFilter(RepetitionFilter())

    def trim(self) -> None:
        """Move the end of a full log to its backup; empty the file, which others may have open."""
        try:
            if self._file.stat().st_size <= self._largest:
                return
            backup_file = self._file.with_name(f"{self._file.name}.1")
            backup_file.unlink(missing_ok=True)
            with self._file.open("r+b") as log, backup_file.open("xb") as backup:
                backup_file.chmod(0o600)
                log.seek(-self._largest, 2)
                shutil.copyfileobj(log, backup)
                log.truncate(0)
        except FileNotFoundError:
            return
        except OSError as error:  # a log that cannot be rotated stops nothing
            sys.stderr.write(f"{self._file} cannot be rotated: {error.strerror}\n")
