"""Search for sets of examples on a simulated weak model, whose sets differ much.

python benchmarks/evolution/example_sets.py --budgets 60,100,200,400,600 --seeds 60

Nobody proposes edits. Each example, each set and each form of words has an effect of its own, drawn
once; a set's output on an item is always the same. Scores are those on 400 items in forms that the
search has not seen. The last line draws sets by chance: what there is to find.
"""

import argparse
import asyncio
import math
import random
import statistics
from collections.abc import Callable, Sequence
from hashlib import blake2b
from itertools import product

from kiln_mcp.evolution.engine import (
    Candidate,
    Demonstrations,
    Evaluation,
    Item,
    Options,
    Result,
    evolve,
)

TRAIN_FORMS, VAL_FORMS, TEST_FORMS = range(10), range(10, 20), range(20, 60)
ITEMS_A_FORM, TEST_ITEMS_A_FORM = 3, 10
SETS_BY_CHANCE, EXAMPLES = 30, 7
ADVICE = ("Copy names exactly.", "Answer in the same form.", "Use only what the input says.")

Quantile = Callable[[float], float]


def logistic(share: float) -> float:
    return math.log(share / (1 - share))


def drawn(quantile: Quantile, *key: object) -> float:
    """Return a draw that is the same for the same key."""
    digest = blake2b("|".join(map(str, key)).encode(), digest_size=8).digest()
    share = int.from_bytes(digest, "big") / 2**64
    return quantile(min(1 - 1e-12, max(1e-12, share)))


def is_right(seed: int, examples: Sequence[str], item: str) -> bool:
    """Return whether the model answers an item rightly when it is shown examples."""
    normal = statistics.NormalDist().inv_cdf
    form = item.split("-")[1]
    ease = 0.9 * drawn(normal, seed, "form", form) + 0.5 * drawn(normal, seed, "item", item)
    skill = -0.6
    if examples:
        root = math.sqrt(len(examples))
        skill = 1.15 + 0.06 * (len(examples) - 5) + 0.35 * drawn(normal, seed, "set", *examples)
        skill += 0.42 * sum(drawn(normal, seed, "example", name) for name in examples) / root
        skill += 0.5 * sum(drawn(normal, seed, "fit", name, form) for name in examples) / root
    return skill + ease + 0.8 * drawn(logistic, seed, "run", *examples, item) > 0


def names_of(part: str, forms: Sequence[int], count: int) -> list[str]:
    return [f"{part}-{form}-{number}" for form, number in product(forms, range(count))]


TEST = names_of("test", TEST_FORMS, TEST_ITEMS_A_FORM)


def score(seed: int, examples: Sequence[str]) -> float:
    return statistics.mean(is_right(seed, examples, name) for name in TEST)


async def search(seed: int, budget: int) -> Result:
    train = [Item(n, n, n) for n in names_of("train", TRAIN_FORMS, ITEMS_A_FORM)]
    val = [Item(n, n, n) for n in names_of("val", VAL_FORMS, ITEMS_A_FORM)]

    async def evaluate(candidate: Candidate, item: Item) -> Evaluation:
        return Evaluation({"right": float(is_right(seed, candidate.demonstrations, item.id))})

    shown = Demonstrations({i.id: i.text for i in train}, {i.id: i.id.split("-")[1] for i in train})
    options = Options(demonstrations=shown, advice=ADVICE)
    return await evolve("Read it.", train, val, evaluate, budget=budget, seed=seed, options=options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budgets", default="60,100,200,400,600")
    parser.add_argument("--seeds", type=int, default=60)
    arguments = parser.parse_args()
    seeds = range(arguments.seeds)
    print("| calls | found, mean ± standard error | best prompts in turn |\n|---|---|---|")
    for budget in map(int, arguments.budgets.split(",")):
        results = [asyncio.run(search(seed, budget)) for seed in seeds]
        scores = [score(n, r.best.demonstrations) for n, r in zip(seeds, results, strict=True)]
        error = statistics.stdev(scores) / math.sqrt(len(scores))
        heads = statistics.mean(len(result.heads) - 1 for result in results)
        print(
            f"| {budget} | {statistics.mean(scores):.3f} ± {error:.3f} | {heads:.1f} |", flush=True
        )
    names = names_of("train", TRAIN_FORMS, ITEMS_A_FORM)
    rows: list[list[float]] = []
    for seed in seeds:
        draw = random.Random(seed)
        rows.append([score(seed, draw.sample(names, EXAMPLES)) for _ in range(SETS_BY_CHANCE)])
    start = statistics.mean(score(seed, ()) for seed in seeds)
    mean, spread, best = (
        statistics.mean(map(own, rows)) for own in (statistics.mean, statistics.stdev, max)
    )
    print(
        f"start {start:.3f}; {SETS_BY_CHANCE} sets by chance: mean {mean:.3f}, standard deviation"
    )
    print(f"{spread:.3f}, best {best:.3f}")


if __name__ == "__main__":
    main()
