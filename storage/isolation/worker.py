"""The worker process: reads requests from its input, writes replies to its output.

Run as a script, so that it imports nothing but the standard library before it is ready. A message
is four bytes of length and JSON; nothing is unpickled on either side, so a worker that was taken
over cannot run code in the parent.
"""

import json
import os
import signal
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO, Final

LENGTH: Final = struct.Struct(">I")
LARGEST_REPLY: Final = 16 * 1024 * 1024
_GRACE_S: Final = 2.0
_MOST_DELAYED: Final = 10  # as long as the watchdog waits
_LONGEST_TOGETHER_S: Final = 0.5
_LONGEST_REASON: Final = 300

Reply = dict[str, Any]


def main() -> None:
    """Answer requests until the input ends."""
    requests, replies = _own_streams()
    settings = _read(requests)
    if settings is None:
        return
    sys.path[:] = settings["path"]
    _limit_memory(settings["megabytes"])
    _write(replies, {"ready": True})
    while (request := _read(requests)) is not None:
        _answer_all(request, replies)


def _answer_all(request: dict[str, Any], replies: BinaryIO) -> None:
    """Answer the first items of a request, as many as fit into half a second."""
    ends = time.monotonic() + _LONGEST_TOGETHER_S
    for number, arguments in enumerate(request["items"]):
        if number and time.monotonic() >= ends:
            _write(replies, {"rest": True})
            return
        # The parent keeps the limit; the alarm ends a worker whose parent was killed.
        _set_alarm(request["seconds"] * _MOST_DELAYED + _GRACE_S)
        reply = _answer(request["task"], arguments)
        _set_alarm(0)
        _write(replies, reply)


def _own_streams() -> tuple[BinaryIO, BinaryIO]:
    """Keep the two message streams out of reach of the code that runs here."""
    requests = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    os.close(nothing)
    return requests, replies


def _limit_memory(megabytes: int) -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    limit = megabytes * 1024 * 1024
    try:
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ValueError, OSError):  # macOS refuses a limit on the address space
        return


def _set_alarm(seconds: float) -> None:
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _answer(name: str, arguments: dict[str, Any] | None) -> Reply:
    """Return what comes of one item; without arguments, only import the task."""
    try:
        task = _task(name)
        if arguments is None:
            return {"value": None}
        reply = task(**arguments)
        return reply if _is_small(reply) else {"failed": "its result is too large"}
    except MemoryError:
        return {"failed": "", "breach": "memory"}
    except RecursionError:
        return {"failed": "it is nested too deeply"}
    except Exception as error:  # noqa: BLE001 - the outermost door of a worker
        return {"failed": f"it broke with {type(error).__name__}: {error}"[:_LONGEST_REASON]}


def _task(name: str) -> Callable[..., Reply]:
    _keep_package_bare()
    from storage.isolation.worker_tasks import find_task

    return find_task(name)


def _keep_package_bare() -> None:
    """Keep `import storage.isolation` from importing all of `storage`, which no task needs."""
    if "storage" not in sys.modules:
        package = ModuleType("storage")
        package.__path__ = [str(Path(__file__).parents[1])]
        sys.modules["storage"] = package


def _is_small(reply: Reply) -> bool:
    return len(json.dumps(reply)) <= LARGEST_REPLY


def _read(stream: BinaryIO) -> dict[str, Any] | None:
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    return json.loads(stream.read(LENGTH.unpack(head)[0]))


def _write(stream: BinaryIO, reply: Reply) -> None:
    body = json.dumps(reply).encode()
    stream.write(LENGTH.pack(len(body)) + body)
    stream.flush()


if __name__ == "__main__":
    main()
