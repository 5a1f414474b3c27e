"""Compare the engine with gepa on the simulated world, in the same run.

python benchmarks/evolution/measure.py --world PATH/prompt_world --gepa-python VENV/bin/python

Each run is a line of `--out`; runs that have one are not repeated.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

OURS, GEPA = "plug_in:optimize", "gepa"
QUANTILES = {2: 12.71, 3: 4.3, 4: 3.18, 5: 2.78, 6: 2.57, 7: 2.45, 8: 2.36, 9: 2.31, 10: 2.26}
QUANTILES |= {15: 2.14, 20: 2.09, 30: 2.05}
"""Two-sided 95 % quantiles of Student's t, by the number of worlds."""
MARKS = ("300", "600", "1200")


def run_worlds(arguments: argparse.Namespace) -> None:
    """Run both optimizers on each world, one after the other, so that both meet the same load."""
    here = Path(__file__).resolve()
    paths = f"{here.parent}:{here.parents[2]}"
    first, last = map(int, arguments.worlds.split("-"))
    done = {(r["scenario"], r["seed"], r["optimizer"]) for r in read(arguments.out)}
    for scenario in arguments.scenarios.split(","):
        for world in range(first, last + 1):
            for name, python in ((OURS, sys.executable), (GEPA, arguments.gepa_python)):
                if (scenario, world, name) in done:
                    continue
                command = [
                    *(python, "run_bench.py", "--one", "--optimizer", name),
                    *("--scenario", scenario, "--world-seed", str(world)),
                ]
                end = subprocess.run(
                    command,
                    cwd=arguments.world,
                    env={"PYTHONPATH": paths},
                    capture_output=True,
                    text=True,
                    timeout=600,
                    check=False,
                )
                lines = [line for line in end.stdout.splitlines() if line.startswith("RESULT ")]
                if not lines:
                    sys.exit(end.stderr[-2000:])
                with arguments.out.open("a", encoding="utf-8") as file:
                    file.write(lines[0].removeprefix("RESULT ") + "\n")


def read(path: Path) -> list[dict]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_at(row: dict, calls: float) -> float:
    """Return the held-out score of the best prompt after so many calls."""
    return [point[3] for point in row["curve"] if point[0] <= calls][-1]


def mean_and_half_width(values: list[float]) -> str:
    half = QUANTILES.get(len(values), 2.2) * statistics.stdev(values) / len(values) ** 0.5
    return f"{statistics.mean(values):.3f} ± {half:.3f}"


def print_table(path: Path) -> None:
    rows = read(path)
    scenarios = list(dict.fromkeys(row["scenario"] for row in rows))
    print("| scenario | optimizer | 300 | 600 | 1,200 | at gepa's cost | wall | in flight | over |")
    print("|---|---|---|---|---|---|---|---|---|")
    for scenario in scenarios:
        pairs: dict[int, dict[str, dict]] = {}
        for row in rows:
            if row["scenario"] == scenario:
                pairs.setdefault(row["seed"], {})[row["optimizer"]] = row
        whole = [pair for pair in pairs.values() if len(pair) == 2]
        if len(whole) < 2:
            continue
        for name in (OURS, GEPA):
            own = [pair[name] for pair in whole]
            marks = [mean_and_half_width([test_at(r, int(m)) for r in own]) for m in MARKS]
            # A reflection counts as eight calls.
            costs = [1200 + 8 * pair[GEPA]["stats"]["reflect_calls"] for pair in whole]
            prices = [
                1 + 8 * r["stats"]["reflect_calls"] / max(1, r["stats"]["task_calls"]) for r in own
            ]
            same = [test_at(r, c / p) for r, c, p in zip(own, costs, prices, strict=True)]
            wall = statistics.mean(r["wall_s"] for r in own)
            ratio = wall / statistics.mean(pair[GEPA]["wall_s"] for pair in whole)
            flight = statistics.mean(r["stats"]["avg_in_flight"] for r in own)
            over = max(r["overshoot"] for r in own)
            print(
                f"| {scenario} | {name} | {' | '.join(marks)} | {mean_and_half_width(same)} | "
                f"{wall:.1f} s ({ratio:.2f}) | {flight:.1f} | {over} |"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--world", type=Path)
    parser.add_argument("--gepa-python")
    parser.add_argument("--worlds", default="0-9")
    parser.add_argument("--scenarios", default="det,noisy,binary_noisy,multi")
    parser.add_argument("--out", type=Path, default=Path("evolution_runs.jsonl"))
    arguments = parser.parse_args()
    if arguments.world:
        run_worlds(arguments)
    print_table(arguments.out)


if __name__ == "__main__":
    main()
