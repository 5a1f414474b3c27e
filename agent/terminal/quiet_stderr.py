"""Standard error copy away from a drawn terminal: programs that are started write to it."""

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def stderr_in(file: Path) -> Generator[None]:
    """Send standard error to a file, that of started programs included.

    Args:
        file: Where it goes; what it held is lost. If it cannot be written, nothing is sent away.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        target = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    except OSError:
        yield
        return
    number = sys.stderr.fileno()
    copy = os.dup(number)
    try:
        os.dup2(target, number)
        yield
    finally:
        with suppress(OSError):
            sys.stderr.flush()
        os.dup2(copy, number)
        os.close(copy)
        os.close(target)
