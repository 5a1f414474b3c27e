"""The bridge: from spawn to the tools/list answer, and what it adds to a call.

    python bridge.py [rounds]

Beside it, in turns, a server of the MCP SDK on stdio with as many tools, each of which does
nothing: what a client starts where there is no bridge. Prints one JSON line a measurement. The
daemon is started first and stopped at the end.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from kiln_mcp.doors.bridge import Daemon, Exchange

BRIDGE = "import sys; from kiln_mcp.doors.bridge import main; sys.exit(main())"
PEER = """
from mcp.server import MCPServer
server = MCPServer("peer", version="1")
def make(number):
    async def tool(text: str, count: int = 1, project: str | None = None) -> dict[str, str]:
        "Do nothing with a text, a count and a project."
        return {"text": text}
    server.add_tool(tool, name=f"tool_{number}")
for number in range(40):
    make(number)
server.run("stdio")
"""
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "benchmark", "version": "1"},
    },
}
INITIALIZED = {"jsonrpc": "2.0", "method": "notifications/initialized"}
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}
LIST = {"jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": {}}
MODERN_LIST = {**LIST, "params": {"_meta": META}}


def start(home: Path, program: str = BRIDGE) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", program],
        env={**os.environ, "KILN_MCP_HOME": str(home)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def say(bridge: subprocess.Popen[bytes], *messages: object) -> None:
    assert bridge.stdin is not None
    for message in messages:
        bridge.stdin.write(json.dumps(message).encode() + b"\n")
    bridge.stdin.flush()


def hear(bridge: subprocess.Popen[bytes]) -> object:
    assert bridge.stdout is not None
    return json.loads(bridge.stdout.readline())


def spawn_to_list(home: Path, *, modern: bool, program: str = BRIDGE) -> float:
    started = time.perf_counter()
    bridge = start(home, program)
    if modern:
        say(bridge, MODERN_LIST)
    else:
        say(bridge, INITIALIZE)
        hear(bridge)
        say(bridge, INITIALIZED, LIST)
    hear(bridge)
    took = time.perf_counter() - started
    bridge.communicate(timeout=30)
    return took * 1000


def calls(home: Path, rounds: int) -> dict[str, float]:
    """Return the median ms of tools/list: straight to the daemon, through the bridge, the peer."""
    daemon = Daemon(home)
    daemon.find()
    headers = {"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/list"}
    body = json.dumps(MODERN_LIST).encode()
    took: dict[str, list[float]] = {"straight": [], "bridge": [], "peer": []}
    running = {"bridge": start(home), "peer": start(home, PEER)}
    for server in running.values():  # its start is measured elsewhere
        say(server, MODERN_LIST)
        hear(server)
    for _ in range(rounds):
        started = time.perf_counter()
        with Exchange(daemon.address, "POST", "/mcp", headers, body) as exchange:
            exchange.send()
            assert list(exchange.messages())
        took["straight"].append(time.perf_counter() - started)
        for who, server in running.items():
            started = time.perf_counter()
            say(server, MODERN_LIST)
            hear(server)
            took[who].append(time.perf_counter() - started)
    for server in running.values():
        server.communicate(timeout=30)
    return {who: round(statistics.median(times) * 1000, 2) for who, times in took.items()}


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        cold = spawn_to_list(home, modern=False)
        print(json.dumps({"what": "no daemon yet, legacy", "ms": round(cold)}))
        for modern in (False, True):
            took: dict[str, list[float]] = {"bridge": [], "SDK server on stdio": []}
            for _ in range(rounds):  # in turns: what else the machine does falls on both
                took["bridge"].append(spawn_to_list(home, modern=modern))
                peer = spawn_to_list(home, modern=modern, program=PEER)
                took["SDK server on stdio"].append(peer)
            for who, times in took.items():
                figures = {
                    "what": f"{who}: spawn to tools/list, {'modern' if modern else 'legacy'}",
                    "median_ms": round(statistics.median(times), 1),
                    "min_ms": round(min(times), 1),
                    "max_ms": round(max(times), 1),
                }
                print(json.dumps(figures))
        medians = calls(home, rounds * 5)
        added = round(medians["bridge"] - medians["straight"], 2)
        print(json.dumps({"what": "tools/list, ms", **medians, "added by the bridge": added}))
        daemon = Daemon(home)
        daemon.find()
        with Exchange(daemon.address, "POST", "/stop", {}, b"") as exchange:
            exchange.send()
        while (home / "daemon.json").exists():
            time.sleep(0.05)


if __name__ == "__main__":
    main()
