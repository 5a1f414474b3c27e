"""Work answers into a spec by rules: the fields that change, their texts, the reasons."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kiln_mcp.spec_texts.lint import Gap, Rule, definition_of
from kiln_mcp.spec_texts.sentences import as_sentence
from kiln_mcp.spec_texts.spec_kinds import FORMS, SpecKind
from storage import NO_EXAMPLES

_NON_ANSWERS = frozenset({"", "?", "skip", "not sure", "i don't know", "don't know", "unknown"})


@dataclass(frozen=True, slots=True)
class PersonAnswer:
    """A person's answer, and the id or text of its question."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class SpecEdit:
    """A change to one field; `old` is "" for a field that was empty."""

    field: str
    old: str
    new: str
    reason: str


@dataclass(frozen=True, slots=True)
class Refinement:
    """The edits that answers call for, and a reason for each answer that was not used."""

    edits: tuple[SpecEdit, ...]
    unused_answers: tuple[str, ...]

    def apply(self, fields: Mapping[str, str]) -> dict[str, str]:
        """Return the fields with the edits."""
        return {**fields, **{edit.field: edit.new for edit in self.edits}}


def incorporate(
    kind: SpecKind, fields: Mapping[str, str], gaps: Sequence[Gap], answers: Sequence[PersonAnswer]
) -> Refinement:
    """Return the edits that answers call for, in the answers' own words.

    Args:
        kind: The spec's kind.
        fields: Its fields that have a text.
        gaps: Its gaps, as `find_gaps` returns them.
        answers: The person's answers.
    """
    texts = dict(fields)
    reasons: dict[str, list[str]] = {}
    unused_answers: list[str] = []
    for item in answers:
        answer = " ".join(item.answer.split())
        gap = next((g for g in gaps if item.question in {g.id, g.question}), None)
        if gap is None and " " in item.question.strip():
            gap = Gap(Rule.UNDECIDED, FORMS[kind].detail, "", "", item.question)
        if gap is None:
            ids = ", ".join(open_gap.id for open_gap in gaps) or "none"
            unused_answers.append(f"{item.question}: no open question has this id; open: {ids}.")
        elif answer.casefold().rstrip(".") in _NON_ANSWERS:
            unused_answers.append(f"{gap.id}: the answer leaves it open.")
        else:
            for field, text in _new_texts(kind, texts, gap, answer).items():
                texts[field] = text
                reasons.setdefault(field, []).append(f"{gap.question} {answer}")
    edits = tuple(
        SpecEdit(field, fields.get(field, ""), texts[field], " | ".join(why))
        for field, why in reasons.items()
        if texts[field] != fields.get(field, "")
    )
    return Refinement(edits, tuple(unused_answers))


def _new_texts(kind: SpecKind, fields: Mapping[str, str], gap: Gap, answer: str) -> dict[str, str]:
    """Return the new text of each field that an answer changes."""
    form = FORMS[kind]
    match gap.rule:
        case Rule.NO_EXAMPLE:
            examples = fields.get(gap.field, "").replace(NO_EXAMPLES, "")
            return {gap.field: _with_line(examples, f"- {answer}")}
        case Rule.POLARITY:
            return _replace(fields, gap.quote, as_sentence(answer))
        case Rule.COMPOUND if answer in gap.options[1:]:
            return _replace(fields, gap.quote, as_sentence(answer.split(":", 1)[1]))
        case Rule.CONTRADICTION | Rule.OVERLAP if answer in gap.options:
            return _choose_clause(kind, fields, gap, answer)
        case Rule.UNDECIDED:
            return {gap.field: _with_line(fields.get(gap.field, ""), f"- {as_sentence(answer)}")}
        case _:
            place = form.detail if gap.field == form.core else gap.field
            return {place: _with_line(fields.get(place, ""), definition_of(gap.quote, answer))}


def _choose_clause(
    kind: SpecKind, fields: Mapping[str, str], gap: Gap, answer: str
) -> dict[str, str]:
    """Return the fields without the clauses that the answer did not choose."""
    form = FORMS[kind]
    if gap.options == ("It passes", "It fails"):
        loser = form.bad if answer == "It passes" else form.good
        return {} if loser is None else {loser: _without_line(fields.get(loser, ""), gap.quote)}
    losers = [option for option in gap.options if option != answer]
    changed: dict[str, str] = {}
    for name, text in fields.items():
        shorter = text
        for loser in losers:
            shorter = _without_line(shorter, loser)
        # A field that holds nothing but the losing clause takes the winning one instead.
        if shorter != text:
            changed[name] = shorter or f"- {answer}"
    return changed


def _replace(fields: Mapping[str, str], quote: str, text: str) -> dict[str, str]:
    return {
        name: value.replace(quote, text)
        for name, value in fields.items()
        if quote and quote in value
    }


def _with_line(text: str, line: str) -> str:
    return f"{text.rstrip()}\n{line}" if text.strip() else line


def _without_line(text: str, clause: str) -> str:
    return "\n".join(line for line in text.split("\n") if clause not in line).strip()
