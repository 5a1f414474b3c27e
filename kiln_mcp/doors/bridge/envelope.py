"""The HTTP headers that repeat parts of a message."""

import base64
import re
from collections.abc import Mapping
from typing import Final

from kiln_mcp.doors.lines import Body, part_of

VERSION_KEY: Final = "io.modelcontextprotocol/protocolVersion"
NAME_KEYS: Final[Mapping[str, str]] = {
    "tools/call": "name",
    "prompts/get": "name",
    "resources/read": "uri",
    "tasks/get": "taskId",
    "tasks/update": "taskId",
    "tasks/cancel": "taskId",
}
_HEADER_SAFE: Final = re.compile(r"^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$")


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
    """Return a text in a form that a header can carry."""
    if _HEADER_SAFE.match(value) and not value.startswith("=?base64?"):
        return value
    return f"=?base64?{base64.b64encode(value.encode(errors='replace')).decode()}?="
