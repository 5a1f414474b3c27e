"""A process of this program's own that works beside it.

It gets pickled values, which its parent alone can write, and sends messages: four bytes of length,
and JSON. If its parent is killed, it ends when it reads or writes the next one.
"""

import json
import os
import pickle
import struct
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, BinaryIO, Final

from pydantic import JsonValue
from pydantic_core import PydanticSerializationError, from_json, to_json

_LENGTH: Final = struct.Struct(">I")
_PROGRAM: Final = """
import pickle, sys
sys.path[:] = pickle.load(sys.stdin.buffer)
from {module} import main
main()
"""


@dataclass(frozen=True, slots=True)
class ChildProcess:
    """A process that works for this one.

    Attributes:
        requests: Its input.
        replies: Its messages.
    """

    requests: IO[bytes]
    replies: IO[bytes]

    def send(self, request: object) -> None:
        """Send a value, pickled.

        Raises:
            OSError: The process has ended.
        """
        pickle.dump(request, self.requests)
        self.requests.flush()

    def receive(self) -> JsonValue:
        """Wait for the next message.

        Raises:
            EOFError: The process has ended.
        """
        head = self.replies.read(_LENGTH.size)
        if len(head) < _LENGTH.size:
            raise EOFError
        (size,) = _LENGTH.unpack(head)
        body = self.replies.read(size)
        if len(body) < size:
            raise EOFError
        return _message_of(body)


def _message_of(body: bytes) -> JsonValue:
    """Return a message; what reads JSON faster refuses lone surrogates."""
    try:
        message: JsonValue = from_json(body)
    except ValueError:
        message = json.loads(body)
    return message


@contextmanager
def child_process(module: str) -> Generator[ChildProcess]:
    """Start a process that calls `main` of a module; it ends with the block.

    Args:
        module: The module.
    """
    process = subprocess.Popen(
        [sys.executable, "-P", "-X", "utf8", "-c", _PROGRAM.format(module=module)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        if process.stdin is not None and process.stdout is not None:
            child = ChildProcess(process.stdin, process.stdout)
            with suppress(OSError):  # it has ended, as the first reply will tell
                child.send(sys.path)
            yield child
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with suppress(OSError):  # it holds what the process has not read
                    stream.close()


def open_replies() -> BinaryIO:
    """Return, in a child, where its messages go; what else writes to its output is no message."""
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDWR), 1)
    return replies


def send_message(stream: BinaryIO, message: JsonValue) -> None:
    """Send a message of a child."""
    try:
        body = to_json(message)
    except PydanticSerializationError:  # a lone surrogate
        body = json.dumps(message).encode()
    stream.write(_LENGTH.pack(len(body)) + body)
    stream.flush()
