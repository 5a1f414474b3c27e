"""Sets of examples where nobody proposes edits: many are tried on few items each."""

import random
from statistics import mean

from kiln_mcp.evolution.engine import (
    Block,
    BlockEdit,
    Candidate,
    Demonstrations,
    Evaluation,
    Item,
    Options,
    ProposalRequest,
    Result,
    evolve,
)
from kiln_mcp.evolution.engine.candidates import DEMONSTRATIONS
from kiln_mcp.evolution.engine.operators import Operator
from kiln_mcp.evolution.engine.tournament import DROPPED, MOST_ENTRANTS

START = "Read the message."
TRAIN = [Item(f"t{n}", n, f"question {n}") for n in range(30)]
VAL = [Item(f"v{n}", n, f"other {n}") for n in range(30)]
HELD_OUT = [Item(f"x{n}", n, f"new {n}") for n in range(60)]
SHOWN = Demonstrations({item.id: f"example {item.id}" for item in TRAIN})


def worth(candidate: Candidate) -> int:
    """Return how many of 30 items a candidate gets right: each example counts in its own way."""
    numbers = [int(name[1:]) for name in candidate.demonstrations]
    return 5 + round(20 * mean(number % 10 for number in numbers) / 9) if numbers else 3


async def evaluate(candidate: Candidate, item: Item) -> float:
    return float(7 * int(str(item.value)) % 30 < worth(candidate))


async def search(budget: int, seed: int = 0) -> Result:
    options = Options(demonstrations=SHOWN)
    return await evolve(START, TRAIN, VAL, evaluate, budget=budget, seed=seed, options=options)


async def test_better_sets_are_found_than_most_within_a_small_budget() -> None:
    results = [await search(400, seed) for seed in range(20)]
    draw = random.Random(0)
    chance = [draw.sample([item.id for item in TRAIN], 5) for _ in range(1000)]
    sets = [Candidate(tuple(Block(i, i, DEMONSTRATIONS) for i in own)) for own in chance]
    best_tenth = sorted(map(worth, sets))[-len(sets) // 10]
    assert mean(worth(result.best) for result in results) >= best_tenth
    assert all(result.calls <= 400 for result in results)


async def test_sets_that_do_not_go_on_are_kept_with_the_reason() -> None:
    result = await search(200)
    dropped = [decision for decision in result.decisions if decision.reason == DROPPED]
    assert len(dropped) >= 8
    assert len({decision.candidate for decision in dropped}) == len(dropped)
    assert all(decision.onto == result.start.id and decision.items for decision in dropped)
    assert not {head.id for head in result.heads} & {decision.candidate for decision in dropped}


async def test_no_set_is_tried_twice_and_a_large_budget_has_several_rounds_of_them() -> None:
    result = await search(1200)
    sets = [d.candidate for d in result.decisions if d.operator is Operator.DEMONSTRATE]
    assert len(set(sets)) == len(sets) > MOST_ENTRANTS


async def test_a_budget_for_two_sets_is_enough_to_try_one() -> None:
    result = await search(40)
    assert [d for d in result.decisions if d.operator is Operator.DEMONSTRATE]
    assert result.calls <= 40


async def test_a_head_that_no_set_beats_stays() -> None:
    async def never(candidate: Candidate, item: Item) -> float:
        return float(not candidate.demonstrations and int(str(item.value)) % 2)

    options = Options(demonstrations=SHOWN)
    result = await evolve(START, TRAIN, VAL, never, budget=300, options=options)
    assert result.best == result.start
    assert result.decisions


async def test_examples_that_never_helped_take_few_calls_where_edits_are_proposed() -> None:
    calls_with_examples = 0

    async def follow(candidate: Candidate, item: Item) -> Evaluation:
        nonlocal calls_with_examples
        calls_with_examples += bool(candidate.demonstrations)
        is_right = f"rule {int(str(item.value)) % 10}" in candidate.text
        remark = "" if is_right else f"It breaks rule {int(str(item.value)) % 10}."
        return Evaluation({"right": float(is_right)}, remark)

    async def propose(request: ProposalRequest) -> list[BlockEdit]:
        remark = request.failures[0].evaluation.remarks
        number = remark.removeprefix("It breaks ").rstrip(".")
        is_lucky = request.number % 3 == 0
        return [BlockEdit("add", "b1", f"Keep {number}." if is_lucky else f"Mind {number[5:]}.")]

    options = Options(demonstrations=SHOWN)
    result = await evolve(START, TRAIN, VAL, follow, propose, budget=600, options=options)
    assert "rule" in result.best.text
    assert 0 < calls_with_examples < 90
