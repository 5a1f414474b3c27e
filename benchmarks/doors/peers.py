"""The peers, each in a venv of its own, and the bare engine: the same calls, in turns with ours."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from place import ENGINE, LIMIT_S, Figures, children_cpu, model_server

sys.path.insert(0, str(ENGINE))

import install

NAMES: Final = ("pydantic-evals", "inspect-ai", "pandas")
PATH: Final = os.pathsep.join([str(ENGINE), str(ENGINE.parents[1])])
GENERATION: Final = Path(__file__).with_name("peer_inspect_generate.py")
Peer = Callable[[Path], Figures]


def install_all(folder: Path) -> dict[str, str]:
    """Install the peers that are missing; return the versions."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        install.install(name, folder)
    return {name: install.version(name, folder) for name in NAMES}


def python_of(folder: Path, name: str) -> str:
    return str(folder / name / "bin" / "python")


def call(python: str, script: Path, concurrency: int, answer: str) -> Figures:
    """Run a script of 1,000 calls against a server of its own."""
    with model_server(answer) as port:
        began, before = time.perf_counter(), children_cpu()
        done = subprocess.run(
            [python, str(script), str(port), "1000", str(concurrency)],
            capture_output=True,
            text=True,
            check=True,
            timeout=LIMIT_S,
            cwd=ENGINE,
            env={**os.environ, "PYTHONPATH": PATH, "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
        )
        whole, cpu = time.perf_counter() - began, children_cpu() - before
    figures = json.loads([line for line in done.stdout.splitlines() if line.startswith("{")][-1])
    return {
        "calls_span_s": figures["wall_s"],
        "wall_s": whole,
        "cpu_ms_an_item": cpu,
        "warm_cpu_ms_an_item": figures["cpu_ms_a_call"],
    }


def judging(concurrency: int, has_peers: bool) -> Mapping[str, Peer]:
    """Return what makes 1,000 judge calls; the engine has no evals, files or results."""
    score = '{"score": "pass"}'

    def bare(script: str) -> Peer:
        return lambda _: call(sys.executable, ENGINE / script, concurrency, score)

    def peer(name: str, script: str) -> Peer:
        return lambda folder: call(python_of(folder, name), ENGINE / script, concurrency, score)

    peers = {"bare engine": bare("ours.py"), "raw sockets": bare("raw.py")}
    if has_peers:
        peers |= {
            "pydantic-evals": peer("pydantic-evals", "peer_pydantic_evals.py"),
            "inspect-ai": peer("inspect-ai", "peer_inspect.py"),
        }
    return peers


def generating(has_peers: bool) -> Mapping[str, Peer]:
    """Return what makes 1,000 outputs and checks each."""
    if not has_peers:
        return {}
    return {
        "inspect-ai": lambda folder: call(
            python_of(folder, "inspect-ai"), GENERATION, 100, "thank you"
        )
    }
