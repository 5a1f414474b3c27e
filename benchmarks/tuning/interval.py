"""The accuracies of measure.py's results with their paired differences.

python benchmarks/tuning/interval.py FOLDER
"""

import json
import sys
from pathlib import Path

import numpy as np

from kiln_mcp.statistics.proportions import wilson_interval

DRAWS = 20_000


def main() -> None:
    results = json.loads(Path(sys.argv[1], "results.json").read_text(encoding="utf-8"))
    columns = {
        name: np.array(v) for name, v in results.items() if isinstance(v, list) and name != "load"
    }
    for name, column in columns.items():
        print(name, f"{column.mean():.3f}", wilson_interval(int(column.sum()), len(column)))
    tuned = columns.pop("tuned/tickets free")
    draw = np.random.default_rng(0)
    for name, column in columns.items():
        gains = tuned - column
        # The Bayesian bootstrap over items, as comparisons of run configs use it.
        weights = draw.dirichlet(np.ones(len(gains)), DRAWS)
        low, high = np.quantile(weights @ gains, [0.025, 0.975])
        wins, losses = int((gains > 0).sum()), int((gains < 0).sum())
        print(f"tuned - {name}: {gains.mean():+.3f} [{low:+.3f}, {high:+.3f}], {wins} : {losses}")


if __name__ == "__main__":
    main()
