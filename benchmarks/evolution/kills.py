"""Kill a search again and again, and count what is paid for twice.

python benchmarks/evolution/kills.py [--kills 12] [--budget 600]

A child runs the engine over its decision log; its provider notes each call when it begins and when
it is answered. The parent kills the child (-9) at random moments and starts it again. At the end
the same search runs without a kill: it must have taken the same decisions.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from power import START, Feature

from kiln_mcp.evolution.engine import (
    Candidate,
    Evaluation,
    FileLog,
    Item,
    Options,
    ProposalRequest,
    Result,
    evolve,
)

SEED, WIDTH, PIPELINES = 3, 32, 8


class Provider(Feature):
    """Takes time for each call, and notes it."""

    def __init__(self, notes: Path) -> None:
        super().__init__(SEED, 0.5)
        self._notes = notes.open("ab", buffering=0)

    def note(self, *words: object) -> None:
        self._notes.write((" ".join(map(str, words)) + "\n").encode())

    async def evaluate(self, candidate: Candidate, item: Item) -> Evaluation:
        key = f"{candidate.id}/{item.id}/{item.repeat}"
        self.note("begin", key)
        await asyncio.sleep(random.expovariate(1 / 0.02))
        evaluation = await super().evaluate(candidate, item)
        self.note("end", key)
        return evaluation

    async def propose(self, request: ProposalRequest) -> str:
        self.note("begin", request.id)
        await asyncio.sleep(random.expovariate(1 / 0.16))
        self.draw = random.Random(request.id)
        answer = await super().propose(request)
        self.note("end", request.id)
        return answer


async def search(folder: Path, budget: int) -> Result:
    provider = Provider(folder / "notes")
    log = FileLog(folder / "log.jsonl")
    options = Options(log=log, width=WIDTH, pipelines=PIPELINES)
    train, val = provider.items("train", 60), provider.items("val", 40)
    return await evolve(
        START,
        train,
        val,
        provider.evaluate,
        provider.propose,
        budget=budget,
        seed=SEED,
        options=options,
    )


def decisions(result: Result) -> str:
    return json.dumps([[d.proposal, d.accepted, d.candidate, d.reason] for d in result.decisions])


def run_until_killed(folder: Path, budget: int, seconds: float) -> str:
    """Run a child for so long; return its decisions if it came to its end."""
    command = [sys.executable, __file__, "--child", str(folder), "--budget", str(budget)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    notes = folder / "notes"
    before = notes.stat().st_size if notes.exists() else 0
    while child.poll() is None and (not notes.exists() or notes.stat().st_size == before):
        time.sleep(0.01)  # until its first call
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        os.kill(child.pid, signal.SIGKILL)
    output = child.communicate()[0]
    return output.split("DONE ", 1)[1] if "DONE " in output else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--budget", type=int, default=600)
    parser.add_argument("--seconds", type=float, default=0.6, help="the longest life of a child")
    parser.add_argument("--child", type=Path)
    arguments = parser.parse_args()
    if arguments.child:
        print("DONE " + decisions(asyncio.run(search(arguments.child, arguments.budget))))
        return
    draw, killed, end = random.Random(1), 0, ""
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory() as steady:
        while not end:
            is_last = killed >= arguments.kills
            seconds = 600.0 if is_last else draw.uniform(0.1, arguments.seconds)
            end = run_until_killed(Path(name), arguments.budget, seconds)
            killed += not end
        lines = (Path(name) / "notes").read_text(encoding="utf-8").split("\n")
        begun = Counter(line[6:] for line in lines if line.startswith("begin "))
        answered = Counter(line[4:] for line in lines if line.startswith("end "))
        again = {key: count - 1 for key, count in begun.items() if count > 1}
        twice = sum(count - 1 for count in answered.values() if count > 1)
        whole = decisions(asyncio.run(search(Path(steady), arguments.budget)))
        print(
            f"{killed} kills; {sum(begun.values())} calls begun, {len(begun)} different; "
            f"begun again because in flight at a kill: {sum(again.values())} "
            f"({sum(again.values()) / max(1, killed):.1f} a kill, {WIDTH} at most in flight); "
            f"answered twice: {twice}; same decisions as without a kill: "
            f"{end.strip() == whole.strip()}"
        )


if __name__ == "__main__":
    main()
