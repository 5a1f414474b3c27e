"""Calls on open files: read one to its end, wait for the disk to have many."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

_READ_SIZE: Final = 2**20
_FLUSHERS: Final = 8
_flushers = ThreadPoolExecutor(_FLUSHERS, thread_name_prefix="flush")


def read_to_end(descriptor: int, size: int, size_limit: int) -> bytes:
    """Read an open file to its end, at most one byte more than a limit.

    A file object makes twice the calls of the system, and in threads each call waits for its turn.

    Args:
        descriptor: The open file.
        size: Its size, as it was when it was opened.
        size_limit: In bytes.
    """
    content = os.read(descriptor, size + 1)
    if len(content) == size:
        return content
    parts = [content]
    total = len(content)
    while content and total <= size_limit:
        content = os.read(descriptor, min(_READ_SIZE, size_limit + 1 - total))
        parts.append(content)
        total += len(content)
    return b"".join(parts)


def flush_all(descriptors: Sequence[int]) -> None:
    """Wait until the disk has what was written; many waits at once cost little more than one."""
    if len(descriptors) == 1:
        os.fsync(descriptors[0])
    else:
        shares = [descriptors[begin::_FLUSHERS] for begin in range(_FLUSHERS)]
        for _ in _flushers.map(_flush_each, filter(None, shares)):
            pass


def _flush_each(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.fsync(descriptor)
