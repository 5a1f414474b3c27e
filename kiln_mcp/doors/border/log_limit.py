"""Keeps the daemon's log small: what repeats is counted, and a full file is put aside once."""

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
"""How often one sentence is written within a window."""
WINDOW_S: Final = 60.0
MOST_SENTENCES: Final = 1_000


@dataclass(slots=True)
class _Sentence:
    began: float
    count: int = 0
    omissions: int = 0


class RepetitionFilter(logging.Filter):
    """Lets a sentence through a few times a minute; then says how often it was left out.

    Sentences are alike that come from one place of the code, whatever values they hold.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._sentences: dict[tuple[str, int, str], _Sentence] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record is to be written."""
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
    """Holds the file that this process's errors go to below a size."""

    def __init__(self, file: Path, largest: int = LARGEST_LOG) -> None:
        """Set up.

        Args:
            file: The log, which standard error appends to.
            largest: The most bytes of it; as much is kept beside it as `<name>.1`.
        """
        self._file = file
        self._largest = largest

    def attach(self) -> None:
        """Leave out what repeats, in all that this process logs."""
        for handler in logging.getLogger().handlers:
            handler.addFilter(RepetitionFilter())

    def trim(self) -> None:
        """Put a full log aside; the file itself stays, since others may have it open."""
        try:
            if self._file.stat().st_size <= self._largest:
                return
            aside = self._file.with_name(f"{self._file.name}.1")
            aside.unlink(missing_ok=True)
            with self._file.open("r+b") as log, aside.open("xb") as backup:
                aside.chmod(0o600)
                log.seek(-self._largest, 2)
                shutil.copyfileobj(log, backup)
                log.truncate(0)
        except FileNotFoundError:
            return
        except OSError as error:  # a log that cannot be put aside stops nothing
            sys.stderr.write(f"{self._file} cannot be put aside: {error.strerror}\n")
