"""The bridge: from spawn to the tools/list answer, and what it adds to a call.

    python bridge.py [rounds]

Prints one JSON line a measurement. The daemon is started first and stopped at the end.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from kiln_mcp.bridge import Daemon, Exchange

BRIDGE = "import sys; from kiln_mcp.bridge import main; sys.exit(main())"
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


def start(home: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", BRIDGE],
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


def spawn_to_list(home: Path, *, modern: bool) -> float:
    started = time.perf_counter()
    bridge = start(home)
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


def added_to_a_call(home: Path, rounds: int) -> tuple[float, float]:
    """Return the median of a call through the bridge, and straight to the daemon."""
    daemon = Daemon(home)
    daemon.find()
    headers = {"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/list"}
    body = json.dumps(MODERN_LIST).encode()
    straight: list[float] = []
    through: list[float] = []
    bridge = start(home)
    for _ in range(rounds):
        started = time.perf_counter()
        with Exchange(daemon.address, "POST", "/mcp", headers, body) as exchange:
            exchange.send()
            assert list(exchange.messages())
        straight.append(time.perf_counter() - started)
        started = time.perf_counter()
        say(bridge, MODERN_LIST)
        hear(bridge)
        through.append(time.perf_counter() - started)
    bridge.communicate(timeout=30)
    return statistics.median(through) * 1000, statistics.median(straight) * 1000


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        cold = spawn_to_list(home, modern=False)
        print(json.dumps({"what": "no daemon yet, legacy", "ms": round(cold)}))
        for modern in (False, True):
            took = [spawn_to_list(home, modern=modern) for _ in range(rounds)]
            figures = {
                "what": "spawn to tools/list, " + ("modern" if modern else "legacy"),
                "median_ms": round(statistics.median(took), 1),
                "min_ms": round(min(took), 1),
                "max_ms": round(max(took), 1),
            }
            print(json.dumps(figures))
        through, straight = added_to_a_call(home, rounds * 5)
        print(json.dumps({"what": "added to a call", "ms": round(through - straight, 2)}))
        daemon = Daemon(home)
        daemon.find()
        with Exchange(daemon.address, "POST", "/stop", {}, b"") as exchange:
            exchange.send()
        while (home / "daemon.json").exists():
            time.sleep(0.05)


if __name__ == "__main__":
    main()
