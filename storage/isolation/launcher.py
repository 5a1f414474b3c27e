"""The supervisor of one command: confines it, counts its processes, and ends all that it started.

Run as a script by `commands`. It reads its settings from a socket that its parent holds open. When
that socket closes, because the command is no longer wanted or the parent was killed, it ends the
command. It is the parent of all descendants whose own parent has ended, so none gets away. Where
the system allows it, the command sees no process but its own, and the end of the first one is the
end of all.
"""

import json
import os
import resource
import select
import signal
import socket
import sys
import time
from types import ModuleType
from typing import Any, Final

_COUNTED_EACH_S: Final = 0.1
_LOOK_EACH_S: Final = 0.01
_LONGEST_END_S: Final = 5.0
_CANNOT_START: Final = 127

Settings = dict[str, Any]
Report = dict[str, Any]


def main() -> None:
    """Run the command of the settings and report how it ended."""
    control = socket.socket(fileno=int(sys.argv[1]))
    settings: Settings = json.loads(_receive(control))
    sys.path.insert(0, settings["root"])
    package = ModuleType("storage")  # its own start imports what no command needs
    package.__path__ = [os.path.join(settings["root"], "storage")]  # noqa: PTH118
    sys.modules["storage"] = package
    report = _run(control, settings)
    try:
        control.sendall(json.dumps(report).encode())
    except OSError:  # the parent has ended
        return


def _receive(control: socket.socket) -> bytes:
    """Return a message that ends with a line feed."""
    message = bytearray()
    while not message.endswith(b"\n"):
        part = control.recv(65536)
        if not part:
            sys.exit(1)
        message += part
    return bytes(message)


def _run(control: socket.socket, settings: Settings) -> Report:
    from storage.isolation import confinement

    confinement.adopt_orphans()
    if settings["confinement"] is not None:
        confinement.enter_process_namespace()
    words, end_of_words = os.pipe()
    child = _Child(os.fork())
    if child.number == 0:
        control.close()
        os.close(words)
        confinement.die_with_parent()
        os.setsid()
        _lead(settings, end_of_words)
    os.close(end_of_words)
    _let_streams_go()
    breach = _wait(control, child, settings)
    status = _end_all(child)
    fault, _, code = os.read(words, 4096).decode("utf-8", "replace").partition("\0")
    return {"status": int(code or status), "breach": breach, "fault": fault}


def _lead(settings: Settings, words: int) -> None:
    """Be the first process of the command: in a namespace of its own, the one that reaps.

    Args:
        settings: Of the command.
        words: Takes why the command could not be started; or, after a 0, its exit code: the first
            process of a namespace cannot end by the signal that ended the command.
    """
    if os.getpid() != 1:
        _become(settings, words)
    child = os.fork()
    if child == 0:
        _become(settings, words)
    _let_streams_go()
    while True:
        process, status = os.wait()
        if process == child:
            os.write(words, f"\0{os.waitstatus_to_exitcode(status)}".encode())
            os._exit(0)


def _become(settings: Settings, words: int) -> None:
    """Become the command."""
    from storage.isolation.confinement import Confinement, confine

    try:
        os.chdir(settings["folder"])
        _limit(settings)
        if settings["confinement"] is not None:
            confine(Confinement(**settings["confinement"]))
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.execve(settings["program"], settings["arguments"], settings["environment"])
    except BaseException as error:  # noqa: BLE001 - it must never go on as the supervisor
        os.write(words, f"{type(error).__name__}: {error}".encode()[:1000])
    os._exit(_CANNOT_START)


def _limit(settings: Settings) -> None:
    megabytes = settings["megabytes"]
    seconds = (int(settings["seconds"]) + 2) * (os.cpu_count() or 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    if settings["folder_bytes"] is not None:
        largest = settings["folder_bytes"]
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
    if megabytes is not None and sys.platform == "linux":
        # Programs map more than they use; what they use is counted by the supervisor.
        size = max(4096, 2 * megabytes) * 1024 * 1024
        resource.setrlimit(resource.RLIMIT_AS, (size, size))


def _let_streams_go() -> None:
    """Keep no stream open, so that their other ends see when the command has closed them."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    os.close(nothing)


class _Child:
    """The first process of the command.

    Attributes:
        number: Its number; 0 in that process itself.
        exit_code: What it ended with, minus the signal that ended it; None while it runs.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.exit_code: int | None = None

    def has_ended(self) -> bool:
        """Return whether it has ended."""
        if self.exit_code is None:
            number, status = os.waitpid(self.number, os.WNOHANG)
            if number:
                self.exit_code = os.waitstatus_to_exitcode(status)
        return self.exit_code is not None


def _wait(control: socket.socket, child: _Child, settings: Settings) -> str:
    """Wait until the command ends or is no longer wanted; return the limit that it passed."""
    end = _end_of(child.number)
    places = [control.fileno()] if end is None else [control.fileno(), end]
    counts_at = time.monotonic() + _COUNTED_EACH_S
    try:
        while True:
            pause = _COUNTED_EACH_S if end is not None else _LOOK_EACH_S
            ready, _, _ = select.select(places, [], [], pause)
            if control.fileno() in ready or child.has_ended():
                return ""
            if time.monotonic() >= counts_at:
                breach = _breach(settings)
                if breach:
                    return breach
                counts_at = time.monotonic() + _COUNTED_EACH_S
    finally:
        if end is not None:
            os.close(end)


def _end_of(child: int) -> int | None:
    """Return a file that becomes readable when a process ends; None if the system has none."""
    try:
        return os.pidfd_open(child)
    except (OSError, AttributeError):
        return None


def _breach(settings: Settings) -> str:
    from storage.isolation.confinement import descendants, resident_bytes

    processes, megabytes = settings["processes"], settings["megabytes"]
    below = descendants(os.getpid()) if processes or megabytes else ()
    if processes is not None and len(below) > processes:
        return "processes"
    if megabytes is not None and resident_bytes(below) > megabytes * 1024 * 1024:
        return "memory"
    return ""


def _end_all(child: _Child) -> int:
    """Kill all that the command started; return its exit code, minus the signal that ended it."""
    from storage.isolation.confinement import descendants

    ends_at = time.monotonic() + _LONGEST_END_S
    if not child.has_ended():
        _kill(child.number)
    if sys.platform != "linux":
        _kill_group(child.number)
    while time.monotonic() < ends_at:
        try:
            number, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            break
        if number == child.number:
            child.exit_code = os.waitstatus_to_exitcode(status)
        elif number == 0:
            for process in descendants(os.getpid()):
                _kill(process)
            time.sleep(0.001)
    return child.exit_code or 0


def _kill(process: int) -> None:
    try:
        os.kill(process, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _kill_group(child: int) -> None:
    """Kill what is left of the command's own process group, where nobody lists descendants."""
    try:
        os.killpg(child, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


if __name__ == "__main__":
    main()
