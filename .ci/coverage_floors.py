"""Hold the branch coverage of every room to its floor, which only ever rises.

    python .ci/coverage_floors.py coverage.json            # check
    python .ci/coverage_floors.py coverage.json --raise    # write higher floors where reached

The floors are whole percents of lines and branches together, in coverage_floors.toml. A room is a
folder of kiln_mcp, or a package; a new room starts with the floor of the whole.
"""

import json
import sys
import tomllib
from collections import Counter, defaultdict
from pathlib import Path

FLOORS = Path(__file__).with_name("coverage_floors.toml")
HEAD = (
    "# Percent of lines and branches. Raise with: .ci/coverage_floors.py .coverage.json --raise\n"
)
WHOLE = "whole"
WITH_EXTRA = ("kiln_mcp/tuning/local/trainer/", "kiln_mcp/llm/providers/folder_program.py")
"""What runs in processes of its own with the extra `tune` alone; tests marked `torch` run it."""
GOALS = dict.fromkeys(("evals", "judging", "specs", "synthesis", "evolution", "statistics"), 95)


def room_of(path: str) -> str:
    """Return the room of a file: "kiln_mcp/evals", "kiln_mcp" for its own modules, "storage"."""
    package, *inner = Path(path).parts
    return f"{package}/{inner[0]}" if package == "kiln_mcp" and len(inner) > 1 else package


def percents(report: Path) -> dict[str, float]:
    """Return the coverage of every room and of the whole.

    A file has several entries if processes in other folders ran it: it is covered where one did.
    """
    root = Path.cwd()
    covered: defaultdict[str, set[str]] = defaultdict(set)
    there: defaultdict[str, set[str]] = defaultdict(set)
    for name, file in json.loads(report.read_text(encoding="utf-8"))["files"].items():
        path = Path(name)
        inside = str(path.relative_to(root) if path.is_absolute() else path)
        if inside.startswith(WITH_EXTRA):
            continue
        for what in ("lines", "branches"):
            covered[inside] |= {f"{what} {place}" for place in file[f"executed_{what}"]}
            there[inside] |= {f"{what} {place}" for place in file[f"missing_{what}"]}
    in_rooms: Counter[str] = Counter()
    covered_in_rooms: Counter[str] = Counter()
    for name, places in covered.items():
        for room in (room_of(name), WHOLE):
            covered_in_rooms[room] += len(places)
            in_rooms[room] += len(places | there[name])
    return {room: 100 * covered_in_rooms[room] / count for room, count in in_rooms.items() if count}


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
