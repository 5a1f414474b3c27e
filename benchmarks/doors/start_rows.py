"""Rows: how long until a program answers."""

import json
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Final

from eval_rows import project
from place import CHAT, COMMAND, LIMIT_S, Door, Figures, children_cpu, door, warm


def start() -> Figures:
    with door() as place:
        project(place, 100, verdicts=True)
        warm(place)
        calls = {
            "version": ["--version"],
            "help": ["--help"],
            "describe_project": ["describe-project", "--project", str(place.project)],
        }
        figures: Figures = {}
        for name, call in calls.items():
            took = [place.measured(*call) for _ in range(5)]
            figures[f"{name}_wall_s"] = statistics.median(one["wall_s"] for one in took)
            figures[f"{name}_cpu_s"] = min(one["cpu_s"] for one in took)
        return figures


def chat() -> Figures:
    """kiln-chat from its start to the first request at a server of its own, the daemon warm."""
    with door(concurrency=4, answer="Hello.") as place:
        place.run("list-models")
        place.environment["KILN_MCP_HOME"] = str(place.home)
        address = f"http://127.0.0.1:{place.port}/v1"
        waits, cpu = list[float](), list[float]()
        for _ in range(5):
            place.ask_server("forget")
            began, before = time.perf_counter(), children_cpu()
            subprocess.run(
                [CHAT, "--model", "m", "--api-base", address],
                env=place.environment,
                input="Hello\n",
                capture_output=True,
                text=True,
                timeout=LIMIT_S,
                check=True,
            )
            cpu.append(children_cpu() - before)
            waits.append(place.ask_server("report")["first"] - began)
        return {"first_request_s": statistics.median(waits), "cpu_s": min(cpu)}


def listing(*, cold: bool) -> Figures:
    """From the spawn of the program to its answer to tools/list, in a home without a daemon."""
    figures: Figures = {}
    for era, lines in FIRST_LINES.items():
        with door() as place:
            if not cold:
                seconds_to_list(place, lines)
                wait_for_daemon(place)
            waits = [seconds_to_list(place, lines) for _ in range(1 if cold else 5)]
            figures[f"{era}_s"] = statistics.median(waits)
            wait_for_daemon(place)  # a home is removed after its daemon
    return figures


def wait_for_daemon(place: Door) -> None:
    until = time.monotonic() + 60
    while place.daemon() is None and time.monotonic() < until:
        time.sleep(0.05)


ENVELOPE: Final = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "measure", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
HANDSHAKE: Final = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "measure", "version": "1"},
}
FIRST_LINES: Final[Mapping[str, Sequence[Mapping[str, object]]]] = {
    "legacy": [
        {"id": 1, "method": "initialize", "params": HANDSHAKE},
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/list"},
    ],
    "modern": [{"id": 2, "method": "tools/list", "params": {"_meta": ENVELOPE}}],
}


def seconds_to_list(place: Door, lines: Sequence[Mapping[str, object]]) -> float:
    """Start the program as a client does; return the seconds until its tools are listed."""
    began = time.perf_counter()
    program = subprocess.Popen(
        [COMMAND],
        env=place.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert program.stdin is not None
    assert program.stdout is not None
    for line in lines:
        program.stdin.write(json.dumps({"jsonrpc": "2.0", **line}).encode() + b"\n")
        program.stdin.flush()
    while json.loads(program.stdout.readline()).get("id") != 2:
        pass
    took = time.perf_counter() - began
    program.stdin.close()
    program.wait(LIMIT_S)
    return took
