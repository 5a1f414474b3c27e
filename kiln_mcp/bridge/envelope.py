"""Messages: what is one, and what the headers of a request repeat of it."""

import base64
import json
import re
from collections.abc import Mapping
from typing import Any, Final, cast

VERSION_KEY: Final = "io.modelcontextprotocol/protocolVersion"
INVALID_PARAMS: Final = -32602
CUT: Final = (
    "This message holds half a character, as \\ud800 is one, which no text can hold. Send whole "
    "characters: perhaps a text was cut in the middle of one."
)
NAME_KEYS: Final[Mapping[str, str]] = {
    "tools/call": "name",
    "prompts/get": "name",
    "resources/read": "uri",
    "tasks/get": "taskId",
    "tasks/update": "taskId",
    "tasks/cancel": "taskId",
}
_HEADER_SAFE: Final = re.compile(r"^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$")

Body = dict[str, Any]  # a JSON-RPC message, passed on as it is


class NotAMessage(ValueError):  # noqa: N818 - a fault of the client's, told to it
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


def modern_headers(message: Body) -> dict[str, str]:
    """Return the headers that repeat a modern message's envelope; none for the legacy era."""
    parameters = part_of(message, "params")
    version = part_of(parameters, "_meta").get(VERSION_KEY)
    if not isinstance(version, str):
        return {}
    headers = {
        "mcp-protocol-version": header_value(version),
        "mcp-method": header_value(str(message.get("method"))),
    }
    name = parameters.get(NAME_KEYS.get(str(message.get("method")), ""))
    if isinstance(name, str):
        headers["mcp-name"] = header_value(name)
    return headers


def header_value(value: str) -> str:
    """Return a text as a header can carry it."""
    if _HEADER_SAFE.match(value) and not value.startswith("=?base64?"):
        return value
    return f"=?base64?{base64.b64encode(value.encode(errors='replace')).decode()}?="
