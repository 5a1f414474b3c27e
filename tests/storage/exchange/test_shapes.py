"""Rows of well-known shapes are recognised by their keys, and nothing of them is lost."""

import pytest

from storage.exchange.columns import Row
from storage.exchange.documents import column_rows, document_rows
from storage.exchange.examples import Example
from storage.exchange.shapes import shape_of

SYSTEM = {"role": "system", "content": "Be brief."}
ASK = {"role": "user", "content": "Where is Oslo?"}
ANSWER = {"role": "assistant", "content": "In Norway"}

ROWS: list[tuple[str, Row]] = [
    ("OpenAI chat messages", {"messages": [SYSTEM, ASK, ANSWER]}),
    ("OpenAI evals samples", {"input": [SYSTEM, ASK], "ideal": "In Norway"}),
    ("ShareGPT conversations", {"conversations": [
        {"from": "human", "value": "Where is Oslo?"}, {"from": "gpt", "value": "In Norway"}]}),
    ("Inspect samples", {"input": "Where is Oslo?", "target": "In Norway", "id": 1}),
    ("promptfoo tests", {"vars": {"question": "Where is Oslo?"},
                         "assert": [{"type": "latency", "value": 9},
                                    {"type": "equals", "value": "In Norway"}]}),
    ("promptfoo table", {"question": "Where is Oslo?", "__expected": "equals: In Norway"}),
    ("Langfuse dataset items", {"input": {"question": "Where is Oslo?"},
                                "expectedOutput": {"answer": "In Norway"}, "metadata": None}),
    ("LangSmith examples", {"inputs": {"question": "Where is Oslo?"},
                            "outputs": {"answer": "In Norway"}}),
    ("usual columns", {"Question": "Where is Oslo?", "Answer": "In Norway"}),
    ("usual columns", {"prompt": "Where is Oslo?", "completion": "In Norway"}),
    ("usual columns", {"input": "Where is Oslo?", "output": "In Norway"}),
    ("usual columns", {"prompt": [SYSTEM, ASK], "completion": [ANSWER]}),
    ("usual columns", {"prompt": "Where is Oslo?", "completion": [ANSWER]}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "row"), ROWS)
def test_a_row_of_each_shape_gives_its_input_and_its_reference(name: str, row: Row) -> None:
    shape = shape_of([row])
    assert shape is not None
    example = shape.read(row)
    assert (shape.name, example.input, example.reference) == (name, "Where is Oslo?", "In Norway")


@pytest.mark.parametrize("details", ["input", "context"])
def test_the_instruction_of_alpaca_is_never_lost(details: str) -> None:
    row = {"instruction": "Translate.", details: "Guten Tag", "output": "Good day"}
    shape = shape_of([row])
    assert shape is not None
    example = shape.read(row)
    assert (example.input, example.reference) == ("Translate.\n\nGuten Tag", "Good day")
    assert shape.read({**row, details: ""}).input == "Translate."


def test_messages_are_kept_whole_and_a_long_exchange_is_a_transcript() -> None:
    row = {"messages": [SYSTEM, ASK, ANSWER, {"role": "user", "content": "And Rome?"}]}
    shape = shape_of([row])
    assert shape is not None
    example = shape.read(row)
    assert example.input == "user: Where is Oslo?\n\nassistant: In Norway\n\nuser: And Rome?"
    assert example.reference is None
    assert list(example.messages) == row["messages"]


def test_a_squad_document_gives_a_row_for_each_question() -> None:
    answers = [{"text": "Norway", "answer_start": 0}, {"text": "in Norway", "answer_start": 1}]
    nothing: list[Row] = []
    questions = [
        {"question": "Where?", "answers": answers},
        {"question": "Why?", "answers": nothing},
    ]
    paragraphs = [{"context": "Oslo lies in Norway.", "qas": questions}]
    rows = document_rows({"version": "2", "data": [{"title": "Oslo", "paragraphs": paragraphs}]})
    assert rows is not None
    shape = shape_of(rows)
    assert shape is not None
    first, second = map(shape.read, rows)
    assert first.input == "Oslo lies in Norway.\n\nWhere?"
    assert (first.reference, first.alternatives, first.topic) == ("Norway", ("in Norway",), "Oslo")
    assert (second.reference, second.tags) == (None, ("unanswerable",))


def test_choices_of_inspect_follow_the_input_with_their_letters() -> None:
    row = {"input": "Which?", "choices": ["Oslo", "Rome"], "target": "A"}
    shape = shape_of([row])
    assert shape is not None
    assert shape.read(row).input == "Which?\n\nA) Oslo\nB) Rome"


@pytest.mark.parametrize("row", [{"prompt": "a", "text": "b"}, {"x": "a", "answer": "b"},
                                 {"question": "a", "answer": "b", "label": "c"}])  # fmt: skip
def test_columns_that_can_be_meant_twice_or_not_at_all_are_not_guessed(row: Row) -> None:
    assert shape_of([row]) is None


def test_an_input_alone_has_no_reference() -> None:
    row = {"question": "Where is Oslo?", "answer": None, "tags": "far away, north"}
    shape = shape_of([row])
    assert shape is not None
    example = shape.read(row)
    assert (example.reference, example.tags) == (None, ("far_away", "north"))


def test_messages_in_a_cell_of_a_spreadsheet_are_read() -> None:
    row = {"messages": '[{"role": "user", "content": [{"type": "text", "text": "Hello"}]}]'}
    shape = shape_of([row])
    assert shape is not None
    assert shape.read(row).input == "Hello"


def test_a_picture_in_a_message_is_named_as_what_cannot_be_read() -> None:
    parts = [{"type": "image_url", "image_url": {"url": "x"}}]
    row = {"messages": [{"role": "user", "content": parts}]}
    shape = shape_of([row])
    assert shape is not None
    with pytest.raises(ValueError, match="image_url"):
        shape.read(row)


def test_a_list_is_one_output_unless_the_shape_lists_alternatives() -> None:
    for row, reference in (
        ({"inputs": {"text": "a"}, "outputs": {"cities": ["Oslo", "Rome"]}}, ["Oslo", "Rome"]),
        ({"input": "a", "output": ["Oslo", "Rome"]}, ["Oslo", "Rome"]),
        ({"input": "a", "target": ["Oslo", "Rome"]}, "Oslo"),
        ({"input": "a", "ideal": ["Oslo", "Rome"]}, "Oslo"),
    ):
        shape = shape_of([row])
        assert shape is not None
        assert shape.read(row).reference == reference


def test_tags_of_an_exported_table_are_read_as_they_were_written() -> None:
    row = {"input": "a", "output": "b", "tags": "x y"}
    shape = shape_of([row])
    assert shape is not None
    assert shape.read(row).tags == ("x", "y")


def example_of_row(row: Row) -> Example:
    shape = shape_of([row])
    assert shape is not None
    return shape.read(row)


def test_a_sample_of_an_inspect_log_has_its_target_and_not_what_the_model_said() -> None:
    row = {"input": "Where is Oslo?", "target": "In Norway", "id": 1, "epoch": 1,
           "messages": [ASK, {"role": "assistant", "content": "In Sweden"}]}  # fmt: skip
    assert example_of_row(row).reference == "In Norway"


def test_messages_without_an_answer_take_the_output_of_their_row() -> None:
    assert example_of_row({"messages": [SYSTEM, ASK], "ideal": "In Norway"}).reference == (
        "In Norway"
    )
    assert example_of_row({"messages": [ASK, ANSWER], "label": "good"}).reference == "In Norway"


def test_a_call_of_a_function_in_place_of_words_is_the_output() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
    answer = {"role": "assistant", "content": None, "tool_calls": [call]}
    assert example_of_row({"messages": [ASK, answer]}).reference == '{"x": 1}'


@pytest.mark.parametrize(
    "row",
    [
        {"vars": {"q": "Hi"}, "assert": [{"type": "llm-rubric", "value": "is polite"}]},
        {"q": "Hi", "__expected": "contains: foo"},
        {"context": "The sky.", "question": "Why?", "answers": {"text": []}},
    ],
)
def test_a_row_whose_check_names_no_output_lacks_none(row: Row) -> None:
    example = example_of_row(row)
    assert (example.reference, example.is_open) == (None, True)


@pytest.mark.parametrize(
    "row",
    [
        {"question": "Where is Oslo?", "choices": ["Italy", "Norway"], "answer": 1},
        {"question": "Where is Oslo?", "answerKey": "B",
         "choices": {"text": ["Italy", "Norway"], "label": ["A", "B"]}},
    ],
)  # fmt: skip
def test_a_multiple_choice_question_keeps_its_choices(row: Row) -> None:
    example = example_of_row(row)
    assert example.input == "Where is Oslo?\n\nA) Italy\nB) Norway"
    assert example.reference == "B"


def test_a_page_of_hugging_face_gives_the_names_of_its_classes() -> None:
    document = {
        "features": [{"name": "label", "type": {"names": ["neg", "pos"], "_type": "ClassLabel"}}],
        "rows": [{"row_idx": 0, "row": {"text": "great", "label": 1, "n": 1}}],
    }
    assert document_rows(document) == [{"text": "great", "label": "pos", "n": 1}]


@pytest.mark.parametrize(
    "document",
    [
        {"input": ["a", "b"], "output": ["c", "d"]},
        {"input": {"0": "a", "1": "b"}, "output": {"0": "c", "1": "d"}},
    ],
)
def test_a_document_of_columns_has_a_row_for_each_place(document: Row) -> None:
    assert column_rows(document) == [{"input": "a", "output": "c"}, {"input": "b", "output": "d"}]


@pytest.mark.parametrize(
    "row",
    [
        {"input": ["a", "b"], "output": "c"},
        {"input": ["a"], "output": ["c"]},
        {"a": [1, 2]},
        {"chosen": [ASK, ANSWER], "rejected": [ASK, ANSWER]},
    ],
)
def test_a_row_that_holds_lists_stays_one_row(row: Row) -> None:
    assert column_rows(row) is None
