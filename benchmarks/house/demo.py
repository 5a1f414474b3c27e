"""The demo's own wall time, model calls and gain, seed by seed, each with an empty response cache.

.venv/bin/python benchmarks/house/demo.py 7 1 2 3 4
"""

import io
import sys
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


def main() -> None:
    print("seed  seconds  calls  start  winner  difference  95 % interval")
    for seed in [int(given) for given in sys.argv[1:]] or [7]:
        with TemporaryDirectory() as place:
            report = anyio.run(run, seed, Path(place))
        compared = report.journey.comparison
        if compared is None:
            print(f"{seed:4}  {report.seconds:7.0f}  {report.calls:5}  nothing beat the start")
            continue
        row = compared.rows[0]
        print(
            f"{seed:4}  {report.seconds:7.0f}  {report.calls:5}  {row.first:5.3f}  "
            f"{row.second:6.3f}  {row.difference:+10.3f}  {row.low:+.3f} to {row.high:+.3f}"
        )


if __name__ == "__main__":
    main()
