"""Run a command in this process's group, and end the group when the parent does.

A script of the standard library alone, for those who start a command by themselves and cannot hand
over a socket, as `launcher` has it. `leash.py <pid> <command> …` looks twice a second whether that
parent is still there.
The exit code is the command's; 128 and the number of the signal that ended it.
"""

import os
import select
import signal
import sys
from typing import Final

NO_COMMAND: Final = 127
_LOOK_S: Final = 0.5


def main() -> int:
    """Run the command of the arguments; return its exit code."""
    parent = int(sys.argv[1])
    woken, waker = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker)
    signal.signal(signal.SIGCHLD, _do_nothing)
    signal.signal(signal.SIGTERM, _end_group)
    try:
        child = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
    except OSError as error:
        print(f"{sys.argv[2]}: {error.strerror}", file=sys.stderr)  # noqa: T201 - a script
        return NO_COMMAND
    _forget_streams()
    while True:
        process, status = os.waitpid(child, os.WNOHANG)
        if process:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        _watch(parent, woken)


def _watch(parent: int, woken: int) -> None:
    """Wait until something happens; end the group if the parent has ended."""
    ready, _, _ = select.select([woken], [], [], _LOOK_S)
    if ready:
        os.read(woken, 64)
    if os.getppid() != parent:
        os.killpg(0, signal.SIGKILL)


def _forget_streams() -> None:
    """Leave the streams to the command, so that they end with it."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)


def _do_nothing(number: int, frame: object) -> None:
    del number, frame


def _end_group(number: int, frame: object) -> None:
    del number, frame
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
