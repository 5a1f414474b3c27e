"""Time from spawn to the answer of tools/list, and what that answer costs a model to read.

    .venv/bin/python benchmarks/house/startup.py [--runs 7]

Cold: no bytecode anywhere (an empty PYTHONPYCACHEPREFIX), as right after an installation.
Warm: as on every later start. Both protocol eras, one process a run, medians.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COMMAND = Path(sys.executable).with_name("kiln-mcp")
LEGACY = [
    {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "benchmark", "version": "1"},
        },
    },
    {"jsonrpc": "2.0", "method": "notifications/initialized"},
    {"jsonrpc": "2.0", "id": 2, "method": "tools/list"},
]
MODERN = [
    {
        "jsonrpc": "2.0",
        "id": 2,
        "method": "tools/list",
        "params": {
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientInfo": {"name": "benchmark", "version": "1"},
                "io.modelcontextprotocol/clientCapabilities": {},
            }
        },
    },
]


def spawn_to_tools(
    messages: list[dict[str, object]], environment: dict[str, str]
) -> tuple[float, dict[str, object]]:
    """Return seconds from spawn to the answer, and the answer."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [COMMAND], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    for message in messages:
        process.stdin.write(json.dumps(message) + "\n")
    process.stdin.flush()
    for line in process.stdout:
        answer = json.loads(line)
        if answer.get("id") == 2:
            seconds = time.perf_counter() - began
            process.stdin.close()
            process.wait(timeout=20)
            return seconds, answer
    raise SystemExit(f"{COMMAND} ended without an answer")


def tokens(text: str) -> int:
    """Count cl100k tokens with the vocabulary that litellm carries."""
    import importlib.util

    spec = importlib.util.find_spec("litellm")
    assert spec is not None
    assert spec.submodule_search_locations
    folder = Path(spec.submodule_search_locations[0]) / "litellm_core_utils" / "tokenizers"
    os.environ["TIKTOKEN_CACHE_DIR"] = str(folder)
    import tiktoken

    return len(tiktoken.get_encoding("cl100k_base").encode(text))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=7)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as home:
        warm = {**os.environ, "KILN_MCP_HOME": home}
        for era, messages in (("legacy", LEGACY), ("modern", MODERN)):
            spawn_to_tools(messages, warm)
            times = [spawn_to_tools(messages, warm)[0] for _ in range(runs)]
            print(f"warm {era}: median {statistics.median(times) * 1000:.0f} ms")
        cold_times: list[float] = []
        for _ in range(3):
            with tempfile.TemporaryDirectory() as empty:
                cold = {**warm, "PYTHONPYCACHEPREFIX": empty, "PYTHONDONTWRITEBYTECODE": "1"}
                cold_times.append(spawn_to_tools(LEGACY, cold)[0])
        print(f"cold legacy: median {statistics.median(cold_times) * 1000:.0f} ms")
        _, answer = spawn_to_tools(LEGACY, warm)
    result = answer["result"]
    assert isinstance(result, dict)
    tools = result["tools"]
    shown = [
        {"name": t["name"], "description": t.get("description"), "inputSchema": t["inputSchema"]}
        for t in tools
    ]
    count = tokens(json.dumps(shown, separators=(",", ":")))
    each = count / len(tools)
    print(f"tools/list: {len(tools)} tools, {count} tokens as a model reads them ({each:.0f} each)")


if __name__ == "__main__":
    main()
