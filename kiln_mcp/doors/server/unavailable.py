"""What a client is told when nothing can be served: why, as the answer to whatever it asks.

A client that only sees the connection close tells its person no more than that.
"""

import json
from typing import Any, BinaryIO, cast

import mcp_types as types


def refuse_all(sentence: str, incoming: BinaryIO, outgoing: BinaryIO) -> None:
    """Answer each request with the same sentence, until the client closes its side.

    Args:
        sentence: Why nothing can be served, and what to do.
        incoming: What the client says, a message a line.
        outgoing: What it hears.
    """
    for line in incoming:
        try:
            message: Any = json.loads(line)
        except ValueError:
            continue
        if not isinstance(message, dict) or "method" not in message or "id" not in message:
            continue
        request_id: object = cast("dict[str, object]", message)["id"]
        error = {"code": types.INTERNAL_ERROR, "message": sentence}
        answer = {"jsonrpc": "2.0", "id": request_id, "error": error}
        outgoing.write(json.dumps(answer).encode() + b"\n")
        outgoing.flush()
