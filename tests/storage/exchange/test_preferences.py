"""Files of preferences: which output was right, which was wrong, and for which input."""

from collections.abc import Sequence

import pytest

from storage.exchange.columns import Row
from storage.exchange.examples import Example
from storage.exchange.preferences import PreferencePairs
from storage.exchange.shapes import shape_of

HI: dict[str, object] = {"role": "user", "content": "Hi"}
BRIEF: dict[str, object] = {"role": "system", "content": "Be brief."}


def said(text: str) -> dict[str, object]:
    return {"role": "assistant", "content": text}


def examples_of(row: Row) -> Sequence[Example]:
    shape = shape_of([row])
    assert shape is not None
    return shape.read_all(row) if isinstance(shape, PreferencePairs) else [shape.read(row)]


def ratings_of(row: Row) -> list[tuple[object, object, float | None]]:
    return [
        (example.input, example.answer, example.record.rating if example.record else None)
        for example in examples_of(row)
    ]


PAIRS: list[Row] = [
    {"prompt": "Hi", "chosen": "Hello", "rejected": "Bye"},
    {"question": "Hi", "system": "Be brief.", "chosen": "Hello", "rejected": "Bye"},
    {"prompt": [HI], "chosen": [said("Hello")], "rejected": [said("Bye")]},
    {"prompt": [BRIEF, HI], "chosen": [HI, said("Hello")], "rejected": [HI, said("Bye")]},
    {"chosen": [HI, said("Hello")], "rejected": [HI, said("Bye")]},
    {"chosen": [BRIEF, HI, said("Hello")], "rejected": [BRIEF, HI, said("Bye")]},
    {"prompt": "Hi", "chosen": [HI, said("Hello")], "rejected": [HI, said("Bye")],
     "score_chosen": 8.5, "score_rejected": 2.0},
    {"chosen": "\n\nHuman: Hi\n\nAssistant: Hello", "rejected": "\n\nHuman: Hi\n\nAssistant: Bye"},
    {"conversations": [{"from": "human", "value": "Hi"}],
     "chosen": {"from": "gpt", "value": "Hello"}, "rejected": {"from": "gpt", "value": "Bye"}},
    {"input": {"messages": [HI], "tools": [], "parallel_tool_calls": True},
     "preferred_output": [said("Hello")], "non_preferred_output": [said("Bye")]},
    {"instruction": "Hi", "chosen_response": "Hello", "rejected_response": "Bye"},
]  # fmt: skip


@pytest.mark.parametrize("row", PAIRS)
def test_a_pair_is_a_right_answer_and_a_wrong_one_to_its_prompt(row: Row) -> None:
    assert ratings_of(row) == [("Hi", "Hello", 1.0), ("Hi", "Bye", 0.0)]


def test_an_instruction_of_a_pair_is_followed_by_its_input() -> None:
    row = {"instruction": "Sum up.", "input": "Long.", "chosen": "a", "rejected": "b"}
    assert [text for text, _, _ in ratings_of(row)] == ["Sum up.\n\nLong."] * 2


def test_a_conversation_before_a_pair_is_its_input() -> None:
    human = "\n\nHuman: Hi\n\nAssistant: Yes?\n\nHuman: Go\n\nAssistant:"
    (first, _, _), _ = ratings_of({"chosen": f"{human} a", "rejected": f"{human} b"})
    assert first == "user: Hi\n\nassistant: Yes?\n\nuser: Go"


@pytest.mark.parametrize(("label", "rating"), [(True, 1.0), (False, 0.0), ("True", 1.0)])
@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Hi", "completion": "Hello"},
        {"prompt": [HI], "completion": [said("Hello")]},
        {"prompt": "Hi", "response": "Hello"},
    ],
)
def test_a_completion_with_a_label_is_an_answer_with_a_rating(
    row: Row, label: object, rating: float
) -> None:
    assert ratings_of({**row, "label": label}) == [("Hi", "Hello", rating)]


def test_a_label_that_is_a_class_is_not_taken_for_a_verdict() -> None:
    shape = shape_of([{"prompt": "Hi", "completion": "Hello", "label": "greeting"}])
    assert shape is None or not shape.name.startswith("labelled completions")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": "Hi", "chosen": "a", "rejected": "a"}, "are the same"),
        ({"chosen": "a", "rejected": "b"}, "has no prompt"),
        ({"chosen": [HI, said("a")], "rejected": [said("b")]}, "has no prompt"),
        ({"prompt": "Hi", "chosen": [{"role": "user", "content": "Ho"}, said("a")],
          "rejected": [HI, said("b")]}, "no answer of an assistant"),
    ],
)  # fmt: skip
def test_a_pair_that_is_none_says_why(row: Row, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        PreferencePairs().read_all(row)
