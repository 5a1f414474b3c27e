"""Messages of the protocol, one a line, as clients write them on stdio."""

import json
from typing import Any, Final, cast

INVALID_PARAMS: Final = -32602
LAST_ANSWERS_S: Final = 5.0
"""How long calls that are open are still answered when a client says no more."""
ENDLESS: Final = "subscriptions/listen"
"""A request that has no end of its own, so that nobody waits for its answer."""
CUT: Final = (
    "This message holds half a character, as \\ud800 is one, which no text can hold. Send whole "
    "characters: perhaps a text was cut in the middle of one."
)

Body = dict[str, Any]  # a JSON-RPC message, passed on as it is


class NotAMessage(ValueError):
    """A line holds no message that can be carried."""

    def __init__(self, sentence: str, code: int = -32600, request_id: object = None) -> None:
        super().__init__(sentence)
        self.code: Final = code
        self.request_id: Final = request_id


def as_message(line: bytes) -> Body:
    """Return the message on a line.

    Raises:
        NotAMessage: The line is not JSON, or none that makes a message.
    """
    try:
        parsed = json.loads(line)
        cut = rb"\u" in line and not _is_whole(parsed)
    except (ValueError, RecursionError) as error:
        said = "This line is not JSON. Each line must hold one message."
        raise NotAMessage(said, -32700) from error
    if isinstance(parsed, list):
        raise NotAMessage("Batches are not taken: send each message on a line of its own.")
    if not isinstance(parsed, dict):
        raise NotAMessage("A message must be a JSON object.")
    message = cast("Body", parsed)
    request_id = message.get("id", 0)
    if cut:
        known_by = request_id if _is_whole(request_id) and "id" in message else None
        raise NotAMessage(CUT, INVALID_PARAMS, known_by)
    if isinstance(request_id, bool) or not isinstance(request_id, int | str):
        raise NotAMessage("The id of a message must be a whole number or a text.")
    if not isinstance(part_of(message, "params").get("arguments", {}), dict | None):
        said = "The arguments of a call must be a JSON object, which may be empty: {}."
        raise NotAMessage(said, INVALID_PARAMS, message.get("id"))
    fault = _fault_of(message)
    if fault is not None:
        raise NotAMessage(fault, request_id=message.get("id"))
    return message


def _is_whole(parsed: object) -> bool:
    try:
        json.dumps(parsed, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _fault_of(message: Body) -> str | None:
    if message.get("jsonrpc") != "2.0":
        return 'A message must say "jsonrpc": "2.0".'
    if not message.keys() & {"method", "result", "error"}:
        return "A message must have a method, a result or an error."
    if not isinstance(message.get("method", ""), str):
        return "The method of a message must be a text."
    if not isinstance(message.get("params", {}), dict):
        return "The params of a message must be a JSON object."
    return None


def part_of(message: Body, key: str) -> Body:
    """Return an object in a message; an empty one where there is none."""
    part = message.get(key)
    return cast("Body", part) if isinstance(part, dict) else {}
