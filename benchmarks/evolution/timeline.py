"""Where the time of a search goes, on a clock that jumps: neither load nor CPU time counts.

python benchmarks/evolution/timeline.py --world PATH/prompt_world --worlds 0-4

Calls take the simulated latency on an event loop whose clock goes on to the next timer at once.
A pipeline reflects, evaluates, or waits for its turn: decisions are taken in an order that depends
on no latency, so an answer that comes early waits for those before it.
"""

import argparse
import asyncio
import selectors
import statistics
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import plug_in
from worlds import seeds_of

from kiln_mcp.evolution.engine import scheduler
from kiln_mcp.evolution.engine.steps import Question


class JumpingSelector(selectors.SelectSelector):
    """Waits for nothing; `now` is the time that the waits would have taken."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout:
            self.now += max(0.0, timeout)
        return ready


class JumpingLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.clock = JumpingSelector()
        super().__init__(self.clock)

    def time(self) -> float:
        return self.clock.now


class Timed(scheduler.Scheduler):
    """Counts the seconds of all pipelines: reflecting, evaluating, waiting for their turn."""

    seconds: dict[str, float]

    def _open(self, pipeline: Any, step: Any, group: Any) -> Any:
        open_step, length = super()._open(pipeline, step, group)
        kind = "reflecting" if isinstance(step, Question) else "evaluating"
        group.start_soon(self._watch, open_step, kind, asyncio.get_running_loop().time())
        return open_step, length

    async def _watch(self, step: Any, kind: str, begun: float) -> None:
        await step.done.wait()
        ended = asyncio.get_running_loop().time()
        self.seconds[kind] += ended - begun
        step.ended = ended

    def _settle(self, step: Any) -> None:
        ended = getattr(step, "ended", None)
        if ended is not None:
            self.seconds["waiting"] += asyncio.get_running_loop().time() - ended
        super()._settle(step)


def run(world: Any, limit: int) -> dict[str, float]:
    """Run one search of 1,200 calls, and return its seconds and calls in flight."""
    import problem as problems
    import simllm

    loop = JumpingLoop()
    simllm.time = problems.time = SimpleNamespace(perf_counter=loop.time)
    llm = simllm.SimLLM(world, simllm.SimConf(limit=limit), loop=loop)
    problem = problems.Problem(world, llm, 1200, world.seed, limit)
    Timed.seconds = dict.fromkeys(("reflecting", "evaluating", "waiting"), 0.0)
    loop.run_until_complete(plug_in.search(problem))
    stats = llm.stats()
    loop.close()
    return {"wall": stats["span_s"], "in flight": stats["avg_in_flight"], **Timed.seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--world", type=Path, required=True)
    parser.add_argument("--worlds", default="0-4")
    parser.add_argument("--scenarios", default="det,noisy,binary_noisy,multi")
    parser.add_argument("--limit", type=int, default=32)
    arguments = parser.parse_args()
    sys.path.insert(0, str(arguments.world))
    from world import World, scenario

    # Slots would keep the end of a step from being noted.
    scheduler._OpenStep = type("_OpenStep", (scheduler._OpenStep,), {})
    sys.modules["kiln_mcp.evolution.engine.evolve"].Scheduler = Timed
    print("| scenario | wall | in flight | reflecting | evaluating | waiting for their turn |")
    print("|---|---|---|---|---|---|")
    for name in arguments.scenarios.split(","):
        rows = [run(World(n, scenario(name)), arguments.limit) for n in seeds_of(arguments.worlds)]
        mean = {key: statistics.mean(row[key] for row in rows) for key in rows[0]}
        cells = [f"{mean[key]:.1f} s" for key in ("reflecting", "evaluating", "waiting")]
        print(
            f"| {name} | {mean['wall']:.2f} s | {mean['in flight']:.1f} | {' | '.join(cells)} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
