"""Whether a plan reaches its quotas, says which it does not reach, and keeps aim and topic apart.

Plans are carried out at the door, by a scripted writer that drops inputs, a task whose outputs are
flawed, an editor and judges that err at known rates. For each clause and outcome the items in the
project are counted again from its files, and compared with what the answer and the report say.
Then plans of 1 to 20 topics are drawn: how far aim and topic are from independence, by the largest
distance of a cell from its expected count (a table of whole numbers cannot promise less than 1) and
by Cramér's V, beside plans whose aims and topics both take turns.

    python benchmarks/synthesis/coverage.py [--plans 5] [--seeds 20]
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "fakes")]

from clause_judges import ClauseWorld, World  # noqa: E402
from data_writer import carried_out, data_project, planned, runs_in  # noqa: E402
from kiln_mcp.llm import ModelRequest  # noqa: E402
from kiln_mcp.synthesis.coverage_plan import Aim, Factors, plan_slots, usual_quotas  # noqa: E402
from kiln_mcp.synthesis.report_service import report_data  # noqa: E402
from storage import TaskRun  # noqa: E402

COUNT = 60
CLAUSES = ("c1", "c2", "c3", "c4")


class FaultyWriter(ClauseWorld):
    """Writes no input for a share of the slots it is asked for."""

    def __init__(self, world: World, dropped: float, seed: int) -> None:
        super().__init__(world, seed)
        self.dropped = dropped

    def inputs(self, request: ModelRequest, number: int) -> list[dict[str, object]]:
        """Return inputs for some slots of a request."""
        rows = super().inputs(request, number)
        return [row for row in rows if self.chooser.random() >= self.dropped]


WORLDS = {
    "all goes well": (World(error=0.0, success=1.0, side_effect=0.0), 0.0),
    "half of the inputs dropped": (World(error=0.0, success=1.0, side_effect=0.0), 0.5),
    "edits fail in half": (World(error=0.0, success=0.5, side_effect=0.0), 0.0),
    "judges err in 10 %": (World(error=0.1, success=0.8, side_effect=0.1), 0.1),
    "a third of outputs flawed": (World(error=0.05, success=0.8, side_effect=0.1, flawed=0.2), 0.1),
}


def outcomes_of(runs: Sequence[TaskRun]) -> Counter[tuple[str, str]]:
    """Return the items of each clause and outcome, as the files of a project hold them."""
    counts: Counter[tuple[str, str]] = Counter()
    for run in runs:
        assert run.input_source is not None
        assert run.output.source is not None
        made_for = run.input_source.properties
        outcome = run.output.source.properties.get("outcome") or made_for["aim"]
        counts[str(made_for.get("clause", "")), str(outcome)] += 1
    return counts


async def measure_quotas(plans: int) -> None:
    """Print how many quotas are reached, and whether each shortfall is said with its number."""
    print("| world | quotas | reached | short | said in the answer | said by the report, too |")
    print("|---|---|---|---|---|---|")
    for name, (world, dropped) in WORLDS.items():
        totals: Counter[str] = Counter()
        for seed in range(plans):
            with TemporaryDirectory() as folder:
                writer = FaultyWriter(world, dropped, seed)
                totals.update(await _quotas(Path(folder), writer, seed))
        print(
            f"| {name} | {totals['quotas']} | {totals['reached']} | {totals['short']} | "
            f"{totals['said']} | {totals['reported']} |"
        )


async def _quotas(folder: Path, writer: FaultyWriter, seed: int) -> Counter[str]:
    """Carry out a plan, and count its quotas by what became of them and what is said of them."""
    async with data_project(folder, writer) as (workspace, project):
        wishes = {"count": COUNT, "topics": ["a", "b", "c"], "spec": "Polite", "pairs": True}
        plan = await planned(workspace, project, {**wishes, "seed": seed})
        made = await carried_out(workspace, project, plan.id)
        counts = outcomes_of(await runs_in(workspace, project))
        gaps = (await report_data(workspace, project)).gaps
    rows = {(row.clause or "", row.outcome): row for row in made.by_outcome}
    totals: Counter[str] = Counter()
    for clause in plan.clauses:
        for outcome, quota in clause.quotas.items():
            there, row = counts[clause.clause, outcome], rows[clause.clause, outcome]
            totals["quotas"] += 1
            if there >= quota:
                totals["reached"] += 1
                continue
            totals["short"] += 1
            totals["said"] += (row.items, row.quota) == (there, quota) and bool(row.why)
            sentence = f"has {there} of {quota} {outcome} items for the clause '{clause.text}"
            totals["reported"] += any(sentence in gap for gap in gaps)
    return totals


def distances(pairs: Sequence[tuple[str, str]]) -> tuple[float, float]:
    """Return the largest distance of a cell from its expected count, and Cramér's V."""
    cells = Counter(pairs)
    rows, columns = Counter(own for own, _ in pairs), Counter(own for _, own in pairs)
    largest = chi_square = 0.0
    for row, row_count in rows.items():
        for column, column_count in columns.items():
            expected = row_count * column_count / len(pairs)
            distance = cells[row, column] - expected
            largest = max(largest, abs(distance))
            chi_square += distance**2 / expected
    smaller = min(len(rows), len(columns)) - 1
    return largest, (chi_square / (len(pairs) * smaller)) ** 0.5 if smaller else 0.0


def measure_design(seeds: int) -> None:
    """Print how far aim and topic are from independence for 1 to 20 topics."""
    aims = [Aim.PASS, Aim.PASS, Aim.FAIL, Aim.FAIL, Aim.BORDERLINE]
    print("| items | largest distance | mean V | cells of 1 or more | V, both taking turns |")
    print("|---|---|---|---|---|")
    for count in (40, 100, 200):
        largest, values, turns, far = 0.0, list[float](), list[float](), 0
        for topic_count in range(1, 21):
            topics = {f"topic {number}": 1 for number in range(topic_count)}
            for seed in range(seeds):
                slots = plan_slots(usual_quotas(CLAUSES, count), Factors(topics), seed)
                distance, value = distances([(slot.topic, slot.aim) for slot in slots])
                largest, far = max(largest, distance), far + (distance >= 1)
                values.append(value)
            names = list(topics)
            pairs = [(names[n % topic_count], aims[n % len(aims)]) for n in range(count)]
            turns.append(distances(pairs)[1])
        mean, worst = sum(values) / len(values), max(turns)
        print(f"| {count} | {largest:.2f} | {mean:.3f} | {far} | up to {worst:.2f} |")


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plans", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=20)
    arguments = parser.parse_args()
    anyio.run(measure_quotas, arguments.plans)
    print()
    measure_design(arguments.seeds)


if __name__ == "__main__":
    main()
