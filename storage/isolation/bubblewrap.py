"""Bubblewrap: show a new process some files alone, where the system has no Landlock."""

import shutil
import subprocess
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

from storage.isolation import landlock
from storage.isolation.confinement import SYSTEM_FOLDERS, Confinement, python_folders

_TRIAL_S: Final = 10.0


def bubblewrap_prefix(confinement: Confinement) -> Sequence[str]:
    """Return what stands before a command line that is to be confined.

    Returns:
        Nothing where Landlock takes the files, or where bubblewrap is missing or does not work.
    """
    if landlock.version():
        return ()
    return prefix_of(confinement) if is_working() else ()


def prefix_of(confinement: Confinement) -> Sequence[str]:
    """Return the command line of bubblewrap up to the command that it runs."""
    words = ["bwrap", "--unshare-all", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]
    own = str(Path(__file__).parents[1])
    for path in (*SYSTEM_FOLDERS, *python_folders(), own, *confinement.readable):
        words += ["--ro-bind-try", path, path]
    for path in confinement.writable:
        words += ["--bind", path, path]
    return (*words, "--")


@lru_cache(maxsize=1)
def is_working() -> bool:
    """Return whether bubblewrap is installed and this system lets it work."""
    if shutil.which("bwrap") is None:
        return False
    command = [*prefix_of(Confinement()), "true"]
    try:
        trial = subprocess.run(command, check=False, timeout=_TRIAL_S, capture_output=True)
    except (OSError, subprocess.SubprocessError):
        return False
    return trial.returncode == 0
