"""The demo's own wall time, model calls and gain, seed by seed, each with an empty response cache.

.venv/bin/python benchmarks/house/demo.py 7 1 2 3 4
.venv/bin/python benchmarks/house/demo.py --keep FOLDER 7  # for compare_answers.py
"""

import io
import resource
import sqlite3
from argparse import ArgumentParser
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
from rich.console import Console

from kiln_mcp.demo import DemoReport, run_demo
from kiln_mcp.llm import EngineSettings
from kiln_mcp.settings import Settings


async def run(seed: int, place: Path) -> DemoReport:
    home = place / "home"
    settings = Settings(home=home, engine=EngineSettings(response_cache=home / "responses.sqlite"))
    return await run_demo(place / "out", Console(file=io.StringIO()), settings=settings, seed=seed)


def cpu_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def tokens_in(responses: Path) -> tuple[int, int]:
    """Return the tokens that the model read anew, and those that it wrote.

    Of the processor's work they are the part that other programs on the machine do not change.
    """
    connection = sqlite3.connect(responses)
    try:
        question = "SELECT sum(input_tokens - cached_tokens), sum(output_tokens) FROM calls"
        ((read, written),) = connection.execute(question)
    finally:
        connection.close()
    return read or 0, written or 0


def main() -> None:
    parser = ArgumentParser()
    parser.add_argument("seeds", nargs="*", type=int, default=[7])
    parser.add_argument("--keep", type=Path, help="an empty folder for the homes, by seed")
    options = parser.parse_args()
    print("seed  seconds  CPU s  calls   read  written  start  winner  difference  95 % interval")
    for seed in options.seeds:
        kept = nullcontext(str(options.keep / str(seed))) if options.keep else TemporaryDirectory()
        cpu_before = cpu_seconds()
        with kept as place:
            report = anyio.run(run, seed, Path(place))
            read, written = tokens_in(Path(place) / "home" / "responses.sqlite")
        cpu = cpu_seconds() - cpu_before
        compared = report.journey.comparison
        if compared is None:
            print(f"{seed:4}  {report.seconds:7.0f}  {cpu:5.0f}  {report.calls:5}  ", end="")
            print(f"{read:5}  {written:7}  no gain")
            continue
        start = next(row for row in compared.rows if row.difference is None)
        winner = next(row for row in compared.rows if row.difference is not None)
        print(
            f"{seed:4}  {report.seconds:7.0f}  {cpu:5.0f}  {report.calls:5}  "
            f"{read:5}  {written:7}  "
            f"{start.mean:5.3f}  {winner.mean:6.3f}  {winner.difference:+10.3f}  "
            f"{winner.low:+.3f} to {winner.high:+.3f}"
        )


if __name__ == "__main__":
    main()
