"""Measure the processor time that the engine itself takes for a call.

python benchmarks/evolution/cpu.py [--budget 1200]

A search runs once, and once more with all answers at hand: the second run is the engine alone.
"""

import argparse
import asyncio
import time

from power import START, Feature

from kiln_mcp.evolution.engine import Candidate, Evaluation, Item, ProposalRequest, evolve


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", type=int, default=1200)
    budget = parser.parse_args().budget
    feature = Feature(1, 0.5)
    evaluations: dict[tuple[str, str, int], Evaluation] = {}
    answers: dict[str, str] = {}

    async def evaluate(candidate: Candidate, item: Item) -> Evaluation:
        key = candidate.id, item.id, item.repeat
        if key not in evaluations:
            evaluations[key] = await feature.evaluate(candidate, item)
        return evaluations[key]

    async def propose(request: ProposalRequest) -> str:
        if request.id not in answers:
            answers[request.id] = await feature.propose(request)
        return answers[request.id]

    train, val = feature.items("train", 60), feature.items("val", 40)
    for _ in range(2):
        begin = time.process_time()
        result = asyncio.run(evolve(START, train, val, evaluate, propose, budget=budget))
        taken = time.process_time() - begin
    print(
        f"{taken / result.calls * 1000:.2f} ms a call: {result.calls} calls, "
        f"{result.proposals} proposals, {taken:.2f} s"
    )


if __name__ == "__main__":
    main()
