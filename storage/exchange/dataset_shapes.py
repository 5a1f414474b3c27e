"""Shapes of data sets and of test suites: Alpaca, SQuAD, Inspect, promptfoo and others."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from string import ascii_uppercase
from typing import Final

from storage.exchange.chat_shapes import example_of
from storage.exchange.columns import Row
from storage.exchange.examples import (
    Example,
    fields_of,
    is_empty,
    list_of,
    object_of,
    text_of_value,
    topic_of,
)

_EXACT: Final = frozenset({"equals", "similar", "factuality", "levenshtein", "rouge-n", "bleu"})
"""Assertions of promptfoo whose value is a right output."""
_ANSWERS: Final = ("output", "response", "completion", "answer")
_DETAILS: Final = ("input", "context")
UNANSWERABLE: Final = "unanswerable"


class Instructions:
    """`instruction` with `input` or `context`, and the output: Alpaca and Dolly."""

    name = "Alpaca instructions"

    def fits(self, row: Row) -> bool:
        """Whether a row has an instruction, and an input or an output beside it."""
        keys = row_keys(row)
        return "instruction" in keys and bool(keys & {*_ANSWERS, *_DETAILS})

    def read(self, row: Row) -> Example:
        """Return the example of a row: the instruction is the head of the input.

        Raises:
            ValueError: It has no instruction.
        """
        fields = fields_of(row)
        if "instruction" not in fields:
            raise ValueError("its instruction is empty")
        parts = [fields["instruction"], *(fields[key] for key in _DETAILS if key in fields)]
        answer = next((fields[key] for key in _ANSWERS if key in fields), None)
        return example_of(fields, "\n\n".join(map(text_of_value, parts)), answer)


class SQuAD:
    """`context`, `question` and `answers`; the rows of Hugging Face and those of the document."""

    name = "SQuAD questions"

    def fits(self, row: Row) -> bool:
        """Whether a row has a context, a question and answers."""
        return {"context", "question", "answers"} <= row_keys(row)

    def read(self, row: Row) -> Example:
        """Return the example of a row; without answers it has the tag unanswerable.

        Raises:
            ValueError: It lacks a part, or its answers cannot be read.
        """
        fields = fields_of(row)
        for key in ("context", "question"):
            if key not in fields:
                raise ValueError(f"its {key} is empty")
        answers = _answer_texts(fields.get("answers", []))
        text = f"{text_of_value(fields['context'])}\n\n{text_of_value(fields['question'])}"
        return Example(
            text,
            answers[0] if answers else None,
            () if answers else (UNANSWERABLE,),
            topic_of(fields.get("title")),
            alternatives=tuple(dict.fromkeys(answer for answer in answers if answer != answers[0])),
            is_open=not answers,
        )


def _answer_texts(value: object) -> list[str]:
    """Return the texts of answers: an object with a list of text, or a list of objects."""
    answers = object_of(value)
    if answers is not None:
        return [text_of_value(text) for text in list_of(answers.get("text")) or []]
    entries = list_of(value)
    if entries is None:
        raise ValueError("its answers are neither an object nor a list")
    texts = [(object_of(entry) or {}).get("text", entry) for entry in entries]
    return [text_of_value(text) for text in texts]


class Inspect:
    """`input` and `target`, with `choices` where it is a multiple-choice question."""

    name = "Inspect samples"

    def fits(self, row: Row) -> bool:
        """Whether a row has an input and a target; a log's messages are what a model said."""
        is_request = "messages" in (object_of(fields_of(row).get("input")) or {})
        return {"input", "target"} <= row_keys(row) and not is_request

    def read(self, row: Row) -> Example:
        """Return the example of a row; choices follow the input with their letters.

        Raises:
            ValueError: It has no input.
        """
        fields = fields_of(row)
        question, choices = fields.get("input"), list_of(fields.get("choices"))
        if choices and isinstance(question, str):
            question = _with_choices(question, ascii_uppercase, choices)
        return example_of(fields, question, fields.get("target"), has_alternatives=True)


def _with_choices(question: str, labels: Sequence[object], choices: Sequence[object]) -> str:
    pairs = zip(labels, choices, strict=False)
    return "\n".join([question, "", *(f"{label}) {text_of_value(text)}" for label, text in pairs)])


class MultipleChoice:
    """`question`, `choices` and the place or label of the right one: MMLU, ARC and others."""

    name = "multiple-choice questions"

    def fits(self, row: Row) -> bool:
        """Whether a row has a question, choices and an answer."""
        keys = row_keys(row)
        return {"question", "choices"} <= keys and bool(keys & {"answer", "answerkey"})

    def read(self, row: Row) -> Example:
        """Return the example of a row: choices follow the question, a label is the reference.

        Raises:
            ValueError: It lacks a question or choices, or its answer is none of them.
        """
        fields = fields_of(row)
        choices = object_of(fields.get("choices")) or {"text": list_of(fields.get("choices"))}
        texts = list_of(choices.get("text")) or []
        labels = list_of(choices.get("label")) or list[object](ascii_uppercase[: len(texts)])
        if "question" not in fields or not texts:
            raise ValueError("it has no question with choices")
        answer = fields.get("answerkey", fields.get("answer"))
        if isinstance(answer, int):
            if not 0 <= answer < len(labels):
                raise ValueError(f"its answer {answer} is the place of none of its choices")
            answer = labels[answer]
        question = _with_choices(text_of_value(fields["question"]), labels, texts)
        return example_of(fields, question, answer)


class Promptfoo:
    """`vars` with `assert`, as in promptfoo's tests."""

    name = "promptfoo tests"

    def fits(self, row: Row) -> bool:
        """Whether a row has variables."""
        return object_of(fields_of(row).get("vars")) is not None

    def read(self, row: Row) -> Example:
        """Return the example of a row; assertions that hold a right output give the reference.

        Raises:
            ValueError: It has no variables.
        """
        fields = fields_of(row)
        variables = object_of(fields.get("vars"))
        if not variables:
            raise ValueError("it has no vars")
        assertions = [object_of(entry) for entry in list_of(fields.get("assert")) or []]
        values = [entry.get("value") for entry in assertions if entry and _is_exact(entry)]
        example = example_of_payloads(fields, variables, next(iter(values), None))
        return replace(example, is_open=bool(assertions) and not values)


def _is_exact(assertion: Mapping[str, object]) -> bool:
    return assertion.get("type") in _EXACT and not is_empty(assertion.get("value"))


class PromptfooTable:
    """A column for each variable, and `__expected`, as in promptfoo's CSV."""

    name = "promptfoo table"

    def fits(self, row: Row) -> bool:
        """Whether a row has promptfoo's column of expectations."""
        return any(key.strip().casefold().startswith("__expected") for key in row)

    def read(self, row: Row) -> Example:
        """Return the example of a row; an expectation without another type is the reference.

        Raises:
            ValueError: It has no variable.
        """
        cells = {key: value for key, value in row.items() if not is_empty(value)}
        variables = {key: value for key, value in cells.items() if not key.startswith("__")}
        if not variables:
            raise ValueError("it has no variable")
        expected = [
            _expected(text_of_value(value))
            for key, value in cells.items()
            if key.casefold().startswith("__expected")
        ]
        reference = next(filter(None, expected), None)
        example = Example(_only_value(variables), reference, is_open=None in expected)
        return replace(example, whole_input=variables)


def _expected(text: str) -> str | None:
    """Return the output that an expectation names; None if it names a property of the output."""
    kind, colon, value = text.partition(":")
    name = kind.partition("(")[0].strip().casefold()
    if not colon or not name.replace("-", "").isalpha() or name in ("http", "https"):
        return text
    if name in _EXACT:
        return value.strip()
    return None if name in _PROPERTIES else text


_PROPERTIES: Final = frozenset({
    "contains", "icontains", "contains-any", "contains-all", "icontains-any", "icontains-all",
    "regex", "starts-with", "is-json", "contains-json", "javascript", "fn", "eval", "python",
    "llm-rubric", "grade", "model-graded-closedqa", "cost", "latency", "perplexity", "webhook",
    "file", "answer-relevance", "context-recall", "is-sql", "is-xml",
})  # fmt: skip
"""Expectations of promptfoo that name a property, not an output."""


class LangfuseItems:
    """`input`, `expectedOutput` and `metadata`."""

    name = "Langfuse dataset items"

    def fits(self, row: Row) -> bool:
        """Whether a row has an input and an expected output, which may be empty."""
        return {"input", "expectedoutput"} <= row_keys(row)

    def read(self, row: Row) -> Example:
        """Return the example of a row.

        Raises:
            ValueError: It has no input.
        """
        fields = fields_of(row)
        return example_of_payloads(fields, fields.get("input"), fields.get("expectedoutput"))


class LangSmithExamples:
    """`inputs` and `outputs`, objects by the names of variables."""

    name = "LangSmith examples"

    def fits(self, row: Row) -> bool:
        """Whether a row has inputs, an object."""
        fields = fields_of(row)
        return "outputs" in row_keys(row) and object_of(fields.get("inputs")) is not None

    def read(self, row: Row) -> Example:
        """Return the example of a row.

        Raises:
            ValueError: It has no inputs.
        """
        fields = fields_of(row)
        return example_of_payloads(fields, fields.get("inputs"), fields.get("outputs"))


def row_keys(row: Row) -> set[str]:
    """Return a row's keys as `fields_of` has them, also those without a value."""
    return set(fields_of(dict.fromkeys(row, True)))


def example_of_payloads(fields: Row, question: object, answer: object | None) -> Example:
    """Return an example of objects by the names of variables; one with one member stands for it.

    Raises:
        ValueError: There is no input.
    """
    example = example_of(fields, _payload(question), _payload(answer))
    return replace(
        example,
        whole_input=None if example.messages else object_of(question),
        whole_reference=object_of(answer),
    )


def _payload(value: object) -> object | None:
    """Return what an object with one member holds, or a message's text; all else as it is."""
    data = object_of(value)
    if data is None:
        return value
    if "role" in data and isinstance(data.get("content"), str):
        return data["content"]
    return _only_value(data) if data else None


def _only_value(data: Mapping[str, object]) -> object:
    if "messages" in data:
        return data["messages"]
    return next(iter(data.values())) if len(data) == 1 else dict(data)
