"""A filter of system calls (seccomp) of Linux: no network, no other process, nothing of the system.

The filter is a program of the classic BPF machine, made here and given to the kernel by `prctl`. It
is inherited by all that the process starts, and nothing takes it away. Where the processor is not
in the table there is no filter.

Source:
    linux/seccomp.h, linux/filter.h; the numbers are those of asm/unistd_64.h and
    asm-generic/unistd.h.
"""

import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Iterable
from typing import Any, Final

_ALLOW: Final = 0x7FFF0000
_KILL: Final = 0x80000000
_ERROR: Final = 0x00050000
_LOAD: Final = 0x20
_EQUAL: Final = 0x15
_AT_LEAST: Final = 0x35
_ANY_BIT: Final = 0x45
_RETURN: Final = 0x06
_NUMBER: Final = 0
_PROCESSOR: Final = 4
_FIRST_ARGUMENT: Final = 16
_FOREIGN_CALLS: Final = 0x40000000
_THREAD: Final = 0x00010000
_NEW_NAMESPACE: Final = 0x7E020000

_PROCESSORS: Final = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
"""The kernel's number of a processor, and its column in the tables below."""

# Each name has its numbers on x86_64 and aarch64; -1 where the processor has no such call.
_NETWORK: Final = {
    "socket": (41, 198),
    "connect": (42, 203),
    "bind": (49, 200),
    "listen": (50, 201),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
}
_OTHER_PROCESSES: Final = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_send_signal": (424, 424),
    "setpriority": (141, 140),
    "ioprio_set": (251, 30),
    "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
    "sched_setattr": (314, 274),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
}
_SYSTEM: Final = {
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "fanotify_init": (300, 262),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "quotactl": (179, 60),
    "acct": (163, 89),
    "syslog": (103, 116),
    "personality": (135, 92),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "iopl": (172, -1),
    "ioperm": (173, -1),
    # What would stay in the kernel after the process, or is memory that no limit counts.
    "shmget": (29, 194),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    "memfd_create": (319, 279),
    # Landlock does not cover attributes.
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "setxattrat": (463, 463),
    "removexattrat": (466, 466),
}
_TRUNCATION: Final = {"truncate": (76, 45)}
_WITHOUT_EFFECT: Final = {
    # Landlock does not cover them. Programs that copy files call them and need no effect.
    "chmod": (90, -1),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, -1),
    "fchown": (93, 55),
    "lchown": (94, -1),
    "fchownat": (260, 54),
    "utime": (132, -1),
    "utimes": (235, -1),
    "futimesat": (261, -1),
    "utimensat": (280, 88),
}
_PROGRAMS: Final = {
    "fork": (57, -1),
    "vfork": (58, -1),
    "execve": (59, 221),
    "execveat": (322, 281),
}
_OF_A_PROCESS: Final = {"prlimit64": (302, 261), "sched_setaffinity": (203, 122)}
"""Their first argument is a process; 0 is the calling one."""
_SIGNALS: Final = {"kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131)}
_PIDFD_OPEN: Final = {"pidfd_open": (434, 434)}
_CLONE: Final = (56, 220)
_CLONE3: Final = (435, 435)

_Call = tuple[int, int]


def is_available() -> bool:
    """Return whether this processor's calls are in the table."""
    return sys.platform == "linux" and platform.machine() in _PROCESSORS


def restrict_calls(*, programs: bool, signals: bool, truncation: bool) -> bool:
    """Take the network and the system from this process; return whether that was done.

    Args:
        programs: Whether it may start other programs.
        signals: Whether it may send signals to others: where something else bounds whom they reach.
        truncation: Whether it may shorten files by their path: where something else bounds which.
    """
    if not is_available():
        return False
    filter_code = _filter(programs=programs, signals=signals, truncation=truncation)
    buffer = ctypes.create_string_buffer(filter_code, len(filter_code))
    program = struct.pack("HxxxxxxQ", len(filter_code) // 8, ctypes.addressof(buffer))
    libc: Any = ctypes.CDLL(None, use_errno=True)
    return libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, program) == 0


def _filter(*, programs: bool, signals: bool, truncation: bool) -> bytes:
    number, column = _PROCESSORS[platform.machine()]
    code = [
        *_step(_LOAD, _PROCESSOR),
        *_jump(_EQUAL, number, _KILL, unless=True),
        *_step(_LOAD, _NUMBER),
        *_jump(_AT_LEAST, _FOREIGN_CALLS, _KILL),
    ]
    refused = [*_NETWORK.values(), *_OTHER_PROCESSES.values(), *_SYSTEM.values()]
    refused += [] if truncation else _TRUNCATION.values()
    refused += [] if programs else _PROGRAMS.values()
    refused += [] if programs and signals else _PIDFD_OPEN.values()
    code += _answers(refused, column, _ERROR | errno.EPERM)
    code += _answers(_WITHOUT_EFFECT.values(), column, _ERROR)
    # Its flags lie in memory, where a filter cannot look; programs then call clone.
    code += _answers([_CLONE3], column, _ERROR | errno.ENOSYS)
    code += _only_oneself(_OF_A_PROCESS.values(), column, 0)
    if not signals:
        code += _only_oneself(_SIGNALS.values(), column, os.getpid())
    code += _jump(_EQUAL, _CLONE[column], None, steps=3 if programs else 4)
    code += _step(_LOAD, _FIRST_ARGUMENT)
    if programs:
        code += _jump(_ANY_BIT, _NEW_NAMESPACE, _ERROR | errno.EPERM)
    else:
        code += [*_jump(_ANY_BIT, _THREAD, None, steps=1), *_step(_RETURN, _ALLOW)]
        code += _step(_RETURN, _ERROR | errno.EPERM)
    code += _step(_RETURN, _ALLOW)
    return b"".join(code)


def _answers(calls: Iterable[_Call], column: int, answer: int) -> list[bytes]:
    """Return the steps that give some calls one answer."""
    return [step for call in calls for step in _jump(_EQUAL, call[column], answer)]


def _only_oneself(calls: Iterable[_Call], column: int, process: int) -> list[bytes]:
    """Return the steps that refuse some calls unless their first argument is a process."""
    code: list[bytes] = []
    for call in calls:
        code += _jump(_EQUAL, call[column], None, steps=4)
        code += _step(_LOAD, _FIRST_ARGUMENT)
        code += _jump(_EQUAL, process, _ERROR | errno.EPERM, unless=True)
        code += _step(_RETURN, _ALLOW)
    return code


def _step(operation: int, value: int) -> list[bytes]:
    return [struct.pack("HBBI", operation, 0, 0, value)]


def _jump(
    operation: int, value: int, answer: int | None, *, unless: bool = False, steps: int = 1
) -> list[bytes]:
    """Return a test with the answer that follows if it holds; without one it passes over steps.

    Args:
        operation: The test.
        value: What is compared with.
        answer: What is returned; None to go on with the next step.
        unless: Whether it is returned if the test does not hold.
        steps: How many steps are passed over if the test does not hold.
    """
    if value < 0:
        return []
    if answer is None:
        return [struct.pack("HBBI", operation, 0, steps, value)]
    over = (1, 0) if unless else (0, 1)
    return [struct.pack("HBBI", operation, *over, value), *_step(_RETURN, answer)]
