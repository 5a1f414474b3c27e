"""Measure the doors that people use: the command line with its daemon, one row a question.

    python benchmarks/doors/measure.py                     # all rows, with the peers
    python benchmarks/doors/measure.py --rows start,chat --runs 3 --no-peers

Each row starts from a home and a project of its own. Rows that ask a model ask a loopback server
that answers after 50 ms and notes when it was asked. The peers are installed where `--peers` says,
each in a venv of its own, and take turns with ours. Figures are medians; CPU is of the command and
the daemon together. The table is written after each row to `doors.json` and `doors.md` in `--out`.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import bulk_rows
import eval_rows
import start_rows
from peers import Peer, generating, install_all, judging
from place import LIMIT_S, Figures, children_cpu
from table import Row, lines, markdown, write

DEMO: Final = Path(__file__).parents[1] / "house" / "demo.py"
MINUTES: Final = 60.0
NO_PEERS: Final[Mapping[str, Peer]] = {}


@dataclass(frozen=True, slots=True)
class Question:
    """What a row asks.

    Attributes:
        text: In words.
        measure: Runs it once.
        runs: How often, unless told.
        peers: Returns what runs in turns with it.
    """

    text: str
    measure: Callable[[], Figures]
    runs: int = 1
    peers: Callable[[bool], Mapping[str, Peer]] = lambda _: NO_PEERS


def demo() -> Figures:
    """The demo, with the embedded model and an empty response cache."""
    began, before = time.perf_counter(), children_cpu()
    done = subprocess.run(
        [sys.executable, str(DEMO), "7"],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=True,
    )
    wall, cpu = time.perf_counter() - began, children_cpu() - before
    counts = re.search(r"^ +\d+ +\d+ +\d+ +(\d+) +(\d+) +(\d+)", done.stdout, re.MULTILINE)
    names = ("calls", "tokens_read", "tokens_written")
    figures = dict(zip(names, map(float, counts.groups()), strict=True)) if counts else {}
    return {"wall_s": wall, "cpu_s": cpu, **figures}


def pandas_python() -> Path | None:
    """Return the interpreter of the venv with pandas, if peers run."""
    folder = os.environ.get("PEERS")
    return Path(folder) / "pandas" / "bin" / "python" if folder else None


QUESTIONS: Final[Mapping[str, Question]] = {
    "start": Question("`--version`, `--help`, `describe-project`, daemon warm", start_rows.start),
    "chat": Question("kiln-chat from its start to the first request", start_rows.chat),
    "list-cold": Question(
        "spawn to the answer to tools/list, no daemon", lambda: start_rows.listing(cold=True), 3
    ),
    "list-warm": Question("the same with a daemon", lambda: start_rows.listing(cold=False)),
    "writers": Question("16 tasks of one process save 1,000 verdicts", eval_rows.writers, 3),
    "run-eval-25": Question(
        "1,000 outputs, LLM judge, a server that allows 25 at once",
        lambda: eval_rows.run_eval(25),
        3,
        lambda has_peers: judging(25, has_peers),
    ),
    "run-eval-100": Question(
        "the same, 100 at once",
        lambda: eval_rows.run_eval(100),
        3,
        lambda has_peers: judging(100, has_peers),
    ),
    "generate-and-check": Question(
        "1,000 outputs by a model, each checked", eval_rows.generate_and_check, 3, generating
    ),
    "generate-data": Question(
        "500 outputs for inputs of the caller", lambda: eval_rows.generate_data(500)
    ),
    "nothing-to-do-1000": Question(
        "run-eval when all verdicts are there", lambda: eval_rows.nothing_to_do(1000), 3
    ),
    "nothing-to-do-10000": Question(
        "the same, and show-results that compares",
        lambda: eval_rows.nothing_to_do(10_000, compares=True),
    ),
    "inside-10000": Question(
        "capabilities inside a warm process: see warm.py", lambda: eval_rows.inside(10_000)
    ),
    "bulk-10000": Question(
        "import a table, index from nothing, split templated texts",
        lambda: bulk_rows.bulk(10_000, pandas_python()),
    ),
    "changes-10000": Question(
        "tag 10,000 runs, sync them, delete them", lambda: bulk_rows.changes(10_000)
    ),
    "demo": Question("the demo with the embedded model", demo),
    "bulk-100000": Question(
        "import, index and split of 100,000", lambda: bulk_rows.bulk(100_000, pandas_python())
    ),
    "nothing-to-do-50000": Question(
        "run-eval when all verdicts are there", lambda: eval_rows.nothing_to_do(50_000)
    ),
}


def measure_row(name: str, runs: int, folder: Path | None) -> Row:
    """Measure a row, its peers in turns with it."""
    question = QUESTIONS[name]
    row = Row(name, question.text, load=os.getloadavg()[0])
    others = question.peers(folder is not None)
    began = time.perf_counter()
    try:
        for _ in range(runs):
            row.runs.append(question.measure())
            for peer, measure_peer in others.items():
                row.peers.setdefault(peer, []).append(measure_peer(folder or Path()))
    except Exception as error:  # noqa: BLE001 - the other rows go on
        row.problem = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        print(f"{name} failed: {error}", file=sys.stderr, flush=True)
    row.took_s = time.perf_counter() - began
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default=",".join(QUESTIONS))
    parser.add_argument("--runs", type=int, help="runs of each row; left out: 1 or 3, by row")
    parser.add_argument("--peers", type=Path, default=Path(tempfile.gettempdir(), "doors-peers"))
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--out", type=Path, default=Path(tempfile.gettempdir(), "doors"))
    parser.add_argument(
        "--minutes", type=float, default=MINUTES, help="when no row begins any more"
    )
    options = parser.parse_args()
    folder = None if options.no_peers else options.peers.absolute()
    versions = install_all(folder) if folder else {}
    if folder:
        os.environ["PEERS"] = str(folder)
    until = time.monotonic() + options.minutes * 60
    rows: list[Row] = []
    for name in options.rows.split(","):
        if time.monotonic() > until:
            rows.append(Row(name, QUESTIONS[name].text, problem="left out: the time is over"))
        else:
            rows.append(measure_row(name, options.runs or QUESTIONS[name].runs, folder))
        print("\n".join(lines(rows[-1])), flush=True)
        write(rows, options.out, versions)
    print(f"\n{markdown(rows)}\n{options.out}")


if __name__ == "__main__":
    main()
