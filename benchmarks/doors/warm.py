"""Measure capabilities inside a warm process, as the daemon calls them: wall time, CPU, memory.

    python benchmarks/doors/warm.py [--items 10000] [--judges 10] [--labels 1000] [--repeats 5]

No model is asked. Figures are medians; the first call of each is left out, because it imports.
"""

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import projects
from pydantic import JsonValue

from kiln_mcp.approvals.approval import Door, ProposedCall
from kiln_mcp.approvals.decision import Reply
from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.garbage import collect_rarely
from kiln_mcp.settings import Settings


class _Agrees:
    """A person who agrees to everything."""

    door = Door.TERMINAL

    async def ask(self, call: ProposedCall) -> Reply:
        del call
        return Reply.ACCEPT


def memory_mib() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


async def measure(folder: Path, calls: Mapping[str, Mapping[str, JsonValue]], repeats: int) -> None:
    environment = {
        "KILN_MCP_HOME": str(folder / "home"),
        "HOME": str(folder),
        "PATH": os.environ["PATH"],
    }
    catalogue = installed_catalogue()
    async with catalogue.open_workspace(Settings.from_environment(environment)) as workspace:
        own = replace(workspace, person=_Agrees())
        for tool, arguments in calls.items():
            call = {"project": str(folder / "project"), "eval": "Polite", **arguments}
            figures: list[tuple[float, float]] = []
            for _ in range(repeats + 1):
                cpu, wall = time.process_time(), time.perf_counter()
                await catalogue.perform(own, tool, call)
                figures.append((time.perf_counter() - wall, time.process_time() - cpu))
            walls, cpus = zip(*figures[1:], strict=True)
            print(
                f"{tool}: wall_s {statistics.median(walls):.3f}, "
                f"cpu_s {statistics.median(cpus):.3f}, memory_mib {memory_mib()}",
                flush=True,
            )


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--judges", type=int, default=10)
    parser.add_argument("--labels", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args()
    collect_rarely()  # as the daemon does
    with tempfile.TemporaryDirectory(prefix="doors-") as name:
        folder = Path(name)
        (folder / "home").mkdir(mode=0o700)
        await projects.measured_project(
            folder / "project", folder / "home", chosen.items, verdicts=True
        )
        calls: dict[str, dict[str, JsonValue]] = {
            "run_eval": {"evaluators": ["check"]},
            "show_results": {"evaluator": "check", "compare": ["A", "B"]},
        }
        await measure(folder, calls, chosen.repeats)
    for items, judges, labels, tool in (
        (chosen.labels, chosen.judges, chosen.labels, "check_judge"),
        (chosen.items, 1, chosen.labels, "draw_items_to_label"),
    ):
        with tempfile.TemporaryDirectory(prefix="doors-") as name:
            folder = Path(name)
            (folder / "home").mkdir(mode=0o700)
            await projects.labelled_project(
                folder / "project", folder / "home", items, judges=judges, labels=labels
            )
            evaluator: dict[str, JsonValue] = (
                {"evaluator": "check 0"} if tool == "draw_items_to_label" else {}
            )
            await measure(folder, {tool: evaluator}, chosen.repeats)


if __name__ == "__main__":
    asyncio.run(main())
