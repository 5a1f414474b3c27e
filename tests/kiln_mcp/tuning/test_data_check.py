from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiln_mcp.tuning.data_check import (
    CHARACTERS_A_TOKEN,
    LONGEST_TOKENS,
    DataExample,
    DataFaultKind,
    HeldOutItem,
    check_data,
    is_shown,
)
from kiln_mcp.tuning.formats import ExportFormat

PLAIN = ExportFormat.HUGGINGFACE
COLOURS = ("red", "green", "blue")
SUBJECTS = ("The gate", "A lamp", "Our boat", "That wall", "Every roof")
PLACES = ("beside the river", "in my kitchen", "under old stairs", "near Lisbon", "on page nine")


def clean_examples() -> list[DataExample]:
    """Return 50 examples that differ in their words, in two parts."""
    words = [f"{subject} {place} {number}" for subject in SUBJECTS for place in PLACES
             for number in (subject[::-1] + place[::-1], place[::2] + subject[::2])]  # fmt: skip
    return [
        DataExample(
            part="train" if place < 40 else "val",
            line=place + 1 if place < 40 else place - 39,
            run=f"r{place}",
            input=text,
            answer=COLOURS[place % 3],
            characters=200,
        )
        for place, text in enumerate(words)
    ]


def kinds_at(examples: list[DataExample], *held_out: HeldOutItem) -> list[tuple[str, int | None]]:
    return [(fault.kind, fault.line) for fault in check_data(examples, held_out, PLAIN)]


def test_data_without_faults_is_told_only_that_it_is_little() -> None:
    faults = check_data(clean_examples(), [HeldOutItem("h", "Something else entirely")], PLAIN)
    assert [fault.kind for fault in faults] == [DataFaultKind.TOO_FEW]
    assert faults[0].reason == "it has 40 examples; fewer than 50 seldom help"


def test_nothing_to_check_has_no_faults() -> None:
    assert check_data([], [HeldOutItem("h", "x")], PLAIN) == ()


def test_a_format_of_a_service_is_checked_against_what_it_takes() -> None:
    few = [replace(example, line=place) for place, example in enumerate(clean_examples()[:9], 1)]
    [fault] = check_data(few, [], ExportFormat.OPENAI_CHAT)
    assert "take 10 or more" in fault.reason
    assert fault.line is None


@pytest.mark.parametrize(
    "text",
    [
        "The gate beside the river etag ehTrevir eht ediseb",
        "the gate  beside the river ETAG ehTrevir eht ediseb!",
    ],
)
def test_an_input_that_an_eval_measures_on_is_found_though_a_little_changed(text: str) -> None:
    examples = clean_examples()
    assert kinds_at(examples, HeldOutItem("h1", text))[0] == (DataFaultKind.LEAK, 1)
    reason = check_data(examples, [HeldOutItem("h1", text)], PLAIN)[0].reason
    assert "run h1" in reason


def test_an_item_does_not_leak_into_itself() -> None:
    first = clean_examples()[0]
    leaks = kinds_at(clean_examples(), HeldOutItem(first.run, first.input))
    assert (DataFaultKind.LEAK, first.line) not in leaks


def test_equal_inputs_are_contradictions_duplicates_or_lie_across_parts() -> None:
    examples = clean_examples()
    examples[5] = replace(examples[5], input=examples[1].input.upper(), answer="purple")
    examples[6] = replace(examples[6], input=f" {examples[2].input}", answer=examples[2].answer)
    examples[45] = replace(examples[45], input=examples[3].input, answer=examples[3].answer)
    assert kinds_at(examples) == [
        (DataFaultKind.CONTRADICTION, 6),
        (DataFaultKind.ACROSS_PARTS, 6),
        (DataFaultKind.DUPLICATE, 7),
        (DataFaultKind.TOO_FEW, None),
    ]
    assert "line 2 of train has the same input and the answer 'green', this one 'purple'" in (
        check_data(examples, [], PLAIN)[0].reason
    )


def test_empty_long_and_shortened_examples_are_named() -> None:
    examples = clean_examples()
    examples[0] = replace(examples[0], answer=" ")
    examples[1] = replace(examples[1], characters=int(CHARACTERS_A_TOKEN * LONGEST_TOKENS) + 9)
    examples[2] = replace(examples[2], has_tool_calls=True)
    assert kinds_at(examples)[:3] == [
        (DataFaultKind.EMPTY, 1),
        (DataFaultKind.TOO_LONG, 2),
        (DataFaultKind.TOOLS_LEFT_OUT, 3),
    ]


def test_an_answer_that_nearly_all_examples_have_is_named_where_answers_are_classes() -> None:
    examples = [
        example if place % 8 == 0 else replace(example, answer="Other")
        for place, example in enumerate(clean_examples())
    ]
    fault = check_data(examples, [], PLAIN)[-1]
    assert fault.kind is DataFaultKind.ONE_CLASS
    assert fault.reason == "35 of 40 answers are 'other'"
    assert DataFaultKind.ONE_CLASS not in dict(kinds_at(examples[:15]))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xy")), max_size=12))
def test_every_example_that_repeats_an_input_is_named_once_as_its_answer_is(
    pairs: list[tuple[str, str]],
) -> None:
    examples = [
        DataExample("train", line, f"r{line}", f"input {text * 9}", answer, 50)
        for line, (text, answer) in enumerate(pairs, 1)
    ]
    counts = Counter(fault.kind for fault in check_data(examples, [], PLAIN))
    repeated = len(pairs) - len({text for text, _ in pairs})
    assert counts[DataFaultKind.CONTRADICTION] + counts[DataFaultKind.DUPLICATE] == repeated


@pytest.mark.parametrize(
    ("task_input", "answer", "system", "expected"),
    [
        ("It broke", "refund", "Choose refund or help.\nInput: It broke\nOutput: refund", True),
        ("It broke", "refund", "Choose refund or help. It broke means help.", False),
        ("It", "refund", "Choose for Items: refund.", False),
        ("", "refund", "refund", False),
        ("It broke", "", "It broke", False),
    ],
)
def test_a_prompt_shows_an_item_if_its_answer_follows_its_input(
    task_input: str, answer: str, system: str, expected: bool
) -> None:
    assert is_shown(task_input, answer, system) is expected
