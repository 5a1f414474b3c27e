"""Only a complete answer is returned and reused; the others are kept for their cost."""

from typing import Any

import pytest
from anyio import create_task_group

from kiln_mcp.llm import BudgetLimit, Engine, EngineSettings, Message, ModelAnswer, ModelRequest
from kiln_mcp.llm.engine import ANY_STATE
from kiln_mcp.llm.errors import BadAnswer, DatabaseFailure
from kiln_mcp.llm.messages import TokenLogprob, Usage
from scripted_model import ScriptedModel

AGE: dict[str, Any] = {
    "type": "object",
    "properties": {"age": {"type": "integer"}},
    "required": ["age"],
}
COST = Usage(10, 5, cost_usd=0.5)
CUT = ModelAnswer("Once upon a", usage=COST, finish="length")
SPENT = ModelAnswer("", usage=COST, finish="length", reasoning="Let me think about")
FILTERED = ModelAnswer("", usage=COST, finish="refused")
REFUSED = ModelAnswer("I'm sorry, but I can't help with that.", usage=COST, finish="refused")
EMPTY = ModelAnswer("\n", usage=COST)
THOUGHT = ModelAnswer("", usage=COST, reasoning="It is Paris.")


def engine_with(model: ScriptedModel) -> Engine:
    return Engine(EngineSettings(environment={}), {"m": model})


def question(**changes: Any) -> ModelRequest:
    return ModelRequest("m", (Message("user", "?"),), **changes)


@pytest.mark.parametrize(
    ("answer", "state", "reason"),
    [
        (CUT, "truncated", "cut off at max_tokens (1024)"),
        (SPENT, "truncated", "reasoning used up max_tokens (1024)"),
        (FILTERED, "refused", "filtered the answer"),
        (REFUSED, "refused", "I can't help with that"),
        (EMPTY, "empty", "holds no text"),
        (THOUGHT, "empty", "reasoning alone"),
    ],
)
@pytest.mark.parametrize("schema", [None, AGE])
async def test_an_answer_that_is_not_complete_is_a_failure_that_is_asked_once(
    answer: ModelAnswer, state: str, reason: str, schema: dict[str, Any] | None
) -> None:
    model = ScriptedModel([answer])
    async with engine_with(model) as engine:
        with pytest.raises(BadAnswer) as caught:
            await engine.complete(question(schema=schema), asker="test")
        [spending] = await engine.spending()
    assert caught.value.state == state
    assert reason in str(caught.value)
    assert spending.usage.cost_usd == 0.5


@pytest.mark.parametrize("answer", [CUT, SPENT, FILTERED, REFUSED, EMPTY, THOUGHT])
async def test_an_answer_that_is_not_complete_is_never_served_to_others(
    answer: ModelAnswer,
) -> None:
    model = ScriptedModel([answer, "Paris"])
    async with engine_with(model) as engine:
        job = await engine.budget("jobs/1", BudgetLimit())
        for _ in range(2):  # the second time, as after a kill
            with pytest.raises(BadAnswer):
                await engine.complete(question(), asker="a", budget=job)
        assert len(model.requests) == 1
        other = await engine.budget("jobs/2", BudgetLimit())
        assert (await engine.complete(question(), asker="a", budget=other)).text == "Paris"
        assert (await engine.complete(question(), asker="a", budget=job)).is_cached
        [spending] = await engine.spending()
    assert (spending.usage.calls, len(model.requests)) == (2, 2)


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't judge this content.",
        "I cannot assist with that request.",
        "I can\u2019t help with this.",
        "Sorry, I won't do that.",
        "As an AI, I do not judge people.",
        "As a large language model I have no opinion.",
        "I'm afraid I can't do that.",
        "I must respectfully decline.",
        "I apologize, but this is not something to judge.",
        "Es tut mir leid, das kann ich nicht beurteilen.",
        "抱歉,我无法回答这个问题。",
    ],
)
async def test_a_refusal_in_words_is_not_corrected_as_bad_json(text: str) -> None:
    model = ScriptedModel([text])
    async with engine_with(model) as engine:
        with pytest.raises(BadAnswer) as caught:
            await engine.complete(question(schema=AGE), asker="test")
    assert caught.value.state == "refused"
    assert len(model.requests) == 1


async def test_words_that_only_look_like_a_refusal_are_an_answer_where_text_is_asked() -> None:
    model = ScriptedModel(["I'm sorry that your parcel is late."])
    async with engine_with(model) as engine:
        assert (await engine.complete(question(), asker="test")).state == "complete"


async def test_json_that_is_cut_off_is_truncated_and_a_whole_value_is_not() -> None:
    cut = ModelAnswer('{"age": 5} no: {"age": 1', finish="length")
    whole = ModelAnswer('```json\n{"age": 5}\n```', finish="length")
    prose = ModelAnswer('{"age": 5} or, on a second', finish="length")
    async with engine_with(ScriptedModel([cut, prose, whole])) as engine:
        for _ in range(2):
            with pytest.raises(BadAnswer) as caught:
                await engine.complete(question(schema=AGE), asker="test", fresh=True)
            assert caught.value.state == "truncated"
        answer = await engine.complete(question(schema=AGE), asker="test", fresh=True)
    assert answer.value == {"age": 5}


async def test_a_caller_may_accept_an_answer_that_is_cut_off() -> None:
    async with engine_with(ScriptedModel([CUT])) as engine:
        for _ in range(2):
            answer = await engine.complete(question(), asker="test", accept=ANY_STATE)
            assert (answer.text, answer.state) == ("Once upon a", "truncated")


async def test_one_row_that_cannot_be_kept_spoils_no_other() -> None:
    odd = ModelAnswer("odd", logprobs=(TokenLogprob("a", float("nan")),))
    model = ScriptedModel(lambda asked: odd if asked.sample == 7 else str(asked.sample))
    failures: list[int] = []
    async with engine_with(model) as engine:

        async def ask(sample: int) -> None:
            try:
                await engine.complete(question(sample=sample), asker="test")
            except DatabaseFailure:
                failures.append(sample)

        async with create_task_group() as group:
            for sample in range(20):
                group.start_soon(ask, sample)
        [spending] = await engine.spending()
    assert failures == [7]
    assert spending.usage.calls == 19
