"""Find by rules the gaps that let two careful reviewers of a spec disagree."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from typing import Final

from kiln_mcp.spec_texts.sentences import content_words, overlap, sentences
from kiln_mcp.spec_texts.spec_kinds import FORMS, SpecKind
from storage import NO_EXAMPLES


class Rule(StrEnum):
    """A way in which a spec can be weak, the gravest first."""

    CONTRADICTION = "contradiction"
    """Two clauses, or a clause and the task's instruction, ask for opposite things."""
    UNMEASURABLE = "unmeasurable"
    """It is about a person's thoughts or feelings, which the output does not show."""
    UNDECIDED = "undecided"
    """A case that the spec does not decide; a model finds it."""
    VAGUE = "vague"
    """A word that each reviewer understands differently."""
    COMPOUND = "compound"
    """Several requirements in one clause: an output may meet one and break the other."""
    NO_EXAMPLE = "no_example"
    """No example of an output that fails, or of one that passes."""
    POLARITY = "polarity"
    """It is unclear whether the clause describes good or bad outputs."""
    OVERLAP = "overlap"
    """Two clauses, or examples of both sides, say the same."""
    ABSOLUTE = "absolute"
    """Always or never: exceptions decide the borderline cases."""


@dataclass(frozen=True, slots=True)
class Gap:
    """One weakness and the question that would close it.

    Attributes:
        rule: The kind of weakness.
        field: The field that it is in.
        quote: The words that show it; "" if something is missing.
        why: One sentence for the person.
        question: The question for the person.
        options: Answers to choose from; they may also answer freely.
    """

    rule: Rule
    field: str
    quote: str
    why: str
    question: str
    options: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Return a stable id, by which an answer names its question."""
        words = re.sub(r"[^a-z0-9]+", "_", self.quote.casefold()).strip("_")[:40]
        return ":".join(part for part in (str(self.rule), self.field, words) if part)


_LENGTH: Final = ("At most 1 sentence", "At most 3 sentences", "At most 100 words")
_VAGUE: Final[Mapping[str, tuple[str, ...]]] = {
    r"short(?:er)?|brief(?:ly)?|concise(?:ly)?|too long|lengthy": _LENGTH,
    r"detailed|in detail|thorough(?:ly)?|comprehensive(?:ly)?|in[- ]depth": (
        "It names every item of the input",
        "At least 5 sentences",
        "It gives a reason for each statement",
    ),
    r"polite(?:ly)?|friendly|respectful(?:ly)?|courteous(?:ly)?|rude(?:ly)?|professional(?:ly)?": (
        "No insult, blame or sarcasm",
        "It also greets or thanks the reader",
        "It also acknowledges the reader's problem",
    ),
    r"relevant|related|on[- ]topic": (
        "Every sentence answers something that was asked",
        "Nothing about other subjects, background allowed",
    ),
    r"few|several|some|many|various|multiple": ("Exactly 2", "2 to 4", "At least 3"),
    r"often|sometimes|usually|generally|typically|normally|rarely": (
        "In every case",
        "Only where the input asks for it",
    ),
    r"quick(?:ly)?|soon|timely|recent(?:ly)?|fast": ("Within 24 hours", "Within 7 days"),
    r"appropriate(?:ly)?|proper(?:ly)?|suitabl[ey]|adequate(?:ly)?|reasonabl[ey]|acceptable|"
    r"as needed|if needed|where necessary|as necessary|if possible|as appropriate": (),
    r"good|nice(?:ly)?|great|bad(?:ly)?|better|best|high[- ]quality|well[- ]written|excellent": (),
    r"clear(?:ly)?|simple|simply|easy|understandable|readable|natural(?:ly)?|clean": (),
    r"helpful(?:ly)?|useful|user[- ]friendly|robust|flexible|smart|intelligent(?:ly)?": (),
    r"important|significant|key points?|essential|main points?|critical|noteworthy": (),
    r"etc\.?|and so on|and the like|things like that|or similar|stuff": (),
}
_UNMEASURABLE: Final = (
    r"(?:user|customer|reader|people|person|they|everyone|client)s?\W+(?:\w+\W+){0,3}?"
    r"(?:feels?|thinks?|believes?|understands?|is happy|are happy|likes?|enjoys?|trusts?|"
    r"satisfied|convinced|delighted|pleased|comfortable)|"
    r"engaging|delightful|satisf(?:ying|ied)|impressive|intuitive|compelling|inspiring|"
    r"understands? (?:the )?(?:user|customer|intent|question)"
)
_PREDICATE: Final = (
    r"(?:must|should|shall|may|never|always|not|avoid|be|is|are|stay|keep|use|call|include|"
    r"contain|mention|give|list|name|answer|reply|refuse|offer|ask|end|start|begin|explain|cite|"
    r"return|write|follow|state|say|do|does|don't|polite|friendly|short|brief|concise|correct|"
    r"accurate|complete|clear|formal|helpful|relevant|professional|valid)\b"
)
_COMPOUND: Final = rf"\b(?:and(?: also)?|as well as|but also|but)\b (?:it |they |to )?{_PREDICATE}"
_NEGATION: Final = r"\b(?:not|never|no|none|cannot|without|avoid|unless|except|n't)\b|n't\b"
_ABSOLUTE: Final = r"\b(?:always|never|under no circumstances|in all cases|no matter what)\b"
_AMOUNT: Final = re.compile(r"\W*(?:\w+\W+){0,6}?(?:\d+|one|two|three|four|five)\b")
MOST_COMPARED: Final = 200
"""The most clauses that are compared with each other; the work grows with their square."""
_GOOD_WISH: Final = r"\b(?:must|should|shall|has to|needs to|have to)\b(?! (?:not|never)\b|n't)"


_VAGUE_WORDS: Final = tuple(
    (re.compile(rf"\b(?:{words})(?!\w)", re.IGNORECASE), options)
    for words, options in _VAGUE.items()
)


def find_gaps(kind: SpecKind, fields: Mapping[str, str], instruction: str = "") -> tuple[Gap, ...]:
    """Return the spec's gaps, the gravest first.

    Args:
        kind: Its kind.
        fields: Its fields that have a text.
        instruction: The task's instruction, which clauses must not contradict.
    """
    form = FORMS[kind]
    examples = {form.good, form.bad}
    prose = {name: text for name, text in fields.items() if name not in examples and text.strip()}
    gaps: dict[str, Gap] = {}
    definitions = [text.casefold() for text in prose.values() if _MEANS in text.casefold()]
    for name, text in prose.items():
        for clause in sentences(text):
            for gap in _clause_gaps(name, clause):
                key = f"{gap.rule} {gap.quote.casefold()}"
                if key not in gaps and not _is_defined(gap, definitions):
                    gaps[key] = gap
    for gap in [
        *_polarity(kind, prose),
        *_missing_examples(kind, fields),
        *_pair_gaps(form.core, form.detail, prose, instruction),
        *_example_overlap(kind, fields),
    ]:
        gaps.setdefault(gap.id, gap)
    order = list(Rule)
    return tuple(sorted(gaps.values(), key=lambda gap: order.index(gap.rule)))


_MEANS: Final = '" means:'


def definition_of(quote: str, meaning: str) -> str:
    """Return the clause that defines some words; `find_gaps` then asks no more about them."""
    return f'- "{quote}" means: {meaning}'


def _is_defined(gap: Gap, definitions: Iterable[str]) -> bool:
    """Return whether texts, case folded, define the words of a gap."""
    mark = definition_of(gap.quote, "").casefold().strip()
    return any(mark in text for text in definitions)


def _clause_gaps(name: str, clause: str) -> Iterable[Gap]:
    if re.match(r"\"[^\"]+\" means:", clause):
        return
    checks: tuple[Callable[[str, str], Iterable[Gap]], ...] = (
        _vague,
        _unmeasurable,
        _compound,
        _double_negation,
        _absolute,
    )
    for check in checks:
        yield from check(name, clause)


def _vague(name: str, clause: str) -> Iterable[Gap]:
    for pattern, options in _VAGUE_WORDS:
        for hit in pattern.finditer(clause):
            if _is_counted(clause, hit.end()):
                continue
            yield Gap(
                Rule.VAGUE,
                name,
                hit[0],
                f'"{hit[0]}" leaves the limit to each reviewer.',
                f'What does "{hit[0]}" mean in an output, so that a reviewer can check it?',
                options,
            )


def _is_counted(clause: str, end: int) -> bool:
    """Return whether a number after the word says how much: "short: at most 20 words"."""
    return _AMOUNT.match(clause, end) is not None


def _unmeasurable(name: str, clause: str) -> Iterable[Gap]:
    for hit in re.finditer(rf"\b(?:{_UNMEASURABLE})\b", clause, re.IGNORECASE):
        yield Gap(
            Rule.UNMEASURABLE,
            name,
            hit[0],
            f'"{hit[0]}" happens in a person, and cannot be seen in the output.',
            f'What in the output itself would show "{hit[0]}"?',
        )


def _compound(name: str, clause: str) -> Iterable[Gap]:
    hit = re.search(_COMPOUND, clause, re.IGNORECASE)
    if hit is None or re.search(r"\bbetween\b", clause[: hit.start()], re.IGNORECASE):
        return
    first, second = clause[: hit.start()].strip(" ,.;"), clause[hit.start() :].strip(" ,.;")
    second = re.sub(r"^(?:and also|and|as well as|but also|but)\s+", "", second, flags=re.I)
    yield Gap(
        Rule.COMPOUND,
        name,
        clause,
        "Two requirements in one: an output can meet the first and break the second.",
        f'If only one of these is met, does the output fail? "{first}" / "{second}"',
        (
            "It fails: both are needed",
            f"Only this matters: {first}",
            f"Only this matters: {second}",
        ),
    )


def _double_negation(name: str, clause: str) -> Iterable[Gap]:
    if len(re.findall(_NEGATION, clause, re.IGNORECASE)) >= 2:
        yield Gap(
            Rule.POLARITY,
            name,
            clause,
            "Two negations in one clause are easily read the wrong way round.",
            f'In plain words, which output fails? "{clause}"',
        )


def _absolute(name: str, clause: str) -> Iterable[Gap]:
    hit = re.search(_ABSOLUTE, clause, re.IGNORECASE)
    if hit is not None and not re.search(r"\b(?:unless|except)\b", clause, re.IGNORECASE):
        yield Gap(
            Rule.ABSOLUTE,
            name,
            hit[0],
            f'"{hit[0]}" leaves no exception, and exceptions are where reviewers differ.',
            f'Is there an exception to "{clause}"?',
            ("No exception at all", "Yes: when the user asks for it"),
        )


def _polarity(kind: SpecKind, prose: Mapping[str, str]) -> Iterable[Gap]:
    core = FORMS[kind].core
    text = prose.get(core, "")
    if kind is SpecKind.ISSUE and re.search(_GOOD_WISH, text, re.IGNORECASE):
        yield Gap(
            Rule.POLARITY,
            core,
            text,
            "An issue describes the fault, and this describes the right output.",
            "What does the fault look like when it happens?",
        )


def _missing_examples(kind: SpecKind, fields: Mapping[str, str]) -> Iterable[Gap]:
    form = FORMS[kind]
    for name, verdict in ((form.bad, "fails"), (form.good, "passes")):
        if name is not None and fields.get(name, NO_EXAMPLES).strip() in {"", NO_EXAMPLES}:
            yield Gap(
                Rule.NO_EXAMPLE,
                name,
                "",
                f"Without an output that {verdict}, each reviewer guesses where that begins.",
                f"Can you give an output that only just {verdict}?",
            )


def _pair_gaps(core: str, detail: str, prose: Mapping[str, str], instruction: str) -> Iterable[Gap]:
    """Compare clauses with each other and with the task's instruction."""
    own = [
        (name, clause)
        for name, text in prose.items()
        for clause in sentences(text)
        if name != core or detail == core
    ]
    own = own[:MOST_COMPARED]
    for (_, first), (name, second) in combinations(own, 2):
        if _is_opposite(first, second):
            yield _contradiction(name, second, first)
        elif overlap(first, second) >= 0.75:
            yield Gap(
                Rule.OVERLAP,
                name,
                second,
                "Two clauses say nearly the same; a difference between them would be an accident.",
                f'Which wording counts? "{first}" / "{second}"',
                (first, second),
            )
    for name, clause in own:
        for other in sentences(instruction)[:MOST_COMPARED]:
            if _is_opposite(clause, other):
                yield _contradiction(name, clause, other)


def _contradiction(name: str, clause: str, other: str) -> Gap:
    return Gap(
        Rule.CONTRADICTION,
        name,
        clause,
        f'This and "{other}" ask for opposite things.',
        f'Which holds? "{clause}" / "{other}"',
        (clause, other),
    )


def _is_opposite(first: str, second: str) -> bool:
    """Return whether two clauses are about the same things and exactly one of them forbids."""
    odd = [len(re.findall(_NEGATION, text, re.IGNORECASE)) % 2 for text in (first, second)]
    shared = content_words(first) & content_words(second)
    return odd[0] != odd[1] and len(shared) >= 2 and overlap(first, second) >= 0.6


def _example_overlap(kind: SpecKind, fields: Mapping[str, str]) -> Iterable[Gap]:
    form = FORMS[kind]
    if form.good is None or form.bad is None:
        return
    good, bad = fields.get(form.good, NO_EXAMPLES), fields.get(form.bad, NO_EXAMPLES)
    if NO_EXAMPLES in {good, bad}:
        return
    for text in (text for text in sentences(good) if text in sentences(bad)):
        yield Gap(
            Rule.CONTRADICTION,
            form.bad,
            text,
            "The same output is an example of passing and of failing.",
            f'Does this output pass or fail? "{text}"',
            ("It passes", "It fails"),
        )
