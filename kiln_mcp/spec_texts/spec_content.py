"""The content of a spec: clauses and examples, findings in them, and questions about them."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from kiln_mcp.spec_texts.spec_kinds import SpecKind


class Polarity(StrEnum):
    """What a clause describes: what an output has to do, or what it must not do."""

    MUST = "must"
    MUST_NOT = "must_not"


class ExampleVerdict(StrEnum):
    """Whether an example's output meets the spec."""

    PASS = "pass"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a clause or an example comes from.

    Attributes:
        author: "person", "rules", "file", or the name of a model.
        source: The id of the wish, answer, edit, label or run; "" if there is none.
        is_assumed: Nobody said it: it stays marked until a person confirms it.
    """

    author: str
    source: str = ""
    is_assumed: bool = False


@dataclass(frozen=True, slots=True)
class Clause:
    """One requirement that an output meets or breaks.

    Attributes:
        id: Stable within its spec, as `c1`.
        text: One sentence.
        polarity: Whether it says what an output has to do, or what it must not do.
        origin: Who said it.
    """

    id: str
    text: str
    polarity: Polarity
    origin: Origin


@dataclass(frozen=True, slots=True)
class SpecExample:
    """An output whose verdict is settled.

    Attributes:
        id: Stable within its spec, as `e1`.
        output: The text of the output.
        verdict: Whether it meets the spec.
        origin: Who said it.
        input: What it answers; "" if it is unknown.
        clause: The id of the clause that decides; "" if none is named.
        reason: Why it passes or fails; "" if nobody said it.
    """

    id: str
    output: str
    verdict: ExampleVerdict
    origin: Origin
    input: str = ""
    clause: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SpecContent:
    """A spec apart from its record: what Kiln's fields are rendered from."""

    kind: SpecKind
    name: str
    clauses: Sequence[Clause]
    examples: Sequence[SpecExample] = ()
    assumptions: Sequence[str] = ()


class FindingKind(StrEnum):
    """A way in which a spec can be weak."""

    UNDERSPECIFIED = "underspecified"
    """Two careful reviewers could read it differently."""
    CONFLICTING = "conflicting"
    """Two clauses, or a clause and another text that binds, ask for opposite things."""
    COMPOUND = "compound"
    """Several requirements in one clause: an output may meet one and break the other."""
    SUBJECTIVE = "subjective"
    """It rests on taste."""
    UNJUDGEABLE = "unjudgeable"
    """The output does not show whether it is met."""
    MISSING_REFERENCE = "missing_reference"
    """It rests on a document, a list or a right answer that is not there."""
    CONTRADICTING_EXAMPLES = "contradicting_examples"
    """Examples contradict each other or a clause."""
    VACUOUS = "vacuous"
    """Every output meets it, or none."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A weakness of a spec.

    Attributes:
        id: Stable while its words stand, so that answers can name it.
        kind: The kind of weakness.
        words: The words that show it; "" if something is missing.
        why: One sentence for the person.
        source: "rules", or the name of the model that found it.
        clause: The id of its clause; "" if it concerns the whole spec.
        mend: A text that would take the clause's place; "" if none is proposed.
        confidence: From 0 to 1.
    """

    id: str
    kind: FindingKind
    words: str
    why: str
    source: str
    clause: str = ""
    mend: str = ""
    confidence: float = 1.0


@dataclass(frozen=True, slots=True)
class QuestionOption:
    """One answer to a question, and the clause that it would add or replace."""

    text: str
    clause: str


@dataclass(frozen=True, slots=True)
class SpecQuestion:
    """A question to the person, about one output where the readings of a clause part.

    Attributes:
        id: Stable within its session.
        text: The question.
        options: Answers to choose from; a person may also answer freely.
        clause: The id of the clause in question; "" for a case that no clause decides.
        input: The input of the output in question; "" if no output is at hand.
        output: The output that splits the readings; "" if no output is at hand.
        value: The expected reduction of verdict entropy over the pool, in bits an item; None if
            it was not measured.
    """

    id: str
    text: str
    options: Sequence[QuestionOption]
    clause: str = ""
    input: str = ""
    output: str = ""
    value: float | None = None
