"""Garbage collection while modules are imported, in a process that serves, and in a command."""

import gc
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

_YOUNG: Final = 10_000
"""Objects that are made before the young ones are looked at: some hundred calls of a model."""


def collect_rarely() -> None:
    """Look for garbage less often: runs and imports make many objects that die at once.

    Looking takes a twentieth of a run of an eval and a tenth of an import. A few MiB wait for it.
    """
    gc.set_threshold(_YOUNG, *gc.get_threshold()[1:])


@contextmanager
def no_collection() -> Generator[None]:
    """Import without garbage collection; what is alive afterwards is never looked at again.

    Imports make many objects and hardly any garbage: looking at them takes a fifth of a start.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if collects:
            gc.enable()
