"""Verdicts on generated items."""

import json

import pytest
from pydantic import JsonValue

from kiln_mcp.llm.answer_states import AnswerState
from kiln_mcp.synthesis.quality import Candidate, Fault, assess

OWN = ("Where is my parcel?", "The blue shirt is torn at the sleeve", "Can I pay by invoice?")
SUBJECTS = [
    "lamp",
    "chair",
    "kettle",
    "scarf",
    "phone",
    "tent",
    "guitar",
    "drone",
    "camera",
    "wallet",
    "helmet",
    "rug",
]
DEFECTS = [
    "cracked",
    "leaking",
    "silent",
    "torn",
    "faded",
    "loose",
    "noisy",
    "bent",
    "wet",
    "missing",
    "dusty",
    "locked",
]


async def faults_of(*texts: str, existing: tuple[str, ...] = OWN) -> list[list[Fault]]:
    assessment = await assess([Candidate(text) for text in texts], existing)
    return [list(verdict.faults) for verdict in assessment.verdicts]


@pytest.mark.parametrize("state", ["truncated", "refused", "empty", "unreadable"])
async def test_an_answer_that_is_not_complete_is_no_item(state: AnswerState) -> None:
    assessment = await assess([Candidate("Where is it?", state=state)], ())
    assert list(assessment.verdicts[0].faults) == [Fault(state)]
    assert assessment.fault_counts == {state: 1}


async def test_an_item_that_is_there_already_is_dropped_and_the_first_of_a_batch_is_kept() -> None:
    new = "My kettle leaks when it boils and the kitchen floor is wet"
    texts = ("where is my PARCEL", new, f"{new}!", "  ", "I'm sorry, but I can't help with that.")
    assert await faults_of(*texts) == [
        [Fault.DUPLICATE],
        [],
        [Fault.DUPLICATE],
        [Fault.EMPTY],
        [Fault.REFUSED],
    ]


async def test_a_faulty_item_makes_no_other_a_duplicate() -> None:
    text = "My kettle leaks when it boils"
    candidates = [Candidate(text, state="truncated"), Candidate(text)]
    assert (await assess(candidates, ())).kept_places == [1]


async def test_an_item_must_fit_the_schema() -> None:
    schema: dict[str, JsonValue] = {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
    }
    texts = [json.dumps({"n": 1}), json.dumps({"n": "one"}), "no JSON"]
    assessment = await assess([Candidate(text) for text in texts], (), schema)
    assert assessment.kept_places == [0]
    assert [list(verdict.faults) for verdict in assessment.verdicts[1:]] == [[Fault.SCHEMA]] * 2


def items(opening: str) -> list[Candidate]:
    lines = zip(SUBJECTS, DEFECTS, strict=True)
    return [
        Candidate(f"{opening} {subject}, which came {defect}{place} yesterday{place}", subject)
        for place, (subject, defect) in enumerate(lines)
    ]


async def test_a_phrase_across_unrelated_topics_is_named_and_most_items_with_it_dropped() -> None:
    assessment = await assess(items("I hope this message finds you well, about my"), ())
    assert assessment.phrases[0].text == "i hope this message finds you"
    assert assessment.kept_places == [0]
    assert set(assessment.fault_counts) == {"stock_phrase"}


async def test_a_phrase_that_the_user_has_as_often_is_not_the_generators() -> None:
    own = [f"hello there about my {word} that is {word}ish" for word in DEFECTS]
    assessment = await assess(items("hello there about my"), own)
    assert assessment.fault_counts == {}
    other = [f"The {word} thing does not {word} at all in {word}" for word in DEFECTS]
    assert (await assess(items("hello there about my"), other)).fault_counts == {"stock_phrase": 11}
