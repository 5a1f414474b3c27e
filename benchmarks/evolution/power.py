"""How often a search and its claim show a true gain, and how often they claim a false one.

python benchmarks/evolution/power.py [--runs 200] [--nulls 400]

A feature passes or fails. Its pass rate is 30 %. One rule lifts the items of one kind, 40 % of all,
by 50 points, so the truth is 20 points. Every run of an item is a coin of its own: the noisiest
evaluator there is. A reviewer names the missing rule in nine of ten failures of that kind.
"""

import argparse
import asyncio
import math
import random
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from kiln_mcp.evolution.engine import (
    Candidate,
    Evaluation,
    Goal,
    Item,
    Measurement,
    ProposalRequest,
    claim_of,
    evolve,
    sight,
)
from kiln_mcp.statistics import level_of_use

START, RULE, HARM = "Answer the ticket.", "state the price", "answer in capitals"
FILLERS = ("work carefully", "be precise", "read twice", "stay friendly", "check the facts")
BASE, LIFT, KIND_SHARE = 0.3, 0.5, 0.4
SIZES = (60, 120, 240)


class Feature:
    """A feature under test, with coins that depend on candidate, item and repeat alone."""

    def __init__(self, seed: int, lift: float) -> None:
        self.seed, self.lift = seed, lift
        self.draw = random.Random(f"proposals {seed}")

    def items(self, part: str, count: int) -> list[Item]:
        draw = random.Random(f"{self.seed} {part}")
        kinds = [draw.random() < KIND_SHARE for _ in range(count)]
        return [Item(f"{part}{n}", kind, f"ticket {n}") for n, kind in enumerate(kinds)]

    def rate(self, text: str, item: Item) -> float:
        rate = BASE + self.lift * bool(item.value and RULE in text)
        return rate - 0.2 * (HARM in text)

    async def evaluate(self, candidate: Candidate, item: Item) -> Evaluation:
        return self.run(candidate, item, item.repeat)

    def run(self, candidate: Candidate, item: Item, repeat: int) -> Evaluation:
        coin = random.Random(f"{self.seed} {candidate.id} {item.id} {repeat}")
        is_pass = coin.random() < self.rate(candidate.text, item)
        names_rule = bool(item.value) and RULE not in candidate.text and coin.random() < 0.9
        feedback = f"The answer must {RULE if names_rule else coin.choice(FILLERS)}."
        return Evaluation({"pass": float(is_pass)}, "" if is_pass else feedback)

    async def propose(self, request: ProposalRequest) -> str:
        complaints = " ".join(case.evaluation.remarks for case in request.failures)
        chance = self.draw.random()
        if chance < 0.5 and RULE in complaints and RULE not in request.text:
            line = RULE
        else:
            line = HARM if chance > 0.85 else self.draw.choice(FILLERS)
        return f"{request.text}\n- Always {line}."


@dataclass(frozen=True)
class End:
    """How a search and its claims ended.

    Attributes:
        is_found: Whether the search found the rule.
        claims: Whether a gain was claimed, by the size of the test part.
        repeats: How often each item was run, by the same.
    """

    is_found: bool
    claims: dict[int, bool]
    repeats: dict[int, int]


async def search_and_claim(seed: int, lift: float, budget: int) -> End:
    """Search once, and make the claim on a test part of each size, each a first use."""
    feature = Feature(seed, lift)
    train, val = feature.items("train", 60), feature.items("val", 40)
    result = await evolve(
        START, train, val, feature.evaluate, feature.propose, budget=budget, seed=seed
    )
    end = End(RULE in result.best.text, dict.fromkeys(SIZES, False), {})
    if result.best.id == result.start.id:
        return end
    for size in SIZES:
        repeats = sight(size, result.noise).repeats
        test = feature.items(f"test {size} ", size)
        pair = [
            {
                str(n): [feature.run(candidate, item, repeat) for repeat in range(repeats)]
                for n, item in enumerate(test)
            }
            for candidate in (result.start, result.best)
        ]
        end.claims[size] = is_gain(pair[0], pair[1], Measurement(repeats=repeats))
        end.repeats[size] = repeats
    return end


def share(count: int, total: int) -> str:
    """Return a share with its 95 % interval (Wilson)."""
    rate, z = count / total, 1.96
    centre = (rate + z * z / (2 * total)) / (1 + z * z / total)
    half = z * math.sqrt(rate * (1 - rate) / total + z * z / (4 * total**2)) / (1 + z * z / total)
    return f"{rate:.3f} ({max(0, centre - half):.3f} to {centre + half:.3f})"


def print_searches(runs: int, nulls: int, budget: int) -> None:
    print(f"\nA search of {budget} calls and its claim: a gain is claimed\n")
    print(
        f"| truth | runs | rule found | {' | '.join(f'{size} items' for size in SIZES)} | repeats |"
    )
    print("|---|---|---|---|---|---|---|")
    for lift, count in ((LIFT, runs), (0.0, nulls)):
        ends = [asyncio.run(search_and_claim(n, lift, budget)) for n in range(count)]
        found = share(sum(end.is_found for end in ends), count) if lift else "-"
        cells = [share(sum(end.claims[size] for end in ends), count) for size in SIZES]
        means = [statistics.mean(e.repeats[s] for e in ends if e.repeats) for s in SIZES]
        repeats = ", ".join(f"{mean:.1f}" for mean in means)
        truth = "+20 points" if lift else "0"
        print(f"| {truth} | {count} | {found} | {' | '.join(cells)} | {repeats} |", flush=True)


def evaluations(
    draw: random.Random, rates: list[dict[str, float]], repeats: int
) -> dict[str, list[Evaluation]]:
    """Return runs of items with such pass rates, by item."""
    return {
        str(number): [
            Evaluation({name: float(draw.random() < rate) for name, rate in by_score.items()})
            for _ in range(repeats)
        ]
        for number, by_score in enumerate(rates)
    }


Side = Mapping[str, Sequence[Evaluation]]


def is_gain(first: Side, second: Side, how: Measurement) -> bool:
    """Return whether a gain is claimed; not asked where that is out of question.

    No score is shown to gain by fewer than 0.8 times the standard errors of the normal test, and
    one that seems to have fallen by more than its margin is not cleared.
    """
    least = 0.8 * NormalDist().inv_cdf(1 - level_of_use(how.use))
    steps = {name: changes(first, second, name) for name in first["0"][0].scores}
    if not any(step > least * error for step, error in steps.values()):
        return False
    goals = {name: goal.margin for name, goal in how.goals.items() if goal.margin is not None}
    if any(steps[name][0] - least * steps[name][1] < -margin for name, margin in goals.items()):
        return False
    return claim_of(first, second, how).gain_shown


def changes(first: Side, second: Side, name: str) -> tuple[float, float]:
    """Return the mean change of a score and its standard error."""
    repeats, steps = len(first["0"]), list[float]()
    for a, b in zip(first.values(), second.values(), strict=True):
        total = sum(e.scores[name] for e in b) - sum(e.scores[name] for e in a)
        steps.append(total / repeats)
    mean = sum(steps) / len(steps)
    variance = sum((step - mean) ** 2 for step in steps) / (len(steps) - 1)
    return mean, math.sqrt(variance / len(steps))


Pair = tuple[dict[str, float], dict[str, float]]


def print_claims(title: str, pair: Pair, runs: int, repeats: int) -> None:
    """Print how often a first claim is made where every item has such pass rates."""
    cells: list[str] = []
    goals = {"b": Goal(margin=0.1)} if "b" in pair[0] else {}
    how = Measurement(goals=goals, repeats=repeats)
    for size in SIZES:
        draw = random.Random(f"{title} {size}")
        sides = ([evaluations(draw, [side] * size, repeats) for side in pair] for _ in range(runs))
        cells.append(share(sum(is_gain(first, second, how) for first, second in sides), runs))
    print(f"| {title} | {repeats} | {runs} | {' | '.join(cells)} |", flush=True)


def ten_uses(size: int, runs: int, repeats: int) -> str:
    """Return how often one of ten null claims on one test part claims a gain."""
    draw, wrong = random.Random(size), 0
    rates = [{"a": 0.5}] * size
    for _ in range(runs):
        start = evaluations(draw, rates, repeats)
        others = [evaluations(draw, rates, repeats) for _ in range(10)]
        wrong += any(
            is_gain(start, other, Measurement(repeats=repeats, use=use))
            for use, other in enumerate(others, 1)
        )
    return share(wrong, runs)


def print_all_claims(runs: int, nulls: int) -> None:
    print("\nThe claim alone, each run of an item a coin: a gain is claimed\n")
    print(f"| truth | repeats | runs | {' | '.join(f'{size} items' for size in SIZES)} |")
    print("|---|---|---|---|---|---|")
    for repeats in (1, 4):
        print_claims(".40 to .60", ({"a": 0.4}, {"a": 0.6}), runs, repeats)
        print_claims(".50 to .50", ({"a": 0.5}, {"a": 0.5}), nulls, repeats)
        print_claims(
            ".40 to .60, other score .80 to .80",
            ({"a": 0.4, "b": 0.8}, {"a": 0.6, "b": 0.8}),
            runs,
            repeats,
        )
        print_claims(
            ".40 to .60, other score .90 to .80",
            ({"a": 0.4, "b": 0.9}, {"a": 0.6, "b": 0.8}),
            nulls,
            repeats,
        )
        cells = " | ".join(ten_uses(size, nulls, repeats) for size in SIZES)
        print(f"| ten claims on one part, .50 to .50 | {repeats} | {nulls} | {cells} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--nulls", type=int, default=400)
    parser.add_argument("--budget", type=int, default=200)
    parser.add_argument("--part", choices=["searches", "claims", "both"], default="both")
    arguments = parser.parse_args()
    if arguments.part != "claims":
        print_searches(arguments.runs, arguments.nulls, arguments.budget)
    if arguments.part != "searches":
        print_all_claims(arguments.runs, arguments.nulls)


if __name__ == "__main__":
    main()
