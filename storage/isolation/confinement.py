"""Confine this process to some files, without network: what it may do is taken away for ever.

Three walls stand behind each other, as far as the system offers them: Landlock takes the files, a
filter of system calls takes the network, other processes and the system, and the capabilities of a
superuser are dropped. `confine` says which of them hold. Nothing here imports more than the
standard library, because a new process does it.
"""

import ctypes
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from storage.isolation import landlock, system_calls

SYSTEM_FOLDERS: Final = (
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/etc/alternatives",
    "/etc/fonts",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/ssl/openssl.cnf",
    "/etc/timezone",
    "/nix/store",
    "/gnu/store",
)
"""What programs need of a system: libraries, fonts, the time zone; nothing of a person."""
_NEW_USER: Final = 0x10000000
_NEW_PROCESSES: Final = 0x20000000
_NEW_NETWORK: Final = 0x40000000
_CAPABILITIES: Final = 64


@dataclass(frozen=True, slots=True)
class Confinement:
    """What a process keeps.

    Attributes:
        readable: Files and folders that it may read and execute, beside those of the system.
        writable: Folders in which it may do everything.
        may_start_programs: Whether it may start other programs, which are confined as it is.
    """

    readable: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()
    may_start_programs: bool = False


@dataclass(frozen=True, slots=True)
class Walls:
    """What was taken away.

    Attributes:
        files: Whether all other files are out of reach.
        network: Whether the network is.
        processes: Whether other processes are, and new ones unless they are allowed.
    """

    files: bool
    network: bool
    processes: bool


def confine(confinement: Confinement) -> Walls:
    """Confine this process, which has one thread, and all that it will start."""
    number = landlock.version()
    is_alone = not system_calls.is_available() and enter_namespaces(_NEW_NETWORK)
    drop_capabilities()
    files = landlock.restrict_files((*SYSTEM_FOLDERS, *confinement.readable), confinement.writable)
    calls = system_calls.restrict_calls(
        programs=confinement.may_start_programs,
        signals=confinement.may_start_programs and files and number >= landlock.SIGNALS,
        truncation=files and number >= landlock.TRUNCATION,
    )
    return Walls(files, calls or is_alone, calls)


def python_folders() -> tuple[str, ...]:
    """Return the folders of this Python: its program, its library, what is installed for it."""
    packages = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    return tuple(dict.fromkeys((sys.prefix, sys.base_prefix, *packages)))


def enter_namespaces(flags: int) -> bool:
    """Enter new namespaces; return whether this system lets an ordinary user do that.

    A child tries it first: who may enter but not map its own user would be left without rights.
    """
    if sys.platform != "linux":
        return False
    child = os.fork()
    if child == 0:
        os._exit(0 if _enter(flags) else 1)
    _, status = os.waitpid(child, 0)
    return status == 0 and _enter(flags)


def _enter(flags: int) -> bool:
    user, group = os.getuid(), os.getgid()
    try:
        if _libc().unshare(_NEW_USER | flags) != 0:
            return False
        for name, line in (
            ("setgroups", "deny"),
            ("uid_map", f"{user} {user} 1"),
            ("gid_map", f"{group} {group} 1"),
        ):
            place = os.open(f"/proc/self/{name}", os.O_WRONLY)
            try:
                os.write(place, line.encode())
            finally:
                os.close(place)
    except (OSError, AttributeError):
        return False
    return True


def enter_process_namespace() -> bool:
    """Let the next process that this one starts see itself and its children alone."""
    return enter_namespaces(_NEW_PROCESSES)


def drop_capabilities() -> None:
    """Drop what a superuser may do beyond the rights of its files."""
    if sys.platform != "linux":
        return
    libc = _libc()
    for number in range(_CAPABILITIES):
        libc.prctl(24, number, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    libc.capset(header, (ctypes.c_uint32 * 6)())


def die_with_parent() -> None:
    """Let the system kill this process as soon as its parent has ended (Linux)."""
    if sys.platform == "linux":
        _libc().prctl(1, 9, 0, 0, 0)


def adopt_orphans() -> None:
    """Become the parent of all descendants whose own parent has ended (Linux)."""
    if sys.platform == "linux":
        _libc().prctl(36, 1, 0, 0, 0)


def descendants(process: int) -> Sequence[int]:
    """Return all processes below one, as far as the system lists them (Linux)."""
    children: dict[int, list[int]] = {}
    for number, parent in _parents():
        children.setdefault(parent, []).append(number)
    result: list[int] = []
    waiting = [process]
    while waiting:
        below = children.pop(waiting.pop(), [])
        result += below
        waiting += below
    return result


def resident_bytes(processes: Sequence[int]) -> int:
    """Return the memory that processes hold, each counted by itself (Linux)."""
    page = os.sysconf("SC_PAGE_SIZE")
    total = 0
    for number in processes:
        fields = _read(f"/proc/{number}/statm").split()
        # Pages that are shared with files do not count: a library is loaded once.
        total += (int(fields[1]) - int(fields[2])) * page if len(fields) > 2 else 0
    return total


def _parents() -> list[tuple[int, int]]:
    try:
        numbers = [int(name) for name in os.listdir("/proc") if name.isdecimal()]  # noqa: PTH208
    except OSError:
        return []
    pairs: list[tuple[int, int]] = []
    for number in numbers:
        _, _, fields = _read(f"/proc/{number}/stat").rpartition(") ")
        state, _, rest = fields.partition(" ")
        if rest and state != "Z":
            pairs.append((number, int(rest.split(" ", 1)[0])))
    return pairs


def _read(path: str) -> str:
    try:
        with open(path, encoding="latin-1") as stream:  # noqa: PTH123
            return stream.read()
    except OSError:
        return ""


def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)
