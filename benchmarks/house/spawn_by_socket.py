"""Time from spawn to the answer of tools/list, by the daemon's Unix socket and by TCP, in turns.

.venv/bin/python benchmarks/house/spawn_by_socket.py [--runs 20]
"""

import argparse
import json
import os
import statistics
import tempfile
from pathlib import Path

from startup import LEGACY, MODERN, spawn_to_tools

from kiln_mcp.doors.bridge import Daemon, Exchange


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=20)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as home:
        warm = {**os.environ, "KILN_MCP_HOME": home}
        spawn_to_tools(LEGACY, warm)
        file = Path(home, "daemon.json")
        both = json.loads(file.read_text(encoding="utf-8"))
        ways = {"socket": both, "TCP": {n: v for n, v in both.items() if n != "socket"}}
        for era, messages in (("legacy", LEGACY), ("modern", MODERN)):
            times: dict[str, list[float]] = {way: [] for way in ways}
            for _ in range(runs):
                for way, known in ways.items():
                    file.write_text(json.dumps(known), encoding="utf-8")
                    times[way].append(spawn_to_tools(messages, warm)[0] * 1000)
            for way, took in times.items():
                print(f"{era} by {way}: median {statistics.median(took):.1f} ms of {runs}")
        daemon = Daemon(Path(home))
        daemon.find()
        with Exchange(daemon.address, "POST", "/stop", {}, b"", within_s=10) as exchange:
            exchange.send()


if __name__ == "__main__":
    main()
