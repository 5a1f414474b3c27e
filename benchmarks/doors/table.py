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


@dataclass(slots=True)
class Row:
    """The figures of one row, one of each run, and those of its peers."""

    name: str
    question: str
    runs: list[Figures] = field(default_factory=list[Figures])
    peers: dict[str, list[Figures]] = field(default_factory=dict[str, list[Figures]])
    problem: str | None = None
    took_s: float = 0.0


def summary(runs: Sequence[Figures]) -> dict[str, dict[str, float]]:
    """Return median, smallest and largest of each figure."""
    names = dict.fromkeys(name for figures in runs for name in figures)
    values = {name: [figures[name] for figures in runs if name in figures] for name in names}
    return {
        name: {"median": statistics.median(many), "min": min(many), "max": max(many)}
        for name, many in values.items()
    }


def lines(row: Row) -> list[str]:
    """Return a row as lines of the Markdown table, one for each figure."""
    if row.problem is not None and not row.runs:
        return [f"| `{row.name}` | - | {row.problem} | | |"]
    others = {name: summary(runs) for name, runs in row.peers.items()}
    shown: list[str] = []
    for name, figure in summary(row.runs).items():
        value = _number(figure["median"])
        if len(row.runs) > 1:
            value += f" ({_number(figure['min'])} to {_number(figure['max'])})"
        beside = [
            f"{peer} {_number(figures[name]['median'])} "
            f"({figures[name]['median'] / figure['median']:.1f} times)"
            for peer, figures in others.items()
            if name in figures and figure["median"]
        ]
        goal = GOALS.get((row.name, name))
        verdict = "" if goal is None else ("yes" if figure["median"] <= goal else "no")
        wanted = "" if goal is None else f"≤ {goal:g}"
        shown.append(
            f"| `{row.name}` | {name} | {value} | {wanted} {verdict} | {', '.join(beside)} |"
        )
    return shown


def markdown(rows: Sequence[Row]) -> str:
    """Return the table; a peer's figure is followed by how many times ours it is."""
    head = [
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} cores, load "
        f"{os.getloadavg()[0]:.1f} at the end, Python {platform.python_version()}.",
        "",
        "| row | figure | value | goal, met | beside, to ours |",
        "|---|---|---|---|---|",
    ]
    questions = [f"- `{row.name}`: {row.question}" for row in rows]
    return "\n".join([*head, *(line for row in rows for line in lines(row)), "", *questions, ""])


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
