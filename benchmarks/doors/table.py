"""The table of a run: medians beside goals and peers, as JSON and as Markdown."""

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from place import Figures

GOALS: Final[Mapping[tuple[str, str], float]] = {
    ("start", "version_cpu_s"): 0.1,
    ("start", "help_cpu_s"): 0.1,
    ("start", "describe_project_cpu_s"): 0.4,
    ("chat", "first_request_s"): 1.0,
    ("list-cold", "legacy_s"): 0.1,
    ("list-cold", "modern_s"): 0.1,
    ("writers", "p99_ms"): 50,
    ("writers", "cpu_ms_a_save"): 0.5,
    ("run-eval-25", "calls_span_s"): 2.6,
    ("run-eval-25", "wall_s"): 3.5,
    ("run-eval-25", "cpu_ms_an_item"): 1.5,
    ("run-eval-25", "from_cache_wall_s"): 1.0,
    ("run-eval-100", "calls_span_s"): 1.2,
    ("run-eval-100", "wall_s"): 2.0,
    ("run-eval-100", "from_cache_wall_s"): 1.0,
    ("generate-and-check", "cpu_ms_an_item"): 2.0,
    ("nothing-to-do-1000", "wall_s"): 0.3,
    ("nothing-to-do-10000", "wall_s"): 1.0,
    ("nothing-to-do-10000", "daemon_mib"): 200,
    ("nothing-to-do-10000", "compare_wall_s"): 0.6,
    ("inside-10000", "run_eval_wall_s"): 1.0,
    ("inside-10000", "show_results_wall_s"): 0.6,
    ("inside-10000", "check_judge_wall_s"): 1.0,
    ("inside-10000", "draw_items_to_label_wall_s"): 0.1,
    ("bulk-100000", "import_wall_s"): 30,
    ("bulk-100000", "index_wall_s"): 15,
    ("bulk-100000", "split_wall_s"): 60,
    ("demo", "wall_s"): 110,
}
"""The most that a figure may be."""
BESIDE: Final[Mapping[str, tuple[str, str]]] = {
    "import_wall_s": ("pandas", "pandas_wall_s"),
    "sync_wall_s": ("git add and commit", "git_alone_wall_s"),
}
"""What a row measures itself beside a figure: its name, and the figure that holds it."""
HEAD: Final = (
    "| row | figure | value | goal | met | beside | ours / beside |",
    "|---|---|---|---|---|---|---|",
)


@dataclass(slots=True)
class Row:
    """The figures of one row, one of each run, and those of its peers.

    Attributes:
        name: The row's name.
        question: What it asks, in words.
        runs: The figures of each run.
        peers: The same of each peer.
        problem: Why it failed, or was left out; None if it was measured.
        took_s: Seconds that it took, setting up included.
        load: The machine's load when it began.
    """

    name: str
    question: str
    runs: list[Figures] = field(default_factory=list[Figures])
    peers: dict[str, list[Figures]] = field(default_factory=dict[str, list[Figures]])
    problem: str | None = None
    took_s: float = 0.0
    load: float = 0.0


def summary(runs: Sequence[Figures]) -> dict[str, dict[str, float]]:
    """Return median, smallest and largest of each figure."""
    names = dict.fromkeys(name for figures in runs for name in figures)
    values = {name: [figures[name] for figures in runs if name in figures] for name in names}
    return {
        name: {"median": statistics.median(many), "min": min(many), "max": max(many)}
        for name, many in values.items()
    }


def lines(row: Row) -> list[str]:
    """Return a row as lines of the Markdown table: one for each figure, one for what failed."""
    own = summary(row.runs)
    others = {name: summary(runs) for name, runs in row.peers.items()}
    hidden = {source for figure, (_, source) in BESIDE.items() if figure in own}
    shown: list[str] = []
    for name, figure in own.items():
        if name in hidden:
            continue
        beside = {
            peer: figures[name]["median"] for peer, figures in others.items() if name in figures
        }
        peer, source = BESIDE.get(name, ("", ""))
        if source in own:
            beside[peer] = own[source]["median"]
        shown.append(_line(row, name, figure, beside))
    if row.problem is not None:
        what = f"after {len(row.runs)} runs: " if row.runs else ""
        shown.append(f"| `{row.name}` | **failed** | {what}{row.problem} | | | | |")
    return shown


def _line(row: Row, name: str, figure: Mapping[str, float], beside: Mapping[str, float]) -> str:
    value = _number(figure["median"])
    if len(row.runs) > 1:
        value += f" ({_number(figure['min'])} to {_number(figure['max'])})"
    goal = GOALS.get((row.name, name))
    is_met = goal is None or figure["median"] <= goal
    cells = (
        f"`{row.name}`",
        name,
        value if is_met else f"**{value}**",
        "" if goal is None else f"{goal:g}",
        "" if goal is None else ("yes" if is_met else "no"),
        ", ".join(f"{peer} {_number(other)}" for peer, other in beside.items()),
        ", ".join(f"{figure['median'] / other:.2f}" for other in beside.values() if other),
    )
    return f"| {' | '.join(cells)} |"


def markdown(rows: Sequence[Row]) -> str:
    """Return the table as it goes into the README; figures that miss their goals are bold."""
    loads = [row.load for row in rows]
    head = [
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} cores, load at the begin of a "
        f"row {min(loads, default=0):.1f} to {max(loads, default=0):.1f}, Python "
        f"{platform.python_version()}.",
        "",
        *HEAD,
    ]
    return "\n".join([*head, *(line for row in rows for line in lines(row)), ""])


def write(rows: Sequence[Row], folder: Path, versions: Mapping[str, str]) -> None:
    """Write `doors.json` and `doors.md`; after each row, so that a stop leaves what is there."""
    folder.mkdir(parents=True, exist_ok=True)
    data = {
        "at": datetime.now(UTC).isoformat(),
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
        "peers": dict(versions),
        "goals": {f"{row}/{name}": goal for (row, name), goal in GOALS.items()},
        "rows": [asdict(row) for row in rows],
    }
    (folder / "doors.json").write_text(json.dumps(data, indent=2), encoding="utf-8")
    (folder / "doors.md").write_text(markdown(rows), encoding="utf-8")


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.2f}"
