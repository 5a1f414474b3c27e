"""Operators that begin with no failure, the Pareto set, floors, and several models."""

import re

from kiln_mcp.evolution.engine import (
    BlockEdit,
    Candidate,
    Evaluation,
    Goal,
    Item,
    Options,
    ProposalRequest,
    evolve,
    evolve_models,
)
from kiln_mcp.evolution.engine.operators import Operator

START = "Answer the customer."
RULES = ("greet by name", "state the price", "close with thanks", "offer a refund")
TRAIN = [Item(f"t{n}", RULES[n % 4], f"question {n}") for n in range(16)]
VAL = [Item(f"v{n}", RULES[n % 4], f"question {n}") for n in range(12)]


async def follow(candidate: Candidate, item: Item) -> Evaluation:
    """Score whether the rule of an item stands in the text."""
    rule = str(item.value)
    is_right = rule in candidate.text
    cost = len(candidate.text.split()) / 1000
    feedback = "" if is_right else f"The answer must {rule}."
    return Evaluation({"right": float(is_right)}, feedback, cost_usd=cost, seconds=0.1)


async def add_rule(request: ProposalRequest) -> str | None:
    rules = re.findall(r"must ([^.]+)\.", request.failures[0].evaluation.remarks)
    return f"{request.text}\n- Always {rules[0]}." if rules else None


async def test_blocks_that_bring_nothing_are_left_out_and_others_stay() -> None:
    start = f"{START}\n\nThe weather is fine today.\n\n- Always greet by name."
    options = Options(compresses=True)
    result = await evolve(start, TRAIN, VAL, follow, add_rule, budget=600, options=options)
    assert "weather" not in result.best.text
    assert all(rule in result.best.text for rule in RULES)
    longer = await evolve(start, TRAIN, VAL, follow, add_rule, budget=600)
    assert "weather" in longer.best.text


async def test_a_text_in_other_words_is_asked_for_where_the_proposer_can() -> None:
    asked: set[str] = set()

    async def propose(request: ProposalRequest) -> str | None:
        asked.add(request.operator)
        if request.operator == Operator.PARAPHRASE.value:
            return "\n".join([request.text, *(f"- You {rule}." for rule in RULES)])
        return None

    options = Options(paraphrases=True)
    result = await evolve(START, TRAIN, VAL, follow, propose, budget=300, options=options)
    assert asked >= {"reflect", "paraphrase"}
    assert "You greet by name." in result.best.text
    await evolve(START, TRAIN, VAL, follow, add_rule, budget=100)


async def test_an_edit_of_a_lost_proposal_is_taken_up_again_by_itself() -> None:
    async def evaluate(candidate: Candidate, item: Item) -> Evaluation:
        evaluation = await follow(candidate, item)
        if "shout" in candidate.text:
            return Evaluation({"right": 0.0}, evaluation.feedback)
        return evaluation

    async def propose(request: ProposalRequest) -> list[BlockEdit]:
        rules = re.findall(r"must ([^.]+)\.", request.failures[0].evaluation.remarks)
        rule = rules[0] if rules else "wait"
        return [
            BlockEdit("add", "b1", f"- Always {rule}."),
            BlockEdit("add", "b1", "- Always shout at everybody."),
        ]

    options = Options(pipelines=1)
    result = await evolve(START, TRAIN, VAL, evaluate, propose, budget=600, options=options)
    accepted = {decision.operator for decision in result.decisions if decision.accepted}
    assert Operator.RESTART in accepted
    assert "shout" not in result.best.text


async def test_the_pareto_set_holds_the_best_and_the_cheapest_but_no_worse_candidate() -> None:
    result = await evolve(START, TRAIN, VAL, follow, add_rule, budget=400)
    front = {standing.candidate.id: standing for standing in result.front}
    assert result.best.id in front
    assert result.start.id in front
    best, start = front[result.best.id], front[result.start.id]
    assert best.scores["right"] > start.scores["right"] + 0.5
    assert best.cost_usd > start.cost_usd
    assert len(result.standings) > len(front) or len(result.standings) == len(result.heads)


async def test_a_guarded_score_does_not_sink_below_the_start_step_by_step() -> None:
    async def evaluate(candidate: Candidate, item: Item) -> Evaluation:
        evaluation = await follow(candidate, item)
        safe = 1 - 0.04 * candidate.text.count("Always")
        return Evaluation({**evaluation.scores, "safe": safe}, evaluation.feedback)

    free = await evolve(START, TRAIN, VAL, evaluate, add_rule, budget=400)
    assert free.best.text.count("Always") >= 4
    options = Options(goals={"safe": Goal(weight=0, margin=0.1)})
    kept = await evolve(START, TRAIN, VAL, evaluate, add_rule, budget=400, options=options)
    assert kept.best.text.count("Always") == 2
    assert any("below the start" in decision.reason for decision in kept.decisions)


async def test_one_search_for_two_models_shares_lessons_and_gives_a_table() -> None:
    async def weak(candidate: Candidate, item: Item) -> Evaluation:
        evaluation = await follow(candidate, item)
        return Evaluation(evaluation.scores, evaluation.feedback, cost_usd=0.001)

    async def propose(request: ProposalRequest) -> str | None:
        if request.failures[0].item.id.startswith("small"):
            return None
        return await add_rule(request)

    models = {"large": follow, "small": weak}
    result = await evolve_models(START, TRAIN, VAL, models, propose, budget=600)
    for model in models:
        assert all(rule in result.by_model[model].best.text for rule in RULES)
    rows = {row.model: row for row in result.table}
    assert rows["large"].best > rows["large"].start
    assert rows["small"].cost_usd < rows["large"].cost_usd
    assert rows["small"].shared_edits + rows["small"].own_edits >= len(RULES)
    assert rows["large"].shared_edits == 0
    assert result.by_model["large"].calls <= 600


async def test_two_models_take_the_same_path_again() -> None:
    models = {"large": follow, "small": follow}
    one = await evolve_models(START, TRAIN, VAL, models, add_rule, budget=300, seed=4)
    two = await evolve_models(START, TRAIN, VAL, models, add_rule, budget=300, seed=4)
    assert one.by_model["small"].decisions == two.by_model["small"].decisions
