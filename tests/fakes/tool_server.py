"""An MCP server over standard input of the standard library alone, so that it starts at once.

`look_up` answers with the weather of a city, counts its calls in the file `calls`, and says which
variables it was given. `fail` answers with an error, `hang` not at all,
`refuse` with an error of the protocol, and `measure` with an object alone. With `--pages` it lists
one tool a page.
"""

import json
import os
import pathlib
import sys
from typing import Any

TOOLS: list[dict[str, Any]] = [
    {
        "name": "look_up",
        "description": "The weather of a city.",
        "inputSchema": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
    {
        "name": "fail",
        "description": "Fails.",
        "inputSchema": {"type": "object", "properties": {"a": {}, "b": {}}},
    },
    {"name": "hang", "description": "Hangs.", "inputSchema": {"type": "object", "properties": {}}},
    {"name": "refuse", "description": "Refuses.", "inputSchema": {"type": "object"}},
    {"name": "measure", "description": "Measures.", "inputSchema": {"type": "object"}},
]


def call(name: str, arguments: dict[str, Any]) -> dict[str, Any] | None:
    with pathlib.Path("calls").open("a", encoding="utf-8") as file:
        file.write(f"{name}\n")
    if name == "hang":
        sys.stdin.read()
    if name == "refuse":
        return None
    if name == "measure":
        return {"content": [], "structuredContent": {"degrees": 7}, "isError": False}
    if name == "fail":
        return {"content": [{"type": "text", "text": "it is closed"}], "isError": True}
    key = os.environ.get("WEATHER_KEY", "no key")
    text = f"Rain in {arguments['city']} ({key})"
    return {"content": [{"type": "text", "text": text}], "isError": False}


def list_tools(start: int) -> dict[str, Any]:
    if "--pages" not in sys.argv:
        return {"tools": TOOLS}
    rest = {"nextCursor": str(start + 1)} if start + 1 < len(TOOLS) else {}
    return {"tools": TOOLS[start : start + 1], **rest}


def answer(method: str, parameters: dict[str, Any]) -> dict[str, Any] | None:
    match method:
        case "initialize":
            return {
                "protocolVersion": parameters["protocolVersion"],
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "weather", "version": "1"},
            }
        case "tools/list":
            return list_tools(int(parameters.get("cursor") or 0))
        case "tools/call":
            return call(parameters["name"], parameters.get("arguments") or {})
        case _:
            return None


def main() -> None:
    if "--broken" in sys.argv:
        sys.exit("the weather is closed")
    for line in sys.stdin:
        message = json.loads(line)
        if "id" not in message:
            continue
        result = answer(message["method"], message.get("params") or {})
        reply: dict[str, Any] = {"jsonrpc": "2.0", "id": message["id"]}
        if result is None:
            reply["error"] = {"code": -32601, "message": "Method not found"}
        else:
            reply["result"] = result
        sys.stdout.write(json.dumps(reply) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
