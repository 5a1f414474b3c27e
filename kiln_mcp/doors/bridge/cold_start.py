"""The first seconds of a client in a home without a daemon.

The daemon imports for a second or longer. Meanwhile the first answers come from a file; all other
messages are kept in their order and carried when the daemon is there.
"""

import json
import os
import queue
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import BinaryIO, NamedTuple

from kiln_mcp.doors.bridge.first_answers import FirstAnswers
from kiln_mcp.doors.lines import Body, MessageError, parse_message


class Handshake(NamedTuple):
    """The handshake of the legacy era that was answered from the file.

    Attributes:
        message: The client's request.
        version: The version that was agreed to.
    """

    message: Body
    version: str


class ColdStart:
    """Answers from the file what it can, and keeps the other lines."""

    def __init__(
        self, incoming: Iterable[bytes], outgoing: BinaryIO, answers: FirstAnswers
    ) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._answers = answers
        self._handshake: Handshake | None = None
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._answers_here = True
        self._has_request = False
        threading.Thread(target=self._read, daemon=True).start()

    def end(self) -> Handshake | None:
        """Answer nothing from the file any more; return the handshake that it answered."""
        with self._lock:
            self._answers_here = False
            return self._handshake

    def lines(self) -> Iterator[bytes]:
        """Yield the lines that were not answered, and those that still come."""
        while (line := self._lines.get()) is not None:
            yield line

    def _read(self) -> None:
        for line in self._incoming:
            with self._lock:
                if line.strip() and not (self._answers_here and self._answer(line)):
                    self._lines.put(line)
        with self._lock:
            if self._answers_here and not self._has_request:
                os._exit(0)  # the client has ended, and no request of it waits for the daemon
        self._lines.put(None)

    def _answer(self, line: bytes) -> bool:
        """Answer a request from the file; return whether that was possible."""
        try:
            message = parse_message(line)
        except MessageError:
            self._has_request = True
            return False
        result = self._answers.result_for(message, has_session=self._handshake is not None)
        if result is None or "id" not in message:
            self._has_request |= "id" in message
            return False
        version = self._answers.handshake_version(message)
        if version is not None:
            self._handshake = Handshake(message, version)
        answer = {"jsonrpc": "2.0", "id": message["id"], "result": result}
        with suppress(BrokenPipeError):
            self._outgoing.write(json.dumps(answer).encode() + b"\n")
            self._outgoing.flush()
        return True
