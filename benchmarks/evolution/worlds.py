"""Run the engine on many simulated worlds without latency: quality alone, in seconds.

python benchmarks/evolution/worlds.py --world PATH/prompt_world --worlds 100-104,300-309
python benchmarks/evolution/worlds.py --world PATH/prompt_world --scenarios multi --seeds 5

With several seeds a world's score is the mean of its searches: the interval is over worlds.
"""

import argparse
import asyncio
import json
import statistics
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from measure import MARKS, mean_and_half_width
from plug_in import evaluation_of, items_of, question_of, text_between_fences

from kiln_mcp.evolution.engine import (
    Budget,
    Candidate,
    Demonstrations,
    Evaluation,
    Item,
    Options,
    ProposalRequest,
    evolve,
)
from kiln_mcp.workbench.prompt_templates import load_prompt

ADVICE = load_prompt("evolution", "additions").text.splitlines()
SEED_STEP = 1000
"""Between the seeds of one world's searches; the first search has the number of its world."""


def options_of_the_door(world: Any) -> Options:
    """Return what the capability tells the engine: here advice and examples help nothing."""

    def render(item: Item, evaluation: Evaluation) -> str:
        return json.dumps([item.text, evaluation.output])

    return Options(
        demonstrations=Demonstrations({}, {e.id: e.topic for e in world.train}, render),
        advice=ADVICE,
        paraphrases=True,
    )


async def scores_of(
    world: Any, start: str, budget: int, seed: int, options: Options
) -> list[float]:
    """Return the noise-free held-out scores of the best prompt after each mark."""
    runs: Counter[tuple[str, str]] = Counter()

    def count(*key: str) -> int:
        runs[key] += 1
        return runs[key] - 1

    async def evaluate(candidate: Candidate, item: Item) -> Evaluation:
        number = count(candidate.text, item.text)
        answer = world.task_reply(candidate.text, item.text, number)
        return evaluation_of(world, item, answer)

    async def propose(request: ProposalRequest) -> str:
        question = question_of(request)
        return text_between_fences(world.reflect_reply(question, count("reflect", question)))

    parts = [items_of(part) for part in (world.train, world.val)]
    limits = Budget(budget, proposals=budget // (6 if options.advice else 8))
    result = await evolve(
        start, *parts, evaluate, propose, budget=limits, seed=seed, options=options
    )
    return [world.expected(result.candidate_at(int(mark)).text, world.test) for mark in MARKS]


def seeds_of(text: str) -> list[int]:
    """Return the worlds of a text such as "0-9,20"."""
    seeds: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        seeds += range(int(first), int(last or first) + 1)
    return seeds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--world", type=Path, required=True)
    parser.add_argument("--worlds", default="0-9")
    parser.add_argument("--scenarios", default="det,noisy,binary_noisy,multi")
    parser.add_argument("--budget", type=int, default=1200)
    parser.add_argument("--like-the-door", action="store_true", help="With advice and examples.")
    parser.add_argument("--seeds", type=int, default=1, help="Searches of each world.")
    arguments = parser.parse_args()
    sys.path.insert(0, str(arguments.world))
    from world import SEED_PROMPT, World, scenario

    print(f"| scenario | worlds | {' | '.join(MARKS)} |")
    print("|---|---|---|---|---|")
    for name in arguments.scenarios.split(","):
        rows: list[list[float]] = []
        for number in seeds_of(arguments.worlds):
            searches = list[list[float]]()
            for search in range(arguments.seeds):
                world, seed = World(number, scenario(name)), number + SEED_STEP * search
                options = options_of_the_door(world) if arguments.like_the_door else Options()
                own = scores_of(world, SEED_PROMPT, arguments.budget, seed, options)
                searches.append(asyncio.run(own))
            rows.append([statistics.mean(own) for own in zip(*searches, strict=True)])
        cells = [mean_and_half_width(list(own)) for own in zip(*rows, strict=True)]
        print(f"| {name} | {len(rows)} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
