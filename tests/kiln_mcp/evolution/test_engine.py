"""The engine alone: a small world of rules, no model and no project."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import pytest

from kiln_mcp.evolution.engine import (
    Anchors,
    Answer,
    BlockEdit,
    Budget,
    Candidate,
    Demonstrations,
    Evaluation,
    FileLog,
    Goal,
    Item,
    MemoryLog,
    Options,
    ProposalRequest,
    branch,
    evolve,
)
from kiln_mcp.evolution.engine.decision_log import Event
from kiln_mcp.evolution.engine.operators import Operator

RULES = ("greet by name", "state the price", "close with thanks", "offer a refund")
START = "Answer the customer."


class PowerCut(Exception):
    """Ends a process."""


@dataclass
class RuleWorld:
    """Items that need rules; a rule in the prompt is followed, and feedback names a missing one.

    Attributes:
        flips: Every so many calls a score is wrong; 0 for never.
        cut_after: The call at which the power fails; None for never.
        slow: The word of items whose answers come late.
    """

    flips: int = 0
    cut_after: int | None = None
    slow: str = ""
    calls: int = 0
    proposals: int = 0
    requests: list[ProposalRequest] = field(default_factory=list[ProposalRequest])
    pairs: list[tuple[str, str, int]] = field(default_factory=list[tuple[str, str, int]])

    async def evaluate(self, candidate: Candidate, item: Item) -> Evaluation:
        self.calls += 1
        if self.cut_after is not None and self.calls > self.cut_after:
            raise PowerCut
        self.pairs.append((candidate.id, item.id, item.repeat))
        for _ in range(3 if self.slow and self.slow in item.text else 0):
            await anyio.lowlevel.checkpoint()
        rule = str(item.value)
        score = float(rule in candidate.text)
        if self.flips and hash((candidate.text, item.id, item.repeat)) % self.flips == 0:
            score = 1 - score
        feedback = "" if score else f"The answer must {rule}."
        return Evaluation({"right": score}, feedback, f"output of {item.id}", cost_usd=0.01)

    async def propose(self, request: ProposalRequest) -> str | None:
        self.proposals += 1
        self.requests.append(request)
        rules = re.findall(r"must ([^.]+)\.", request.failures[0].evaluation.remarks)
        return f"{request.text}\n- Always {rules[0]}." if rules else None


def items(part: str, count: int) -> list[Item]:
    return [
        Item(f"{part}{n}", RULES[n % len(RULES)], f"question {n} about {n % 3}")
        for n in range(count)
    ]


TRAIN, VAL = items("t", 16), items("v", 12)


async def test_a_search_finds_the_rules_that_the_feedback_names() -> None:
    world = RuleWorld()
    result = await evolve(START, TRAIN, VAL, world.evaluate, world.propose, budget=400)
    assert all(rule in result.best.text for rule in RULES)
    assert result.best.text.startswith(START)
    assert result.stop_reason == "converged"
    assert result.candidate_at(0).text == START
    assert result.candidate_at(400) == result.best


async def test_no_call_is_made_beyond_the_budget() -> None:
    for calls in (0, 7, 60, 150):
        world = RuleWorld(flips=3)
        result = await evolve(START, TRAIN, VAL, world.evaluate, world.propose, budget=calls)
        assert world.calls <= calls
        assert result.calls == world.calls


async def test_a_reserve_and_proposals_count_to_the_budget() -> None:
    world = RuleWorld(flips=3)
    budget = Budget(200, reserve=50, evaluation=2, proposal=3)
    result = await evolve(START, TRAIN, VAL, world.evaluate, world.propose, budget=budget)
    assert 2 * world.calls + 3 * world.proposals == result.calls <= 150


async def test_a_budget_too_small_for_ten_proposals_is_named() -> None:
    world = RuleWorld()
    result = await evolve(START, TRAIN, VAL, world.evaluate, world.propose, budget=7)
    assert result.stop_reason == "too little budget to find 10 points"
    assert result.best == result.start


@pytest.mark.parametrize("budget", [Budget(400, cost_usd=0.4), Budget(400, seconds=0.0)])
async def test_money_and_time_end_a_search(budget: Budget) -> None:
    world = RuleWorld(flips=3)
    result = await evolve(START, TRAIN, VAL, world.evaluate, world.propose, budget=budget)
    assert result.stop_reason in {"budget", "too little budget to find 10 points"}
    assert world.calls < 120


async def test_the_same_seed_and_answers_take_the_same_path_whichever_answer_comes_first() -> None:
    paths: list[Sequence[object]] = []
    for slow in ("", "about 1", "about 2"):
        world = RuleWorld(slow=slow)
        options = Options(pipelines=4)
        result = await evolve(
            START, TRAIN, VAL, world.evaluate, world.propose, budget=200, seed=3, options=options
        )
        paths.append(result.decisions)
    assert len(paths[0]) > 3
    assert paths[0] == paths[1] == paths[2]


async def test_a_search_goes_on_from_its_log_after_power_cuts_and_pays_nothing_twice(
    tmp_path: Path,
) -> None:
    steady = RuleWorld()
    expected = await evolve(
        START,
        TRAIN,
        VAL,
        steady.evaluate,
        steady.propose,
        budget=300,
        options=Options(pipelines=3),
    )
    pairs: list[tuple[str, str, int]] = []
    path, lives, decisions = tmp_path / "search.jsonl", 0, None
    while decisions is None:
        lives += 1
        world = RuleWorld(cut_after=20)
        log = FileLog(path)
        try:
            result = await evolve(
                START,
                TRAIN,
                VAL,
                world.evaluate,
                world.propose,
                budget=300,
                options=Options(log=log, width=1, pipelines=3),
            )
            decisions = result.decisions
        except PowerCut:
            with path.open("ab") as file:
                file.write(b'{"torn')
        log.close()
        pairs += world.pairs
    assert lives > 2
    assert decisions == expected.decisions
    assert len(pairs) == len(set(pairs))
    kinds = [event["key"] for event in FileLog(path).read()]
    assert len(kinds) == len(set(kinds))


async def test_a_paused_search_goes_on_and_a_larger_budget_uses_what_was_paid() -> None:
    world, log = RuleWorld(), MemoryLog()
    options = Options(log=log, should_stop=lambda: world.calls > 30)
    paused = await evolve(
        START, TRAIN, VAL, world.evaluate, world.propose, budget=120, options=options
    )
    assert paused.stop_reason == "stopped"
    later = await evolve(
        START, TRAIN, VAL, world.evaluate, world.propose, budget=400, options=Options(log=log)
    )
    assert len(world.pairs) == len(set(world.pairs))
    assert later.paid_evaluations < later.calls
    assert all(rule in later.best.text for rule in RULES)


async def test_a_branch_starts_from_any_candidate_with_all_paid_evaluations() -> None:
    world, log = RuleWorld(), MemoryLog()
    result = await evolve(
        START, TRAIN, VAL, world.evaluate, world.propose, budget=200, options=Options(log=log)
    )
    start, own = branch(log, result.heads[1].id)
    assert start == result.heads[1]
    assert {event["event"] for event in own.read()} == {"evaluation"}
    with pytest.raises(ValueError, match="no candidate nothing"):
        branch(log, "nothing")


async def test_what_proposers_answer_badly_does_not_end_a_search() -> None:
    world = RuleWorld()
    answers: list[object] = [
        None,
        "",
        [BlockEdit("replace", "b9", "x")],
        Answer(text=f"{START} For ticket 48213 give a refund."),
        [BlockEdit("delete", "b1")],
    ]
    train = [Item(i.id, i.value, f"{i.text}, ticket {48213 + n}") for n, i in enumerate(TRAIN)]

    async def propose(request: ProposalRequest) -> Answer | str | list[BlockEdit] | None:
        if answers:
            return answers.pop(0)  # pyright: ignore[reportReturnType]
        return await world.propose(request)

    options = Options(pipelines=1)
    result = await evolve(START, train, VAL, world.evaluate, propose, budget=500, options=options)
    assert all(rule in result.best.text for rule in RULES)
    assert "48213" not in result.best.text


async def test_earlier_edits_for_the_same_complaint_are_told_to_the_proposer() -> None:
    world = RuleWorld()

    async def propose(request: ProposalRequest) -> str | None:
        await world.propose(request)
        words = request.failures[0].evaluation.remarks.strip(".").split()
        return f"{request.text}\n- {' '.join(reversed(words))} {len(world.requests)}"

    await evolve(START, TRAIN, VAL, world.evaluate, propose, budget=300)
    lessons = [lesson for request in world.requests for lesson in request.lessons]
    assert any(not lesson.accepted and lesson.outcome for lesson in lessons)


async def test_placeholders_and_marked_passages_survive_or_the_edit_is_refused() -> None:
    world = RuleWorld()
    start = "Keep this.\n\nHello {{name}}."
    texts = [
        "Keep this.\n\n- Always",
        "Hello {{name}}.\n\n- Always",
        "Keep this.\n\n{{name}} {odd}",
    ]

    async def propose(request: ProposalRequest) -> str | None:
        full = await world.propose(request)
        if world.proposals <= len(texts) and full is not None:
            return f"{texts[world.proposals - 1]} {full.rsplit('Always', 1)[1]}"
        return full

    options = Options(anchors=Anchors(passages=["Keep this."]))
    result = await evolve(start, TRAIN, VAL, world.evaluate, propose, budget=400, options=options)
    refusals = [decision.reason for decision in result.decisions if decision.is_refused]
    assert any("placeholders of the instruction" in reason for reason in refusals)
    assert any("marked passage" in reason for reason in refusals)
    assert "Keep this." in result.best.text
    assert "{{name}}" in result.best.text


async def test_no_candidate_wins_that_falls_on_a_required_case() -> None:
    """The rule mends all items but one, which is right with the start alone."""

    async def evaluate(candidate: Candidate, item: Item) -> Evaluation:
        is_right = ("guess" in candidate.text) is not (item.id == "t3")
        return Evaluation({"right": float(is_right)}, "" if is_right else "The answer must guess.")

    async def propose(request: ProposalRequest) -> str:
        return f"{request.text}\n- Always guess."

    for required, is_kept in ((frozenset[str](), False), (frozenset({"t3"}), True)):
        options = Options(anchors=Anchors(items=required))
        result = await evolve(START, TRAIN, VAL, evaluate, propose, budget=200, options=options)
        assert (result.best == result.start) is is_kept
        refusals = {decision.reason for decision in result.decisions if decision.is_refused}
        assert refusals == (
            {"It falls on a required case: 'question 3 about 0'."} if is_kept else set()
        )


async def test_a_required_case_that_falls_by_chance_alone_refuses_nothing() -> None:
    async def evaluate(candidate: Candidate, item: Item) -> Evaluation:
        is_unlucky = item.id == "t3" and item.repeat == 0 and "guess" in candidate.text
        is_right = ("guess" in candidate.text or item.id == "t3") and not is_unlucky
        scores = {"right": float(is_right)}
        if item.id == "t3" and "guess" not in candidate.text:
            scores = {"right": float(item.repeat == 0)}
        return Evaluation(scores, "" if is_right else "The answer must guess.")

    async def propose(request: ProposalRequest) -> str:
        return f"{request.text}\n- Always guess."

    options = Options(anchors=Anchors(items=frozenset({"t3"})))
    result = await evolve(START, TRAIN, VAL, evaluate, propose, budget=200, options=options)
    assert "guess" in result.best.text


async def test_a_required_case_that_is_no_item_is_refused() -> None:
    options = Options(anchors=Anchors(items=frozenset({"t99"})))
    world = RuleWorld()
    with pytest.raises(ValueError, match="t99 is no training or validation item"):
        await evolve(START, TRAIN, VAL, world.evaluate, budget=200, options=options)


async def test_a_score_with_a_margin_may_not_fall() -> None:
    async def evaluate(candidate: Candidate, item: Item) -> Evaluation:
        is_right = float("guess" in candidate.text)
        scores = {"right": is_right, "safe": 1 - is_right}
        return Evaluation(scores, {"right": "" if is_right else "The answer must guess."})

    async def propose(request: ProposalRequest) -> str:
        return f"{request.text}\n- Always guess."

    for margin, is_kept in ((0.1, True), (None, False)):
        goals = {"safe": Goal(weight=0.1, margin=margin)}
        options = Options(goals=goals)
        result = await evolve(START, TRAIN, VAL, evaluate, propose, budget=100, options=options)
        assert (result.best == result.start) is is_kept
        reasons = {decision.reason for decision in result.decisions}
        assert any("lets safe fall" in reason for reason in reasons) is is_kept


async def test_items_without_a_score_are_no_zeros_and_win_nothing() -> None:
    async def evaluate(candidate: Candidate, item: Item) -> Evaluation:
        if "give up" in candidate.text and int(item.id[1:]) % 2:
            return Evaluation({}, failure="refused")
        score = float("give up" in candidate.text)
        return Evaluation({"right": score}, "" if score else "The answer must give up.")

    async def propose(request: ProposalRequest) -> str:
        return f"{request.text}\n- Always give up."

    result = await evolve(START, TRAIN, VAL, evaluate, propose, budget=100)
    assert result.best == result.start
    assert any("no score on" in decision.reason for decision in result.decisions)


async def test_demonstrations_that_help_are_found_without_a_model() -> None:
    async def evaluate(candidate: Candidate, item: Item) -> float:
        assert item.id not in candidate.demonstrations
        good = sum(name in {"t1", "t2", "t3", "t5"} for name in candidate.demonstrations)
        return float(int(item.id[1:]) % 12 < 4 * good)

    texts = {item.id: f"example {item.id}" for item in TRAIN}
    shown = Demonstrations(texts, {item.id: str(item.value) for item in TRAIN})
    result = await evolve(
        START, TRAIN, VAL, evaluate, budget=400, options=Options(demonstrations=shown)
    )
    assert {"t1", "t2", "t3", "t5"} & set(result.best.demonstrations)
    assert len(result.best.demonstrations) <= 7
    assert {decision.operator for decision in result.decisions} == {Operator.DEMONSTRATE}


async def test_outputs_that_an_evaluator_accepted_become_demonstrations() -> None:
    async def evaluate(candidate: Candidate, item: Item) -> Evaluation:
        score = float(int(item.id[1:]) % 3 == 0 or len(candidate.demonstrations) > 2)
        return Evaluation({"right": score}, output=f"output of {item.id}")

    def render(item: Item, evaluation: Evaluation) -> str:
        return "" if item.id == "t0" else f"{item.text}: {evaluation.output}"

    options = Options(demonstrations=Demonstrations(render=render))
    result = await evolve(START, TRAIN, VAL, evaluate, budget=300, options=options)
    assert len(result.best.demonstrations) > 2
    assert "t0" not in result.best.demonstrations
    assert "output of" in result.best.text_of("demonstrations")


async def test_advice_is_added_without_a_model_where_it_helps() -> None:
    async def evaluate(candidate: Candidate, item: Item) -> float:
        return float("Copy names." in candidate.text)

    options = Options(advice=["Be kind.", "Copy names."])
    result = await evolve(START, TRAIN, VAL, evaluate, budget=200, options=options)
    assert "Copy names." in result.best.text
    assert result.stop_reason == "converged"


async def test_texts_of_several_components_are_edited_in_turn() -> None:
    world = RuleWorld()
    start = {"instruction": START, "tool": "Looks a price up."}
    result = await evolve(start, TRAIN, VAL, world.evaluate, world.propose, budget=300)
    assert {request.component for request in world.requests} == {"instruction", "tool"}
    assert result.best.text_of("tool").startswith("Looks a price up.")


async def test_plain_values_are_items() -> None:
    async def evaluate(candidate: Candidate, item: Item) -> float:
        return float(str(item.value) in candidate.text)

    async def propose(request: ProposalRequest) -> str:
        return f"{request.text}\n- {request.failures[0].item.text}"

    train, val = [f"word{n}" for n in range(4)], [f"other{n}" for n in range(4)]
    result = await evolve(START, train, val, evaluate, propose, budget=100)
    assert result.proposals > 0


@pytest.mark.parametrize(
    ("train", "val", "sentence"),
    [([], ["a"], "needs training items"), (["a", "a"], ["b"], "Two items have the id")],
)
async def test_items_that_cannot_be_searched_on_are_refused(
    train: list[str], val: list[str], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        await evolve(START, train, val, RuleWorld().evaluate, budget=10)


async def test_an_error_of_a_proposer_ends_the_search_with_its_own_words() -> None:
    async def propose(request: ProposalRequest) -> str:
        raise PowerCut(request.id)

    with pytest.raises(PowerCut, match="p1-"):
        await evolve(START, TRAIN, VAL, RuleWorld().evaluate, propose, budget=100)


async def test_many_calls_are_in_flight_at_once() -> None:
    in_flight, most = 0, 0

    async def evaluate(candidate: Candidate, item: Item) -> float:
        nonlocal in_flight, most
        in_flight += 1
        most = max(most, in_flight)
        for _ in range(50):
            await anyio.lowlevel.checkpoint()
        in_flight -= 1
        return 0.0

    async def propose(request: ProposalRequest) -> str:
        return f"{request.text} {request.id}"

    train = items("t", 60)
    await evolve(START, train, VAL, evaluate, propose, budget=600)
    assert 12 <= most <= 32


def test_a_log_in_memory_keeps_events_in_order() -> None:
    log = MemoryLog()
    events: list[Event] = [{"key": "a", "event": "x"}, {"key": "b", "event": "y"}]
    for event in events:
        log.append(event)
    assert list(log.read()) == events


@pytest.mark.parametrize(("rate", "most"), [(0.5, 3), (0.0, 1)])
async def test_a_candidate_that_lost_is_raced_again_only_where_chance_decides(
    rate: float, most: int
) -> None:
    async def propose(request: ProposalRequest) -> str:
        return f"{START}\n- Always {RULES[0]}."

    async def evaluate(candidate: Candidate, item: Item) -> Evaluation:
        coin = random.Random(f"{candidate.id} {item.id} {item.repeat}").random()
        worse = 0.1 * (RULES[0] in candidate.text)
        return Evaluation({"right": float(coin < rate - worse)}, "It must be better.")

    result = await evolve(START, TRAIN, VAL, evaluate, propose, budget=900)
    decisions = [d for d in result.decisions if d.operator is Operator.REFLECT and d.candidate]
    races = [d for d in decisions if d.reason != "The same candidate was tried before."]
    assert 1 <= len(races) <= most
    assert (len(races) > 1) == (most > 1)
