"""Ours beside its peers: one loopback server a run, medians, one table.

    python side_by_side.py [--calls 1000] [--at-once 25 100] [--runs 3] [--peers FOLDER]

FOLDER holds the peers as `install.py` leaves them; ours and the raw client run in this interpreter.
Heavy peers run `--heavy-runs` times (once unless told). Each round runs every engine once, so that
other work on the machine falls on all. Every run has `--limit` seconds; proxies that lead nowhere
are set, so that what obeys them cannot leave loopback.
"""

import argparse
import http.client
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import install

HERE: Final = Path(__file__).parent
NOWHERE: Final = "http://127.0.0.1:9"
LOCAL: Final = {
    "NO_PROXY": "127.0.0.1",
    "no_proxy": "127.0.0.1",
    "KILN_SKIP_REMOTE_MODEL_LIST": "true",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
}


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
def serving(wait: float, answer: str) -> Generator[int]:
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
    path = os.pathsep.join(filter(None, (str(HERE.parents[1]), os.environ.get("PYTHONPATH"))))
    return {**os.environ, **proxies, **LOCAL, "HOME": folder, "TMPDIR": folder, "PYTHONPATH": path}


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


def median(runs: Sequence[Run]) -> Run:
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
    parser.add_argument("--peers", type=Path, help="the folder that install.py was given")
    parser.add_argument("--only", nargs="+", help="names to run, of all that could")
    return parser.parse_args()


def chosen(options: argparse.Namespace) -> dict[Contender, list[str]]:
    commands = {contender: [sys.executable] for contender in (*OURS, REPLAY)}
    for peer in PEERS:
        if options.peers is not None and (options.peers / peer.name).exists():
            commands[peer] = install.command(peer.name, options.peers)
            print(peer.name, install.version(peer.name, options.peers), file=sys.stderr)
    only = options.only or [contender.name for contender in commands]
    return {contender: command for contender, command in commands.items() if contender.name in only}


def taken(options: argparse.Namespace, at_once: int) -> dict[Contender, list[Run]]:
    """Run all engines in rounds; one that fails says so and is left out."""
    commands = chosen(options)
    runs: dict[Contender, list[Run]] = {contender: [] for contender in commands}
    for turn in range(max(options.runs, options.heavy_runs)):
        for contender, command in commands.items():
            if turn >= (options.heavy_runs if contender.heavy else options.runs):
                continue
            try:
                run = once(contender, command, at_once, options)
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                print(f"{contender.name} failed: {error}", file=sys.stderr)
                continue
            print(contender.name, at_once, run, file=sys.stderr, flush=True)
            runs[contender].append(run)
    return {contender: of_it for contender, of_it in runs.items() if of_it}


def row(contender: Contender, at_once: int, runs: Sequence[Run], ours: Run) -> str:
    of_all = median(runs)
    ratios = f"{of_all.wall / ours.wall:.1f} | {of_all.cpu / ours.cpu:.1f}"
    replay = "" if of_all.replay is None else f"{of_all.replay:.2f}"
    return (
        f"| {contender.name} | {at_once} | {of_all.wall:.2f} | {of_all.cpu:.2f} "
        f"| {of_all.peak:.0f} | {' | ' if contender.calls else ratios} | {replay} | {len(runs)} |"
    )


def main() -> None:
    options = options_given()
    print("| engine | at once | wall s | CPU ms | peak MiB | wall to ours | CPU to ours | ", end="")
    print(f"replay s | runs |\n{'|---' * 9}|", flush=True)
    for at_once in options.at_once:
        runs = taken(options, at_once)
        ours = median(runs[OURS[0]])
        for contender, of_it in runs.items():
            print(row(contender, at_once, of_it, ours), flush=True)


if __name__ == "__main__":
    main()
