"""Hold the branch coverage of every room to its floor, which only ever rises.

    python .ci/coverage_floors.py coverage.json            # check
    python .ci/coverage_floors.py coverage.json --raise    # write higher floors where reached

The floors are whole percents of lines and branches together, in coverage_floors.toml. A room is a
folder of kiln_mcp, or a package; a new room starts with the floor of the whole.
"""

import json
import sys
import tomllib
from collections import Counter
from pathlib import Path

FLOORS = Path(__file__).with_name("coverage_floors.toml")
HEAD = (
    "# Percent of lines and branches. Raise with: .ci/coverage_floors.py .coverage.json --raise\n"
)
WHOLE = "whole"
GOALS = dict.fromkeys(("evals", "judging", "specs", "synthesis", "evolution", "statistics"), 95)


def room_of(path: str) -> str:
    """Return the room of a file: "kiln_mcp/evals", "kiln_mcp" for its own modules, "storage"."""
    package, *inner = Path(path).parts
    return f"{package}/{inner[0]}" if package == "kiln_mcp" and len(inner) > 1 else package


def percents(report: Path) -> dict[str, float]:
    """Return the coverage of every room and of the whole."""
    covered: Counter[str] = Counter()
    there: Counter[str] = Counter()
    root = Path.cwd()
    for name, file in json.loads(report.read_text(encoding="utf-8"))["files"].items():
        summary = file["summary"]
        path = Path(name)
        inside = path.relative_to(root) if path.is_absolute() else path
        for room in (room_of(str(inside)), WHOLE):
            covered[room] += summary["covered_lines"] + summary["covered_branches"]
            there[room] += summary["num_statements"] + summary["num_branches"]
    return {room: 100 * covered[room] / count for room, count in there.items() if count}


def main() -> int:
    """Print a table; return 1 where a room is below its floor, or a floor has no room."""
    measured = percents(Path(sys.argv[1]))
    floors: dict[str, int] = tomllib.loads(FLOORS.read_text(encoding="utf-8"))
    if "--raise" in sys.argv:
        raised = {room: max(floors.get(room, 0), int(now)) for room, now in measured.items()}
        lines = (f'"{room}" = {floor}\n' for room, floor in sorted(raised.items()))
        FLOORS.write_text(HEAD + "".join(lines), encoding="utf-8")
        floors = raised
    failed = [f"{room} has a floor but no file: take it out." for room in floors.keys() - measured]
    for room, now in sorted(measured.items()):
        floor = floors.get(room, floors.get(WHOLE, 0))
        goal = GOALS.get(room.rpartition("/")[2])
        note = f", goal {goal}" if goal and goal > now else ""
        print(f"{room:28} {now:6.1f} %  floor {floor}{note}")
        if now < floor:
            failed.append(f"{room} has fallen to {now:.1f} %, its floor is {floor} %: add tests.")
    print(*failed, sep="\n")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
