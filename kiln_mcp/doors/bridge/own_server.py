"""A server of this client's own, if no daemon starts after the first answers were given."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import BinaryIO, Final

from kiln_mcp.doors.bridge.cold_start import Handshake
from kiln_mcp.doors.lines import part_of

_PROGRAM: Final = "from kiln_mcp.doors.cli import serve_over_stdio; serve_over_stdio()"


def serve_lines(lines: Iterable[bytes], outgoing: BinaryIO, handshake: Handshake | None) -> int:
    """Start a server for these lines and pass its answers on; return its exit code.

    Args:
        lines: The client's messages; their end ends the server.
        outgoing: The messages to the client.
        handshake: The handshake that was answered already; the server gets it too.
    """
    with subprocess.Popen(
        [sys.executable, "-P", "-c", _PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        answers = threading.Thread(target=_pass_on, args=(server.stdout, outgoing, handshake))
        answers.start()
        with suppress(BrokenPipeError):
            if handshake is not None:
                server.stdin.write(json.dumps(handshake.message).encode() + b"\n")
                server.stdin.flush()
            for line in lines:
                server.stdin.write(line)
                server.stdin.flush()
        with suppress(BrokenPipeError):
            server.stdin.close()
        answers.join()
    return server.returncode


def _pass_on(answers: BinaryIO, outgoing: BinaryIO, handshake: Handshake | None) -> None:
    """Pass the server's messages on, except for its answer to the handshake."""
    answered_id = None if handshake is None else handshake.message["id"]
    for line in answers:
        if answered_id is not None:
            message = part_of({"line": json.loads(line)}, "line")
            if "method" not in message and message.get("id") == answered_id:
                answered_id = None
                continue
        with suppress(BrokenPipeError):
            outgoing.write(line)
            outgoing.flush()
