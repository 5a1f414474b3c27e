from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiln_mcp.tuning.data_check import (
    CHARACTERS_A_TOKEN,
    FAULTS_OF_A_KIND,
    LONGEST_TOKENS,
    DataCheck,
    DataExample,
    DataFault,
    DataFaultKind,
    HeldOutItem,
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


def check_data(
    examples: Sequence[DataExample],
    held_out: Sequence[HeldOutItem],
    shape: ExportFormat,
) -> Sequence[DataFault]:
    check = DataCheck(held_out, shape)
    for example in examples:
        check.add(example)
    faults = check.result()
    assert faults.counts == Counter(fault.kind for fault in faults.gravest)
    return faults.gravest


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


@pytest.mark.parametrize("texts_at_once", [4, 10, 34, 1000])
def test_a_leak_is_found_however_few_inputs_are_compared_at_once(texts_at_once: int) -> None:
    examples = clean_examples()
    held_out = [HeldOutItem(f"h{n}", f"nothing like {n} that {'xyz'[n % 3] * n}") for n in range(9)]
    held_out += [HeldOutItem("h9", examples[47].input), HeldOutItem("h10", examples[2].input)]
    check = DataCheck(held_out, PLAIN, texts_at_once)
    for example in examples:
        check.add(example)
    leaks = [fault for fault in check.result().gravest if fault.kind is DataFaultKind.LEAK]
    assert [(leak.part, leak.line) for leak in leaks] == [("train", 3), ("val", 8)]
    assert "run h10" in leaks[0].reason


def test_of_two_items_that_it_nearly_is_the_other_one_is_the_leak() -> None:
    first = clean_examples()[0]
    twins = [HeldOutItem("h1", first.input), HeldOutItem(first.run, first.input)]
    assert (DataFaultKind.LEAK, first.line) in kinds_at(clean_examples(), *twins)


def test_all_faults_are_counted_and_only_those_that_are_read_are_kept() -> None:
    check = DataCheck([], PLAIN)
    for line in range(1, 3 * FAULTS_OF_A_KIND):
        check.add(DataExample("train", line, f"r{line}", f"input {line}", "", 50))
    faults = check.result()
    assert faults.counts[DataFaultKind.EMPTY] == 3 * FAULTS_OF_A_KIND - 1
    lines = [fault.line for fault in faults.gravest if fault.kind is DataFaultKind.EMPTY]
    assert lines == [*range(1, FAULTS_OF_A_KIND + 1)]


def test_runs_whose_tools_differ_are_named_and_unknown_tools_are_none() -> None:
    examples = clean_examples()
    for place, tools in ((1, "ab"), (3, "ba"), (4, "a"), (5, "")):
        examples[place] = replace(examples[place], tools=frozenset(tools))
    faults = [
        fault
        for fault in check_data(examples, [], PLAIN)
        if fault.kind is DataFaultKind.TOOL_MISMATCH
    ]
    assert [fault.line for fault in faults] == [5, 6]
    assert (
        faults[0].reason
        == "its run had the tools a, and that of line 2 of train had the tools a, b"
    )
    assert faults[1].reason.startswith("its run had no tools, and")


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
