"""Look for what spoils training data, before anything is written, paid for or trained."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from typing import Final, NamedTuple

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
TEXTS_AT_ONCE: Final = 30_000
"""Inputs that are compared at once: memory stays the same however many there are."""
FAULTS_OF_A_KIND: Final = 100
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
    TOOL_MISMATCH = "tool_mismatch"
    """Its run could call other tools than that of the first example."""
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
        tools: The tools that its run could call; None if that is not known.
    """

    part: str
    line: int
    run: str
    input: str
    answer: str
    characters: int
    has_tool_calls: bool = False
    tools: frozenset[str] | None = None

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


@dataclass(frozen=True, slots=True)
class DataFaults:
    """What is wrong with training data.

    Attributes:
        counts: How many faults there are of each kind, the gravest kind first.
        gravest: The faults, the gravest first, in the order of lines; of each kind no more than
            are ever read.
    """

    counts: Mapping[DataFaultKind, int]
    gravest: Sequence[DataFault]


class _FirstExample(NamedTuple):
    """Where an input came first, and what its answer was."""

    part: str
    line: int
    answer_key: bytes
    quote: str


class DataCheck:
    """Takes examples one by one, and keeps of each a little only.

    Args:
        held_out: What evals measure on.
        shape: The format of the files.
        texts_at_once: Inputs that are compared at once.
    """

    def __init__(
        self,
        held_out: Sequence[HeldOutItem],
        shape: ExportFormat,
        texts_at_once: int = TEXTS_AT_ONCE,
    ) -> None:
        self._held_out = held_out
        self._shape = shape
        self._texts_at_once = texts_at_once
        self._faults: dict[DataFaultKind, list[DataFault]] = {kind: [] for kind in DataFaultKind}
        self._counts: Counter[DataFaultKind] = Counter()
        self._firsts: dict[bytes, _FirstExample] = {}
        self._pending_examples: list[DataExample] = []
        self._learnt_part: str | None = None
        self._learnt_count = 0
        self._classes: Counter[str] | None = Counter()
        self._tools: tuple[DataExample, frozenset[str]] | None = None

    def add(self, example: DataExample) -> None:
        """Take in an example; the first one's part is the one that is trained on."""
        if self._learnt_part is None:
            self._learnt_part = example.part
        if example.part == self._learnt_part:
            self._count_answer(example.answer)
        self._check_alone(example)
        self._check_tools(example)
        self._check_repetition(example)
        if self._held_out:
            self._pending_examples.append(example)
            if len(self._pending_examples) >= self._texts_at_once // 2:
                self._check_leaks()

    def result(self) -> DataFaults:
        """Return what is wrong with all examples so far."""
        self._check_leaks()
        self._check_learnt_part()
        faults = [
            fault
            for kind in DataFaultKind
            for fault in sorted(self._faults[kind], key=lambda fault: fault.line or 0)
        ]
        counts = {kind: self._counts[kind] for kind in DataFaultKind if self._counts[kind]}
        return DataFaults(counts, tuple(faults))

    def _note(self, kind: DataFaultKind, example: DataExample, reason: str) -> None:
        self._note_fault(DataFault(kind, example.part, example.line, example.run, reason))

    def _note_fault(self, fault: DataFault) -> None:
        self._counts[fault.kind] += 1
        if len(self._faults[fault.kind]) < FAULTS_OF_A_KIND:
            self._faults[fault.kind].append(fault)

    def _count_answer(self, answer: str) -> None:
        self._learnt_count += 1
        if self._classes is not None:
            self._classes[_normal(answer)] += 1
            if len(self._classes) > MOST_CLASSES:
                self._classes = None  # its answers are no classes

    def _check_alone(self, example: DataExample) -> None:
        for name, text in (("input", example.input), ("answer", example.answer)):
            if not text.strip():
                self._note(DataFaultKind.EMPTY, example, f"its {name} is empty")
        if example.tokens > LONGEST_TOKENS:
            reason = f"it has about {example.tokens:,} tokens, more than {LONGEST_TOKENS:,}"
            self._note(DataFaultKind.TOO_LONG, example, reason)
        if example.has_tool_calls:
            reason = "its run called tools; the format has the last answer alone"
            self._note(DataFaultKind.TOOLS_LEFT_OUT, example, reason)

    def _check_tools(self, example: DataExample) -> None:
        """Note a run whose tools are not those of the first run whose tools are known."""
        if example.tools is None:
            return
        if self._tools is None:
            self._tools = example, example.tools
        first, tools = self._tools
        if example.tools != tools:
            reason = (
                f"its run had {_tools_text(example.tools)}, and that of line {first.line} of "
                f"{first.part} had {_tools_text(tools)}"
            )
            self._note(DataFaultKind.TOOL_MISMATCH, example, reason)

    def _check_repetition(self, example: DataExample) -> None:
        """Note contradictions, duplicates, and inputs that lie in several parts."""
        input_key, answer_key = _key(example.input), _key(example.answer)
        first = self._firsts.get(input_key)
        if first is None:
            quote = _quote(example.answer)
            self._firsts[input_key] = _FirstExample(example.part, example.line, answer_key, quote)
            return
        place = f"line {first.line} of {first.part}"
        if answer_key != first.answer_key:
            reason = (
                f"{place} has the same input and the answer {first.quote}, this one "
                f"{_quote(example.answer)}"
            )
            self._note(DataFaultKind.CONTRADICTION, example, reason)
        elif example.part == first.part:
            self._note(DataFaultKind.DUPLICATE, example, f"{place} is the same")
        if example.part != first.part:
            self._note(DataFaultKind.ACROSS_PARTS, example, f"{place} has the same input")

    def _check_leaks(self) -> None:
        """Note those of the last examples whose input nearly is that of a held-out item."""
        examples, self._pending_examples = self._pending_examples, []
        size = max(1, self._texts_at_once - len(examples))
        leaks: dict[int, HeldOutItem] = {}
        for begin in range(0, len(self._held_out) if examples else 0, size):
            for place, item in _leaks(examples, self._held_out[begin : begin + size]):
                leaks.setdefault(place, item)
        for place, item in sorted(leaks.items(), key=lambda leak: leak[0]):
            reason = f"its input is nearly that of run {item.run}, which an eval measures on"
            self._note(DataFaultKind.LEAK, examples[place], reason)

    def _check_learnt_part(self) -> None:
        """Note what is wrong with the part that is trained on as a whole."""
        part, count, fewest = (
            self._learnt_part,
            self._learnt_count,
            FEWEST_EXAMPLES.get(self._shape, 1),
        )
        if part is None:
            return
        if count < fewest:
            reason = (
                f"it has {count} examples; services that read {self._shape} take {fewest} or more"
            )
            self._note_fault(DataFault(DataFaultKind.TOO_FEW, part, None, "", reason))
        elif count < USUAL_FEWEST:
            reason = f"it has {count} examples; fewer than {USUAL_FEWEST} seldom help"
            self._note_fault(DataFault(DataFaultKind.TOO_FEW, part, None, "", reason))
        if self._classes is None or count < MOST_CLASSES:
            return
        [(answer, largest)] = self._classes.most_common(1)
        if largest > LARGEST_SHARE * count:
            reason = f"{largest} of {count} answers are {_quote(answer)}"
            self._note_fault(DataFault(DataFaultKind.ONE_CLASS, part, None, "", reason))


def _leaks(
    examples: Sequence[DataExample], held_out: Sequence[HeldOutItem]
) -> Iterator[tuple[int, HeldOutItem]]:
    """Yield the places of examples with the item that their input nearly is, if it is another."""
    texts = [*(item.input for item in held_out), *(example.input for example in examples)]
    groups: list[int] = NearDuplicates(texts).duplicate_groups.tolist()
    items_by_group: dict[int, list[HeldOutItem]] = defaultdict(list)
    for item, group in zip(held_out, groups, strict=False):
        items_by_group[group].append(item)
    for place, group in enumerate(groups[len(held_out) :]):
        run = examples[place].run
        other = next((i for i in items_by_group.get(group, ()) if i.run != run), None)
        if other is not None:
            yield place, other


def _tools_text(tools: frozenset[str]) -> str:
    return f"the tools {', '.join(sorted(tools))}" if tools else "no tools"


def _key(text: str) -> bytes:
    """Return a digest of a text, whatever its case and blanks."""
    return blake2b(_normal(text).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _normal(text: str) -> str:
    return " ".join(text.casefold().split())


def _quote(text: str) -> str:
    return repr(excerpt_line(text, _LONGEST_QUOTE))
