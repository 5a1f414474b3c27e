"""A search at the command line whose daemon is killed (-9) again and again, then goes on.

python benchmarks/evolution/kills_at_the_door.py --world PATH/prompt_world --kills 3

The model server counts each call. What it saw beyond what the search counts was in flight at a
kill.
"""

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from at_the_door import BRIDGE, FREE, HERE, ROOT, lines_beside, make_project, read


async def command(environment: dict[str, str], *words: str) -> dict:
    """Run a command as a person at a terminal that agrees; return its answer."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", BRIDGE, *words, "--json"),
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    output, errors = await process.communicate()
    try:
        return json.loads(output)
    except ValueError:
        return {"error": (output + errors).decode()[-2000:]}


def daemon_of(home: Path) -> int:
    """Return the id of the daemon's process; 0 if it has none."""
    try:
        return json.loads((home / "daemon.json").read_text(encoding="utf-8"))["pid"]
    except (OSError, ValueError, KeyError):
        return 0


async def run(arguments: argparse.Namespace) -> dict:
    from world import World, scenario

    world = World(0, scenario(arguments.scenario))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryDirectory() as place:
        home, project = Path(place) / "home", Path(place) / "project"
        home.mkdir()
        server = await asyncio.create_subprocess_exec(
            sys.executable,
            *(str(HERE / "world_server.py"), arguments.world, arguments.scenario, "0"),
            str(arguments.limit),
            stdout=subprocess.PIPE,
            env=environment,
        )
        try:
            assert server.stdout is not None
            address = f"http://127.0.0.1:{int(await server.stdout.readline())}"
            settings = {"name": "world", "base_url": f"{address}/v1", **FREE, **arguments.prices}
            settings["concurrency"] = arguments.limit
            (home / "servers.json").write_text(json.dumps([settings]), encoding="utf-8")
            await make_project(project, world)
            environment |= {"KILN_MCP_HOME": str(home), "KILN_MCP_MODEL": "world/task"}
            return await measure(arguments, environment, home, project, address)
        finally:
            server.terminate()
            await server.wait()
            if pid := daemon_of(home):
                os.kill(pid, signal.SIGTERM)
                await asyncio.sleep(2)


async def measure(arguments, environment, home: Path, project: Path, address: str) -> dict:
    where = ("--project", str(project))
    parts = [f"--{part}-filter=tag::{part}" for part in ("train", "val", "test")]
    score = {"name": "Policy", "type": "five_star", "instruction": "Does it follow the policy?"}
    made = await command(
        environment,
        *("create-evaluator", *where, "--eval", "Policy", "--type", "llm_judge"),
        *("--steps", "The answer does all that the policy asks for.", "--model", "world/judge"),
        *("--scores", json.dumps([score]), *parts),
    )
    start = "Answer the customer's ticket."
    config = await command(
        environment,
        *("create-run-config", *where, "--name", "start", "--prompt", start),
        *("--model", "world/task"),
    )
    job = await command(
        environment,
        *("improve-prompt", *where, "--eval", "Policy", "--start", "start", "--wait-s", "0"),
        *("--max-calls", str(arguments.calls), "--reflect-with", "world/reflect", "--yes"),
        *arguments.limits,
    )
    if "job" not in job:
        return {"made": made, "config": config, "answer": job}
    kills: list[int] = []
    for number in range(arguments.kills):
        await reach(address, (number + 1) * arguments.every)
        kills.append(sum(read(f"{address}/stats")["calls"].values()))
        os.kill(daemon_of(home), signal.SIGKILL)
        await asyncio.sleep(1)
        await command(environment, "check-job", "--job", job["job"], "--seconds", "1")
    while True:
        state = await command(environment, "check-job", "--job", job["job"], "--seconds", "10")
        if state.get("state") not in {"waiting", "running", None}:
            break
    lines = lines_beside(project)
    end = next((line for line in lines if line["event"] == "result"), {})
    calls = read(f"{address}/stats")["calls"]
    counted = sum(end.get(part, 0) for part in ("search_calls", "held_out_calls", "noise_calls"))
    return {
        "kills": kills,
        "state": state.get("state"),
        "stop": end.get("stop_reason"),
        "verdict": end.get("verdict"),
        "counted": counted,
        "server_calls": sum(calls.values()),
        "results": sum(line["event"] == "result" for line in lines),
        "note": None if end else state,
    }


async def reach(address: str, calls: int) -> None:
    """Wait until the model server has seen so many task calls."""
    while read(f"{address}/stats")["calls"].get("task", 0) < calls:  # noqa: ASYNC110
        await asyncio.sleep(0.1)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--world", required=True)
    parser.add_argument("--scenario", default="det")
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--every", type=int, default=100, help="Task calls between two kills.")
    parser.add_argument("--calls", type=int, default=600)
    parser.add_argument(
        "--limit", type=int, default=32, help="Calls that the server takes at once."
    )
    parser.add_argument("--limits", default="", help="Limits of the job, such as --limit-usd=1.")
    parser.add_argument("--usd-per-million", type=float, default=0.0, help="A price of tokens.")
    arguments = parser.parse_args()
    arguments.limits = arguments.limits.split()
    price = arguments.usd_per_million
    arguments.prices = (
        {"input_usd_per_million": price, "output_usd_per_million": price} if price else {}
    )
    sys.path.insert(0, arguments.world)
    print(json.dumps(await run(arguments)), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
