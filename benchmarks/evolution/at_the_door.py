"""Search through the real tool: a client, the daemon, and an LLM judge over HTTP.

python benchmarks/evolution/at_the_door.py --world PATH/prompt_world --scenarios det,noisy
"""

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import mcp_types as types
from mcp import Client, StdioServerParameters
from mcp.client.context import ClientRequestContext

from storage import DataSource, Project, ProjectStore, Task, TaskOutput, TaskRun

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BRIDGE = "import sys; from kiln_mcp.doors.bridge import main; sys.exit(main())"
FREE = {"input_usd_per_million": 0, "output_usd_per_million": 0}
TEST_ITEMS = 60


async def agree(
    context: ClientRequestContext, params: types.ElicitRequestParams
) -> types.ElicitResult:
    """Answer as a person who agrees to everything."""
    return types.ElicitResult(action="accept", content={"agree": True})


async def make_project(folder: Path, world) -> None:
    """Make a project of the world's items; none of them has a right output."""
    model = DataSource(
        type="synthetic",
        properties={
            "adapter_name": "any",
            "model_name": "any",
            "model_provider": "any",
        },
    )
    person = DataSource(type="human", properties={"created_by": "ann"})
    async with await ProjectStore.create(folder, Project(name="World")) as store:
        task = await store.save(
            Task(name="Tickets", instruction="Answer the customer's ticket."), parent=store.project
        )
        async with store.transaction() as change:
            for example in (*world.train, *world.val, *world.test[:TEST_ITEMS]):
                change.save(
                    TaskRun(
                        input=example.text,
                        input_source=person,
                        output=TaskOutput(output="-", source=model),
                        tags=(example.split,),
                    ),
                    parent=task,
                )


async def search(arguments: argparse.Namespace, scenario: str, seed: int) -> dict:
    """Run one search, and return what it came to."""
    from world import SEED_PROMPT, World
    from world import scenario as scenario_of

    world = World(seed, scenario_of(scenario))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryDirectory() as place:
        command = [HERE / "world_server.py", arguments.world, scenario, str(seed)]
        server = await asyncio.create_subprocess_exec(
            sys.executable,
            *map(str, command),
            str(arguments.limit),
            stdout=subprocess.PIPE,
            env=environment,
        )
        home, project = Path(place) / "home", Path(place) / "project"
        home.mkdir()
        try:
            assert server.stdout is not None
            address = f"http://127.0.0.1:{int(await server.stdout.readline())}"
            settings = {"name": "world", "base_url": f"{address}/v1", **FREE}
            settings["concurrency"] = arguments.limit
            (home / "servers.json").write_text(json.dumps([settings]), encoding="utf-8")
            await make_project(project, world)
            environment |= {"KILN_MCP_HOME": str(home), "KILN_MCP_MODEL": "world/task"}
            stdio = StdioServerParameters(
                command=sys.executable, args=["-c", BRIDGE], env=environment
            )
            async with Client(stdio, mode="legacy", elicitation_callback=agree) as client:
                return await measure(client, arguments, project, address, world, SEED_PROMPT)
        finally:
            server.kill()
            await server.wait()
            daemon = home / "daemon.json"
            if daemon.exists():
                os.kill(json.loads(daemon.read_text(encoding="utf-8"))["pid"], signal.SIGTERM)
                await asyncio.sleep(1)


async def measure(client, arguments, project: Path, address: str, world, start: str) -> dict:
    async def call(tool: str, **values: object) -> dict:
        answer = await client.call_tool(tool, {"project": str(project), **values})
        assert not answer.is_error, answer
        return answer.structured_content

    kind = "pass_fail" if world.cfg.score_mode == "binary" else "five_star"
    await call(
        "create_evaluator",
        eval="Policy",
        type="llm_judge",
        steps=["The answer does all that the policy asks for."],
        model="world/judge",
        scores=[{"name": "Policy", "type": kind, "instruction": "Does it follow the policy?"}],
        **{f"{part}_filter": f"tag::{part}" for part in ("train", "val", "test")},
    )
    await call("create_run_config", name="start", prompt=start, model="world/task")
    begun = time.monotonic()
    started = await call(
        "improve_prompt",
        eval="Policy",
        start="start",
        max_calls=arguments.calls,
        reflect_with="world/reflect",
        wait_s=0,
    )
    search_stats: dict = {}
    while True:
        report = await client.call_tool("check_job", {"job": started["job"], "seconds": 1})
        state = report.structured_content
        if state["state"] not in {"waiting", "running"}:
            break
        stats = read(f"{address}/stats")
        if "Searching" in json.dumps(state):
            search_stats = stats
    wall = time.monotonic() - begun
    stats = read(f"{address}/stats")
    result = state.get("result") or state
    lines = await asyncio.to_thread(lines_beside, project)
    if arguments.logs:
        name = f"{world.cfg.name}_{world.seed}.jsonl"
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (arguments.logs / name).write_text(text, encoding="utf-8")
    end = next((line for line in lines if line["event"] == "result"), None)
    if end is None:
        return {"error": result}
    calls = stats["calls"]
    return {
        "start": round(world.expected(start, world.test), 3),
        "found": round(world.expected(end["winner_prompt"], world.test), 3),
        "claimed": end["gain_shown"],
        "stop": end["stop_reason"],
        "search_calls": end["search_calls"],
        "over": max(0, end["search_calls"] - arguments.calls),
        "reflections": calls.get("reflect", 0),
        "calls": sum(calls.values()),
        "held_out_calls": end["held_out_calls"],
        "noise_calls": end["noise_calls"],
        "uncounted": sum(calls.values())
        - sum(end[part] for part in ("search_calls", "held_out_calls", "noise_calls")),
        "in_flight": search_stats.get("avg_in_flight"),
        "most_in_flight": search_stats.get("max_in_flight"),
        "wall_s": round(wall, 1),
    }


def lines_beside(project: Path) -> list[dict]:
    return [
        json.loads(line)
        for file in project.rglob("kiln_mcp_evolution_*.jsonl")
        for line in file.read_text(encoding="utf-8").splitlines()
    ]


def read(address: str) -> dict:
    with urllib.request.urlopen(address) as response:
        return json.load(response)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--world", required=True)
    parser.add_argument("--scenarios", default="det,noisy,binary_noisy,multi")
    parser.add_argument("--worlds", default="0")
    parser.add_argument("--calls", type=int, default=2400)
    parser.add_argument("--limit", type=int, default=32)
    parser.add_argument("--logs", type=Path, help="Where to keep what the searches wrote.")
    arguments = parser.parse_args()
    sys.path.insert(0, arguments.world)
    for scenario in arguments.scenarios.split(","):
        for seed in map(int, arguments.worlds.split(",")):
            row = await search(arguments, scenario, seed)
            print(json.dumps({"scenario": scenario, "world": seed, **row}), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
