"""Messages of the protocol, one a line, as clients write them on stdio."""

import json
from typing import Any, Final, cast

INVALID_PARAMS: Final = -32602
LAST_ANSWERS_S: Final = 5.0
"""Seconds for which open requests are still answered after a client closes its side."""
ENDLESS: Final = "subscriptions/listen"
"""A request without an end of its own; nobody waits for its answer."""
LONE_SURROGATE: Final = (
    "This message holds a lone surrogate such as \\ud800, which no text can hold. Send whole "
    "characters: perhaps a text was cut in the middle of one."
)

Body = dict[str, Any]  # a JSON-RPC message, passed on as it is


class MessageError(ValueError):
    """A line holds no message that can be carried."""

    def __init__(self, sentence: str, code: int = -32600, request_id: object = None) -> None:
        super().__init__(sentence)
        self.code: Final = code
        self.request_id: Final = request_id


def parse_message(line: bytes) -> Body:
    """Return the message on a line.

    Raises:
        MessageError: The line is not JSON, or its JSON is not a message.
    """
    try:
        value = json.loads(line)
        is_whole = rb"\u" not in line or _is_whole(value)
    except (ValueError, RecursionError) as error:
        sentence = "This line is not JSON. Each line must hold one message."
        raise MessageError(sentence, -32700) from error
    if isinstance(value, list):
        raise MessageError("Batches are not taken: send each message on a line of its own.")
    if not isinstance(value, dict):
        raise MessageError("A message must be a JSON object.")
    message = cast("Body", value)
    request_id = message.get("id", 0)
    if not is_whole:
        can_answer = "id" in message and _is_whole(request_id)
        raise MessageError(LONE_SURROGATE, INVALID_PARAMS, request_id if can_answer else None)
    if isinstance(request_id, bool) or not isinstance(request_id, int | str):
        raise MessageError("The id of a message must be a whole number or a text.")
    params = part_of(message, "params")
    if "arguments" in params:
        params["arguments"] = arguments_in(params["arguments"])
    if not isinstance(params.get("arguments", {}), dict | None):
        sentence = "The arguments of a call must be a JSON object, which may be empty: {}."
        raise MessageError(sentence, INVALID_PARAMS, message.get("id"))
    fault = _fault_of(message)
    if fault is not None:
        raise MessageError(fault, request_id=message.get("id"))
    return message


def arguments_in(value: object) -> object:
    """Return the arguments of a call; some clients write them as one JSON text.

    What is no text, or no JSON text of an object, is returned as it is.
    """
    if not isinstance(value, str):
        return value
    if not value.strip():
        return {}
    try:
        arguments: object = json.loads(value)
    except (ValueError, RecursionError):
        return value
    is_taken = isinstance(arguments, dict | None) and _is_whole(cast("Body | None", arguments))
    return cast("object", arguments) if is_taken else value


def _is_whole(value: object) -> bool:
    """Return whether JSON data holds no lone surrogate."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
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
    """Return an object in a message; an empty one if there is none."""
    part = message.get(key)
    return cast("Body", part) if isinstance(part, dict) else {}
