"""Landlock of Linux: take from this process, for ever, all files but those that are named.

Needs no privilege and no other program. What it does not cover is left to `system_calls`: changes
of modes and owners, and truncation by path before version 3.
"""

import ctypes
import os
import stat
import struct
import sys
from collections.abc import Iterable
from typing import Any, Final

_CREATE: Final = 444
_ADD_RULE: Final = 445
_RESTRICT: Final = 446
_ASK_VERSION: Final = 1
_BENEATH: Final = 1

_EXECUTE: Final = 1 << 0
_WRITE_FILE: Final = 1 << 1
_READ_FILE: Final = 1 << 2
_READ_FOLDER: Final = 1 << 3
_TRUNCATE: Final = 1 << 14
_ON_FILES: Final = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | 1 << 15
_READ: Final = _EXECUTE | _READ_FILE | _READ_FOLDER
_DEVICES: Final = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")

TRUNCATION: Final = 3
"""The version from which truncation is covered."""
SIGNALS: Final = 6
"""The version from which a process reaches no other by signals."""


def version() -> int:
    """Return the version that this system offers; 0 if it offers none."""
    if sys.platform != "linux":
        return 0
    try:
        return max(0, _libc().syscall(_CREATE, None, 0, _ASK_VERSION))
    except (OSError, AttributeError):
        return 0


def restrict_files(readable: Iterable[str], writable: Iterable[str]) -> bool:
    """Take from this process all files but some; return whether that was done.

    Args:
        readable: Files and folders that may be read and executed; missing ones are passed over.
        writable: Folders in which everything may be done.
    """
    number = version()
    if number == 0:
        return False
    libc = _libc()
    attributes = _attributes(number)
    rules = libc.syscall(_CREATE, attributes, len(attributes), 0)
    if rules < 0:
        return False
    try:
        accesses = _handled_accesses(number)
        for path in readable:
            _allow(libc, rules, path, _READ & accesses)
        for path in _DEVICES:
            _allow(libc, rules, path, (_READ_FILE | _WRITE_FILE | _TRUNCATE) & accesses)
        for path in writable:
            _allow(libc, rules, path, accesses)
        return libc.prctl(38, 1, 0, 0, 0) == 0 and libc.syscall(_RESTRICT, rules, 0) == 0
    finally:
        os.close(rules)


def _handled_accesses(number: int) -> int:
    """Return the bits of all accesses to files that a version knows."""
    bits = {1: 13, 2: 14, 3: 15, 4: 15}.get(number, 16)
    return (1 << bits) - 1


def _attributes(number: int) -> bytes:
    """Return the rules' attributes: files, from version 4 also TCP, from 6 signals and sockets."""
    attributes = struct.pack("<QQQ", _handled_accesses(number), 3, 3)
    return attributes[: 8 if number < 4 else 16 if number < SIGNALS else 24]


def _allow(libc: Any, rules: int, path: str, accesses: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            accesses &= _ON_FILES
        libc.syscall(_ADD_RULE, rules, _BENEATH, struct.pack("<Qi", accesses, place), 0)
    finally:
        os.close(place)


def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)
