"""The sizes of answers of every tool that reads, about a large project: tokens (cl100k).

Each tool is called with the fewest arguments, and with those that ask for much. A size is that of
the larger of an answer's two forms. Beside it: the size with detail='full', and how far the
product's own estimate is off.

    python benchmarks/surface/answers.py --items 10000
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import JsonValue

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "fakes"), str(Path(__file__).parent)]
from vocabulary import token_count  # noqa: E402

from kiln_mcp.catalogue import installed_catalogue  # noqa: E402
from kiln_mcp.operations.job_control.capability_calls import call_capability  # noqa: E402
from kiln_mcp.settings import Settings  # noqa: E402
from kiln_mcp.workbench.answer_size import MOST_TOKENS, answer_tokens  # noqa: E402
from kiln_mcp.workbench.answer_text import render  # noqa: E402
from kiln_mcp.workbench.capability import AnyCapability, Effect  # noqa: E402
from kiln_mcp.workbench.lifecycle import open_workspace  # noqa: E402
from kiln_mcp.workbench.workspace import Workspace  # noqa: E402
from large_project import Size, build, reading_calls  # noqa: E402
from storage import Task, TaskRun  # noqa: E402


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, short and whole, in tokens; and the seconds that the short one took."""

    tool: str
    call: str
    short: int
    whole: int
    estimate: int
    seconds: float


def tokens_of(data: Mapping[str, JsonValue]) -> int:
    """Return the tokens of the larger form of an answer."""
    return max(token_count(json.dumps(data, ensure_ascii=False)), token_count(render(data)))


async def measure(workspace: Workspace, item: AnyCapability, run: str) -> list[Answer]:
    """Return the sizes of a tool's answers."""
    short = replace(workspace, answer_tokens=MOST_TOKENS)
    answers: list[Answer] = []
    for label, arguments in reading_calls(item, run):
        started = time.perf_counter()
        outcome = await call_capability(short, item, arguments)
        seconds = time.perf_counter() - started
        whole = await call_capability(short, item, {**arguments, "detail": "full"})
        answers.append(
            Answer(
                item.name,
                label or "fewest arguments",
                tokens_of(outcome.data),
                tokens_of(whole.data),
                answer_tokens(outcome.data),
                seconds,
            )
        )
    return answers


async def measure_all(folder: Path, size: Size) -> list[Answer]:
    """Build a large project and measure every tool that reads."""
    settings = Settings.from_environment({"KILN_MCP_HOME": str(folder / "home")})
    async with open_workspace(settings) as workspace:
        await build(folder / "project", settings.home, settings.database_url, size)
        store = await workspace.open_project(str(folder / "project"))
        task = await store.find(Task, "task/answer")
        runs = await store.children(task, TaskRun)
        run = next(run.id for run in runs if len(run.input) == size.long_text)
        return [
            answer
            for item in installed_catalogue().capabilities
            if item.effect is Effect.READS
            for answer in await measure(workspace, item, run)
        ]


def print_table(answers: list[Answer]) -> None:
    """Print the largest answer of each tool, then the median and maximum of all."""
    print("| tool | largest answer to | tokens | whole | seconds |\n|---|---|---|---|---|")
    by_tool: dict[str, list[Answer]] = {}
    for answer in answers:
        by_tool.setdefault(answer.tool, []).append(answer)
    for tool, own in by_tool.items():
        most = max(own, key=lambda answer: (answer.short, answer.whole))
        print(f"| {tool} | {most.call} | {most.short} | {most.whole} | {most.seconds:.2f} |")
    sizes, wholes = [a.short for a in answers], [a.whole for a in answers]
    print(f"\n{len(answers)} answers: median {statistics.median(sizes):.0f}, maximum {max(sizes)}")
    print(f"whole: median {statistics.median(wholes):.0f}, maximum {max(wholes)}")
    ratios = sorted(answer.estimate / answer.short for answer in answers)
    print(f"estimate / tokens: {ratios[0]:.2f} to {ratios[-1]:.2f}")


def main() -> None:
    """Measure and print; fail if an answer is too long."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--many", type=int, default=60, help="records of every other kind")
    options = parser.parse_args()
    size = Size(items=options.items, many=options.many, changes=12)
    with tempfile.TemporaryDirectory() as folder:
        answers = asyncio.run(measure_all(Path(folder), size))
    print_table(answers)
    if any(answer.short > MOST_TOKENS for answer in answers):
        raise SystemExit("an answer is too long")


if __name__ == "__main__":
    main()
