"""The refusal of all requests if nothing can be served.

A client whose connection just closes can tell its person no reason, so each request is answered
with the reason.
"""

import json
from typing import Any, BinaryIO, cast

import mcp_types as types


def refuse_all(sentence: str, incoming: BinaryIO, outgoing: BinaryIO) -> None:
    """Answer each request with the same sentence, until the client closes its side.

    Args:
        sentence: The reason and the next step.
        incoming: The client's messages, one a line.
        outgoing: The messages to the client.
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
