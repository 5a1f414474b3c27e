"""Ours beside its peers: one loopback server a run, medians, one table.

    python side_by_side.py [--calls 1000] [--at-once 25 100] [--runs 3] [--peer NAME=COMMAND ...]

NAME is one of the peers below; COMMAND is what runs its script: a venv's python, or for promptfoo
`env PROMPTFOO=.../node_modules/promptfoo node`. Ours and the raw client run in this interpreter.
Heavy peers run `--heavy-runs` times (once unless told). Every run has `--limit` seconds; proxies
that lead nowhere are set, so that what obeys them cannot leave loopback.
"""

import argparse
import http.client
import json
import os
import shlex
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
NOWHERE = "http://127.0.0.1:9"


@dataclass(frozen=True, slots=True)
class Contender:
    name: str
    script: str
    answer: str = '{"score": "pass"}'
    heavy: bool = True
    more: tuple[str, ...] = ()
    calls: int | None = None


OURS = (
    Contender("ours", "ours.py", heavy=False),
    Contender("ours-litellm", "ours.py", more=("litellm",)),
    Contender("raw", "raw.py", heavy=False),
)
REPLAY = Contender("ours-10000", "ours.py", heavy=False, calls=10_000)
PEERS = (
    Contender("pydantic-evals", "peer_pydantic_evals.py"),
    Contender("inspect-ai", "peer_inspect.py"),
    Contender("deepeval", "peer_deepeval.py", '{"score": 9, "reason": "polite"}'),
    Contender("kiln", "peer_kiln.py"),
    Contender("promptfoo", "peer_promptfoo.mjs", '{"pass": true, "score": 1, "reason": "polite"}'),
)


@dataclass(frozen=True, slots=True)
class Run:
    """`wall` and `cpu` are of the calls alone; `whole` is from the process's start to its end."""

    wall: float
    cpu: float
    peak: float
    whole: float
    replay: float | None


@contextmanager
def serving(wait: float, answer: str) -> Iterator[int]:
    command = [sys.executable, str(HERE / "server.py"), str(wait), "0", answer]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        yield int(server.stdout.readline())
    finally:
        server.kill()
        server.communicate(timeout=10)


def answered(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/")
    return int(connection.getresponse().read())


def environment(folder: str) -> dict[str, str]:
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), NOWHERE)
    local = {
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }
    path = os.pathsep.join(filter(None, (str(HERE.parents[1]), os.environ.get("PYTHONPATH"))))
    return {**os.environ, **proxies, **local, "TMPDIR": folder, "PYTHONPATH": path}


def timed(command: list[str], folder: str, limit: float) -> tuple[str, str, float]:
    """Run in a session of its own, so that past the limit all it started can be ended."""
    started = time.perf_counter()
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        told, errors = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    return told, errors, time.perf_counter() - started


def once(
    contender: Contender, command: list[str], at_once: int, options: argparse.Namespace
) -> Run:
    calls = contender.calls or options.calls
    with serving(options.wait, contender.answer) as port, tempfile.TemporaryDirectory() as folder:
        script = str(HERE / contender.script)
        arguments = [str(port), str(calls), str(at_once), *contender.more]
        told, errors, whole = timed([*command, script, *arguments], folder, options.limit)
        made = answered(port)
    lines = [line for line in told.splitlines() if line.startswith('{"path"')]
    if not lines:
        raise RuntimeError(f"{contender.name} told no figures: {(errors or told)[-2000:]}")
    if made - calls not in {0, 1}:  # ours makes one call to warm up
        raise RuntimeError(f"{contender.name} made {made} calls for {calls} items")
    figures = json.loads(lines[-1])
    return Run(
        figures["wall_s"],
        figures["cpu_ms_a_call"],
        figures["peak_mib"],
        whole,
        figures.get("replay_s"),
    )


def median(runs: list[Run]) -> Run:
    replays = [run.replay for run in runs if run.replay is not None]
    return Run(
        statistics.median(run.wall for run in runs),
        statistics.median(run.cpu for run in runs),
        statistics.median(run.peak for run in runs),
        statistics.median(run.whole for run in runs),
        statistics.median(replays) if replays else None,
    )


def options_given() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--at-once", type=int, nargs="+", default=[25, 100])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--heavy-runs", type=int, default=1)
    parser.add_argument("--wait", type=float, default=50, help="milliseconds an answer takes")
    parser.add_argument("--limit", type=float, default=240, help="seconds a run may take")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=COMMAND")
    parser.add_argument("--only", nargs="+", help="names to run, of all that could")
    return parser.parse_args()


def chosen(options: argparse.Namespace) -> list[tuple[Contender, list[str]]]:
    commands = dict(given.split("=", 1) for given in options.peer)
    if unknown := commands.keys() - {peer.name for peer in PEERS}:
        names = ", ".join(peer.name for peer in PEERS)
        raise SystemExit(f"There is no peer {', '.join(sorted(unknown))}. The peers are {names}.")
    every = [(contender, [sys.executable]) for contender in OURS]
    every += [(peer, shlex.split(commands[peer.name])) for peer in PEERS if peer.name in commands]
    every.append((REPLAY, [sys.executable]))
    return [pair for pair in every if not options.only or pair[0].name in options.only]


def row(contender: Contender, at_once: int, taken: Run, ours: Run | None) -> str:
    ratio = f"{taken.wall / ours.wall:.1f}" if ours and contender.calls is None else ""
    replay = "" if taken.replay is None else f"{taken.replay:.2f}"
    return (
        f"| {contender.name} | {at_once} | {taken.wall:.2f} | {taken.cpu:.2f} | {taken.peak:.0f} "
        f"| {ratio} | {replay} | {taken.whole:.1f} |"
    )


def main() -> None:
    options = options_given()
    columns = "at once | wall s | CPU ms an item | peak MiB | wall to ours | replay s | whole s"
    print(f"| engine | {columns} |\n|---|---|---|---|---|---|---|---|", flush=True)
    for at_once in options.at_once:
        ours: Run | None = None
        for contender, command in chosen(options):
            runs = options.heavy_runs if contender.heavy else options.runs
            try:
                taken = median([once(contender, command, at_once, options) for _ in range(runs)])
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                print(f"| {contender.name} | {at_once} | failed |", flush=True)
                print(error, file=sys.stderr)
                continue
            ours = taken if contender.name == "ours" else ours
            print(row(contender, at_once, taken, ours), flush=True)


if __name__ == "__main__":
    main()
