"""Look for what spoils training data, before anything is written, paid for or trained."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from kiln_mcp.datasets.near_duplicates import NearDuplicates
from kiln_mcp.tuning.formats import ExportFormat
from storage.text.excerpts import excerpt_line

CHARACTERS_A_TOKEN: Final = 3.5
"""Of English and code, cautiously; a tokenizer of the model counts exactly."""
FEWEST_EXAMPLES: Final[Mapping[ExportFormat, int]] = {
    ExportFormat.OPENAI_CHAT: 10,
    ExportFormat.OPENAI_JSON: 10,
    ExportFormat.OPENAI_TOOL: 10,
}
"""Below these, services that read the format refuse the file."""
USUAL_FEWEST: Final = 50
"""Fewer seldom teach more than a prompt with examples does."""
LONGEST_TOKENS: Final = 8192
"""Many services and local trainers cut or refuse an example beyond it."""
MOST_CLASSES: Final = 20
LARGEST_SHARE: Final = 0.8
"""A class beyond this share is what a model learns to answer always."""
_LONGEST_QUOTE: Final = 80


def is_shown(task_input: str, answer: str, system: str) -> bool:
    """Return whether a system message shows an input, and its answer somewhere after it."""
    text, answer = task_input.strip(), answer.strip()
    if not text or not answer:
        return False
    place = re.search(rf"(?<!\w){re.escape(text)}(?!\w)", system)
    return place is not None and answer in system[place.end() :]


class DataFaultKind(StrEnum):
    """What can spoil training data, the gravest first."""

    LEAK = "leak"
    """Its input is, or nearly is, one that an eval measures on."""
    CONTRADICTION = "contradiction"
    """The same input has different answers."""
    ACROSS_PARTS = "across_parts"
    """The same input lies in a part that is trained on and in one that is not."""
    EMPTY = "empty"
    """Its input or its answer is empty."""
    TOO_LONG = "too_long"
    """It has more tokens than most services and trainers take."""
    TOOLS_LEFT_OUT = "tools_left_out"
    """Its run called tools, and the format has the last answer alone."""
    DUPLICATE = "duplicate"
    """Input and answer are there before."""
    TOO_FEW = "too_few"
    """There are fewer examples than services take, or than usually help."""
    ONE_CLASS = "one_class"
    """Nearly all answers are the same."""


@dataclass(frozen=True, slots=True)
class DataExample:
    """An example as it would be trained on, and where it comes from.

    Attributes:
        part: Its part: "train".
        line: Its line in the part's file, from 1.
        run: The id of its run.
        input: The input.
        answer: The answer to learn.
        characters: Of all messages.
        has_tool_calls: Whether its run called tools.
    """

    part: str
    line: int
    run: str
    input: str
    answer: str
    characters: int
    has_tool_calls: bool = False

    @property
    def tokens(self) -> int:
        """Return about how many tokens it has."""
        return round(self.characters / CHARACTERS_A_TOKEN)


@dataclass(frozen=True, slots=True)
class DataFault:
    """A fault in training data.

    Attributes:
        kind: What is wrong.
        part: The part it is in.
        line: The line in the part's file, from 1; None if it concerns the whole part.
        run: The id of the example's run; "" if it concerns the whole part.
        reason: What was seen, in a sentence.
    """

    kind: DataFaultKind
    part: str
    line: int | None
    run: str
    reason: str


@dataclass(frozen=True, slots=True)
class HeldOutItem:
    """An item that an eval measures on."""

    run: str
    input: str


def check_data(
    examples: Sequence[DataExample],
    held_out: Sequence[HeldOutItem],
    shape: ExportFormat,
) -> tuple[DataFault, ...]:
    """Return the faults of training data, the gravest first, in the order of its lines.

    Args:
        examples: All parts, in the order of their lines. The first part is the one trained on.
        held_out: What evals measure on.
        shape: The format of the files.
    """
    faults = [
        *_leaks(examples, held_out),
        *_equal_inputs(examples),
        *_single_faults(examples),
        *_part_faults(examples, shape),
    ]
    rank = {kind: place for place, kind in enumerate(DataFaultKind)}
    return tuple(sorted(faults, key=lambda fault: (rank[fault.kind], fault.line or 0)))


def _leaks(examples: Sequence[DataExample], held_out: Sequence[HeldOutItem]) -> Iterator[DataFault]:
    """Yield examples whose input nearly is that of an item that evals measure on."""
    if not held_out or not examples:
        return
    texts = [*(item.input for item in held_out), *(item.input for item in examples)]
    names: list[int] = NearDuplicates(texts).duplicate_groups.tolist()
    item_by_group = dict(zip(names, held_out, strict=False))
    for example, group in zip(examples, names[len(held_out) :], strict=True):
        if (item := item_by_group.get(group)) is not None and item.run != example.run:
            yield _fault(
                DataFaultKind.LEAK,
                example,
                f"its input is nearly that of run {item.run}, which an eval measures on",
            )


def _equal_inputs(examples: Sequence[DataExample]) -> Iterator[DataFault]:
    """Yield contradictions, duplicates, and inputs that lie in several parts."""
    by_input: dict[str, list[DataExample]] = defaultdict(list)
    for example in examples:
        by_input[_normal(example.input)].append(example)
    for first, *repeats in by_input.values():
        for example in repeats:
            place = f"line {first.line} of {first.part}"
            if _normal(example.answer) != _normal(first.answer):
                reason = (
                    f"{place} has the same input and the answer {_quote(first.answer)}, this one "
                    f"{_quote(example.answer)}"
                )
                yield _fault(DataFaultKind.CONTRADICTION, example, reason)
            elif example.part == first.part:
                yield _fault(DataFaultKind.DUPLICATE, example, f"{place} is the same")
            if example.part != first.part:
                yield _fault(DataFaultKind.ACROSS_PARTS, example, f"{place} has the same input")


def _single_faults(examples: Iterable[DataExample]) -> Iterator[DataFault]:
    for example in examples:
        for name, text in (("input", example.input), ("answer", example.answer)):
            if not text.strip():
                yield _fault(DataFaultKind.EMPTY, example, f"its {name} is empty")
        if example.tokens > LONGEST_TOKENS:
            reason = f"it has about {example.tokens:,} tokens, more than {LONGEST_TOKENS:,}"
            yield _fault(DataFaultKind.TOO_LONG, example, reason)
        if example.has_tool_calls:
            reason = "its run called tools; the format has the last answer alone"
            yield _fault(DataFaultKind.TOOLS_LEFT_OUT, example, reason)


def _part_faults(examples: Sequence[DataExample], shape: ExportFormat) -> Iterator[DataFault]:
    """Yield what is wrong with the part that is trained on as a whole."""
    if not examples:
        return
    part = examples[0].part
    answers = Counter(_normal(example.answer) for example in examples if example.part == part)
    count, fewest = answers.total(), FEWEST_EXAMPLES.get(shape, 1)
    if count < fewest:
        reason = f"it has {count} examples; services that read {shape} take {fewest} or more"
        yield DataFault(DataFaultKind.TOO_FEW, part, None, "", reason)
    elif count < USUAL_FEWEST:
        reason = f"it has {count} examples; fewer than {USUAL_FEWEST} seldom help"
        yield DataFault(DataFaultKind.TOO_FEW, part, None, "", reason)
    [(answer, largest)] = answers.most_common(1)
    if len(answers) <= MOST_CLASSES and count >= MOST_CLASSES and largest > LARGEST_SHARE * count:
        reason = f"{largest} of {count} answers are {_quote(answer)}"
        yield DataFault(DataFaultKind.ONE_CLASS, part, None, "", reason)


def _fault(kind: DataFaultKind, example: DataExample, reason: str) -> DataFault:
    return DataFault(kind, example.part, example.line, example.run, reason)


def _normal(text: str) -> str:
    return " ".join(text.casefold().split())


def _quote(text: str) -> str:
    return repr(excerpt_line(text, _LONGEST_QUOTE))
