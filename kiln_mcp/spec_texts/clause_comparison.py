"""Compare the clauses of a spec with each other and with the texts that bind as well."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

from kiln_mcp.spec_texts.clause_readings import clause_limits, describes_ban
from kiln_mcp.spec_texts.findings import finding
from kiln_mcp.spec_texts.quantities import LENGTH_UNITS, Limit, amounts, limits
from kiln_mcp.spec_texts.sentences import sentences
from kiln_mcp.spec_texts.spec_content import Clause, Finding, FindingKind, SpecContent
from kiln_mcp.spec_texts.spec_kinds import SpecKind
from kiln_mcp.spec_texts.text_languages import Language, language_of
from kiln_mcp.spec_texts.text_terms import features, normal, same_form, similarity, terms

MOST_COMPARED: Final = 200
"""The most clauses that are compared with each other; the work grows with their square."""
_MOST_SENTENCES: Final = 400
"""The most sentences of one other text that clauses are compared with."""
_LEAST_SHARED: Final = 0.5
"""The share of the smaller text's features from which on two sentences are about one thing."""
_LEAST_FEATURES: Final = 3
_NEAR: Final = 0.85
_HINT: Final = 0.4
"""How sure it is that two limits are of one thing if one sentence names more than the other."""
_NEGATIONS: Final = {
    Language.ENGLISH: re.compile(r"\b(?:not|never|no|none|cannot|without)\b|n't\b"),
    Language.GERMAN: re.compile(r"\b(?:nicht|nie|niemals|keine?[mnrs]?|ohne)\b"),
    Language.JAPANESE: re.compile(r"ない|ません|ず[、に]|禁止"),
}
_NEUTRAL_TEXT: Final = """
    keep stay contai consis compri use write long short length total limit umfass enthäl länge
    kurz lang insges 全体 長 messag nachri not never no nicht nie kein keine
"""
_NEUTRAL: Final = frozenset(_NEUTRAL_TEXT.split())
"""Terms beside a limit that do not tell what part of the output it is of."""
_CONDITIONS: Final = re.compile(
    r"\b(?:if|when|unless|except|only|whether|without|wenn|falls|sofern|außer|nur|ob|ohne|bei)\b"
    r"|場合|とき|時は|なら|ただし|以外|のみ"
)


@dataclass(frozen=True, slots=True)
class BindingText:
    """A text that outputs have to obey as well, and what to call it."""

    title: str
    text: str


def comparison_findings(content: SpecContent, texts: Sequence[BindingText]) -> Iterator[Finding]:
    """Yield repeated and empty clauses, and limits and amounts that exclude each other."""
    clauses = content.clauses[:MOST_COMPARED]
    for clause in clauses:
        if not same_form(clause.text):
            yield finding(
                FindingKind.VACUOUS,
                clause.id,
                clause.text,
                "The clause has no text: it says nothing.",
            )
    yield from _repetitions(clauses)
    yield from _limits_apart(content.kind, clauses, texts)
    yield from _opposites(content.kind, clauses, texts)
    yield from _other_amounts(clauses, texts)


def other_spec_findings(content: SpecContent, specs: Sequence[SpecContent]) -> Iterator[Finding]:
    """Yield clauses that another spec of the task holds, too, or holds the other way round."""
    for other in specs:
        forms = {same_form(clause.text): clause for clause in other.clauses}
        twins = [(clause, forms.get(same_form(clause.text))) for clause in content.clauses]
        for clause, twin in twins:
            if twin is not None and twin.polarity is not clause.polarity:
                yield finding(
                    FindingKind.CONFLICTING,
                    clause.id,
                    clause.text,
                    f'The spec "{other.name}" says the opposite with the same words.',
                    confidence=0.9,
                )
        if _is_duplicate(content, other):
            yield finding(
                FindingKind.VACUOUS,
                "",
                content.name,
                f'The spec "{other.name}" says nearly the same: this one would add no verdict.',
                confidence=0.6,
            )


def _is_duplicate(content: SpecContent, other: SpecContent) -> bool:
    texts = [" ".join(clause.text for clause in spec.clauses) for spec in (content, other)]
    polarities = [{clause.polarity for clause in spec.clauses} for spec in (content, other)]
    if polarities[0] != polarities[1] or (
        amounts(texts[0]) and _numbers(texts[0]) != _numbers(texts[1])
    ):
        return False
    if same_form(texts[0]) == same_form(texts[1]):
        return bool(same_form(texts[0]))
    own, theirs = features(texts[0]), features(texts[1])
    # Parallel specs, as of two languages, each have a term that the other lacks.
    is_part = own <= theirs or theirs <= own
    return is_part and len(own) >= 2 * _LEAST_FEATURES and similarity(*texts) >= _NEAR


def _numbers(text: str) -> frozenset[tuple[str, str]]:
    return frozenset((amount.number, amount.unit) for amount in amounts(text))


def _repetitions(clauses: Sequence[Clause]) -> Iterator[Finding]:
    first_of: dict[str, Clause] = {}
    for clause in clauses:
        form = same_form(clause.text)
        first = first_of.setdefault(form, clause) if form else clause
        if first is clause:
            continue
        is_opposite = first.polarity is not clause.polarity
        yield finding(
            FindingKind.CONFLICTING if is_opposite else FindingKind.VACUOUS,
            clause.id,
            clause.text,
            f"{first.id} asks for the opposite with the same words."
            if is_opposite
            else f"{first.id} says the same: the repetition decides nothing.",
            confidence=0.95 if is_opposite else 0.6,
        )


def _limits_apart(
    kind: SpecKind, clauses: Sequence[Clause], texts: Sequence[BindingText]
) -> Iterator[Finding]:
    own = [(clause, limit) for clause in clauses for limit in clause_limits(kind, clause)]
    for clause, limit in own:
        if limit.is_empty:
            why = "No number meets both ends of this range."
            yield finding(FindingKind.CONFLICTING, clause.id, limit.words, why, confidence=0.95)
    for (first, limit), (second, other) in combinations(own, 2):
        confidence = _conflict(limit, other)
        if confidence:
            yield finding(
                FindingKind.CONFLICTING,
                second.id,
                other.words,
                f'{first.id} says "{first.text}": no output meets both.',
                confidence=confidence,
            )
    for text in texts:
        theirs = [limit for part in _sentences(text) for limit in limits(part)]
        for clause, limit in own:
            for other in theirs:
                confidence = _conflict(limit, other)
                if confidence:
                    why = f'{text.title} says "{other.words}": no output meets both.'
                    yield finding(
                        FindingKind.CONFLICTING, clause.id, limit.words, why, confidence=confidence
                    )


def _conflict(first: Limit, second: Limit) -> float:
    """Return how sure it is that two limits are of the same thing and exclude each other."""
    if first.unit != second.unit or first.is_empty or second.is_empty or not first.excludes(second):
        return 0.0
    scopes = (first.scope - _NEUTRAL, second.scope - _NEUTRAL)
    if scopes[0] == scopes[1]:
        return 0.9
    return _HINT if scopes[0] <= scopes[1] or scopes[1] <= scopes[0] else 0.0


def _sentences(text: BindingText) -> tuple[str, ...]:
    return sentences(text.text)[:_MOST_SENTENCES]


def _opposites(
    kind: SpecKind, clauses: Sequence[Clause], texts: Sequence[BindingText]
) -> Iterator[Finding]:
    """Yield clauses whose words another clause or the instruction has with the opposite sign."""
    signs = [(clause, _sign(clause.text, is_ban=describes_ban(kind, clause))) for clause in clauses]
    for (first, sign), (second, other) in combinations(signs, 2):
        if sign and other and sign != other and _says_the_same(first.text, second.text):
            yield finding(
                FindingKind.CONFLICTING,
                second.id,
                second.text,
                f'{first.id} asks for the opposite: "{first.text}"',
                confidence=0.7,
            )
    for text in texts:
        for part in _sentences(text):
            part_sign = _sign(part, is_ban=False)
            for clause, sign in signs:
                if sign and part_sign and sign != part_sign and _says_the_same(clause.text, part):
                    why = f'{text.title} asks for the opposite: "{part}"'
                    yield finding(
                        FindingKind.CONFLICTING, clause.id, clause.text, why, confidence=0.7
                    )


def _sign(text: str, *, is_ban: bool | None) -> int:
    """Return 1 for a wish, -1 for a ban, 0 if the language or the sentence leaves it open."""
    language = language_of(text)
    plain = text.casefold()
    if is_ban is None or language is None or _CONDITIONS.search(plain):
        return 0
    negations = len(_NEGATIONS[language].findall(plain))
    if negations > 1 or (negations and is_ban):
        return 0
    return -1 if negations or is_ban else 1


_NEGATION_TERMS: Final = frozenset(
    "not never no none cannot withou nicht nie niemal kein keine keinen".split()  # noqa: SIM905
)


def _says_the_same(first: str, second: str) -> bool:
    left, right = terms(first) - _NEGATION_TERMS, terms(second) - _NEGATION_TERMS
    return len(left) > 1 and left == right and _numbers(first) == _numbers(second)


def _other_amounts(clauses: Sequence[Clause], texts: Sequence[BindingText]) -> Iterator[Finding]:
    """Yield amounts that another text replaces by another amount of the same unit.

    Lengths of outputs are left to the limits: they bind without being equal.
    """
    for text in texts:
        text_numbers = _numbers(text.text)
        parts = [(part, _numbers(part)) for part in _sentences(text) if amounts(part)]
        for clause in clauses:
            for amount in amounts(clause.text):
                key = (amount.number, amount.unit)
                if amount.unit in LENGTH_UNITS or key in text_numbers:
                    continue
                rival = _rival(clause.text, amount.number, amount.unit, parts)
                if rival is not None:
                    yield finding(
                        FindingKind.CONFLICTING,
                        clause.id,
                        amount.words,
                        f'{text.title} gives another number: "{rival}"',
                        confidence=0.45,
                    )


def _rival(
    clause: str, number: str, unit: str, parts: Sequence[tuple[str, frozenset[tuple[str, str]]]]
) -> str | None:
    """Return the sentence about the same that has an amount of the unit; None if none does."""
    own = _topic(clause)
    for part, numbers in parts:
        rivals = [rival for rival, name in numbers if name == unit]
        if all(_is_next(number, rival) for rival in rivals):
            continue
        theirs = _topic(part)
        shared = len(own & theirs)
        if shared >= _LEAST_FEATURES and shared >= _LEAST_SHARED * min(len(own), len(theirs)):
            return part
    return None


def _is_next(number: str, other: str) -> bool:
    """Return whether numbers are neighbours, as "up to 30 days" and "from 31 days on"."""
    return abs(float(number) - float(other)) <= 1


def _topic(text: str) -> frozenset[str]:
    """Return what a sentence is about, without its amounts."""
    plain = normal(text)
    for amount in amounts(text):
        plain = plain.replace(amount.words, " ")
    return features(plain)
