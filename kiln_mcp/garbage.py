"""Garbage collection while modules are imported."""

import gc
from collections.abc import Generator
from contextlib import contextmanager


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
