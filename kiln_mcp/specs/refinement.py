"""Write answers back into a specification: which field changes, to what, and why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kiln_mcp.spec_texts.kinds import FORMS, SpecKind
from kiln_mcp.spec_texts.lint import Gap, Rule, settled
from storage import NO_EXAMPLES

_UNDECIDED = frozenset({"", "?", "skip", "not sure", "i don't know", "don't know", "unknown"})


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer and the id or text of the question that it answers."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Edit:
    """A change to one field; `before` is "" for a field that was empty."""

    field: str
    before: str
    after: str
    reason: str


@dataclass(frozen=True, slots=True)
class Refinement:
    """The changes that answers make, and the answers that made none, with the reason."""

    edits: tuple[Edit, ...]
    not_incorporated: tuple[str, ...]

    def applied_to(self, fields: Mapping[str, str]) -> dict[str, str]:
        """Return the fields with the edits made."""
        return {**fields, **{edit.field: edit.after for edit in self.edits}}


def incorporate(
    kind: SpecKind, fields: Mapping[str, str], gaps: Sequence[Gap], answers: Sequence[Answered]
) -> Refinement:
    """Return what the answers change, by rules: the answer's own words, nothing added.

    Args:
        kind: The specification's kind.
        fields: Its filled fields.
        gaps: Its gaps, as `find_gaps` gives them.
        answers: What the person said.
    """
    now = dict(fields)
    reasons: dict[str, list[str]] = {}
    refused: list[str] = []
    for answered in answers:
        answer = " ".join(answered.answer.split())
        gap = next((g for g in gaps if answered.question in {g.id, g.question}), None)
        if gap is None and " " in answered.question.strip():
            gap = Gap(Rule.UNDECIDED, FORMS[kind].detail, "", "", answered.question)
        if gap is None:
            known = ", ".join(open_gap.id for open_gap in gaps) or "none"
            refused.append(f"{answered.question}: no open question has this id; open: {known}.")
        elif answer.casefold().rstrip(".") in _UNDECIDED:
            refused.append(f"{gap.id}: the answer leaves it open.")
        else:
            for field, text in _after(kind, now, gap, answer).items():
                now[field] = text
                reasons.setdefault(field, []).append(f"{gap.question} {answer}")
    edits = tuple(
        Edit(field, fields.get(field, ""), now[field], " | ".join(why))
        for field, why in reasons.items()
        if now[field] != fields.get(field, "")
    )
    return Refinement(edits, tuple(refused))


def _after(kind: SpecKind, fields: Mapping[str, str], gap: Gap, answer: str) -> dict[str, str]:
    """Return the new text of each field that an answer changes."""
    form = FORMS[kind]
    match gap.rule:
        case Rule.NO_EXAMPLE:
            held = fields.get(gap.field, "").replace(NO_EXAMPLES, "")
            return {gap.field: _with_line(held, f"- {answer}")}
        case Rule.POLARITY:
            return _replaced(fields, gap.quote, _sentence(answer))
        case Rule.COMPOUND if answer in gap.options[1:]:
            return _replaced(fields, gap.quote, _sentence(answer.split(":", 1)[1]))
        case Rule.CONTRADICTION | Rule.OVERLAP if answer in gap.options:
            return _chosen(kind, fields, gap, answer)
        case Rule.UNDECIDED:
            return {gap.field: _with_line(fields.get(gap.field, ""), f"- {_sentence(answer)}")}
        case _:
            place = form.detail if gap.field == form.core else gap.field
            return {place: _with_line(fields.get(place, ""), settled(gap.quote, answer))}


def _chosen(kind: SpecKind, fields: Mapping[str, str], gap: Gap, answer: str) -> dict[str, str]:
    """Keep one of two clauses; the other leaves the fields that hold it."""
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


def _replaced(fields: Mapping[str, str], quote: str, text: str) -> dict[str, str]:
    return {
        name: held.replace(quote, text) for name, held in fields.items() if quote and quote in held
    }


def _with_line(text: str, line: str) -> str:
    return f"{text.rstrip()}\n{line}" if text.strip() else line


def _without_line(text: str, clause: str) -> str:
    return "\n".join(line for line in text.split("\n") if clause not in line).strip()


def _sentence(text: str) -> str:
    text = text.strip()
    ended = text if text[-1:] in {".", "!", "?"} else f"{text}."
    return ended[:1].upper() + ended[1:]
