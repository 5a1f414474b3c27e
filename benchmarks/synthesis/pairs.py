"""Whether kept minimal pairs break exactly their clause, by judges whose errors are known.

The plan is carried out at the door: its inputs, outputs, edits and verdicts come from a simulated
model, and an output says to the script alone which clauses it really breaks. Judges err on each
clause in either direction at the rate of the row; an edit misses its clause or breaks the other one
as often as the row says. Counted are the pairs that were kept, those of them that break exactly the
intended clause, and the outputs that were called passing and pass.

    python benchmarks/synthesis/pairs.py [--repeats 10] [--items 60]
"""

import argparse
import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
from pydantic import JsonValue

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "fakes")]

from clause_judges import ClauseWorld, World, broken_in  # noqa: E402
from data_writer import carried_out, data_project, planned, runs_in  # noqa: E402
from kiln_mcp.statistics import wilson_interval  # noqa: E402
from storage import TaskRun  # noqa: E402

WORLDS = (
    World(error=0.02, side_effect=0.1),
    World(error=0.05, side_effect=0.1),
    World(error=0.1, side_effect=0.1),
    World(error=0.15, side_effect=0.1),
    World(error=0.2, side_effect=0.1),
    World(error=0.1, success=0.4, side_effect=0.1),
    World(error=0.1, success=0.8, side_effect=0.4),
    World(error=0.1, success=0.8, side_effect=0.1, flawed=0.2),
)
PANELS = {"one model, 3 verdicts": (), "5 models": tuple(f"judges/{n}" for n in range(5))}


def properties_of(run: TaskRun) -> dict[str, str | int | float]:
    """Return what is kept of a run's output."""
    assert run.output.source is not None
    return run.output.source.properties


async def pairs_of(world: World, judges: tuple[str, ...], items: int, seed: int) -> Counter[str]:
    """Carry out a plan, and count what was kept and what is right of it."""
    half: JsonValue = [
        {"clause": clause, "aim": "fail", "count": items // 2} for clause in ("c1", "c2")
    ]
    settings: JsonValue = {
        "topics": ["a", "b"], "spec": "Polite", "pairs": True, "quotas": half,
        "checkers": list[JsonValue](judges), "seed": seed,
    }  # fmt: skip
    counts: Counter[str] = Counter()
    with TemporaryDirectory() as folder:
        writer = ClauseWorld(world, seed)
        async with data_project(Path(folder), writer, models=judges) as (workspace, project):
            plan = await planned(workspace, project, settings)
            await carried_out(workspace, project, plan.id)
            runs = await runs_in(workspace, project)
    counts["calls"], counts["planned"] = len(writer.requests), plan.calls
    for run in runs:
        broken, own = broken_in(run.output.output), properties_of(run)
        if "minimal_pair" in run.tags:
            counts["kept"] += 1
            counts["exact"] += broken == {own["broken_clause"]}
        elif own.get("outcome") == "pass":
            counts["passing"] += 1
            counts["really passing"] += not broken
    return counts


def share(hits: int, count: int) -> str:
    """Return a share with its interval of 95 %."""
    if not count:
        return "none"
    interval = wilson_interval(hits, count)
    return f"{hits / count:.3f} ({interval.low:.3f} to {interval.high:.3f})"


async def measure(repeats: int, items: int) -> None:
    """Print a row for each world and panel."""
    print(
        "| judges | error | edits break it | break another | flawed outputs | kept | exact | "
        "passing ones pass | calls, of those planned |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for panel, judges in PANELS.items():
        for world in WORLDS:
            counts: Counter[str] = Counter()
            for seed in range(repeats):
                counts.update(await pairs_of(world, judges, items, seed))
            print(
                f"| {panel} | {world.error} | {world.success} | {world.side_effect} | "
                f"{world.flawed} | {counts['kept']} of {repeats * items} | "
                f"{share(counts['exact'], counts['kept'])} | "
                f"{share(counts['really passing'], counts['passing'])} | "
                f"{counts['calls'] / counts['planned']:.2f} |",
                flush=True,
            )


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--items", type=int, default=60)
    arguments = parser.parse_args()
    anyio.run(measure, arguments.repeats, arguments.items)


if __name__ == "__main__":
    main()
