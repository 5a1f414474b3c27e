"""Draft specs from a wish by rules, without a model: in its own words, one a criterion."""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from kiln_mcp.spec_texts.clause_readings import has_negation
from kiln_mcp.spec_texts.content_fields import polarity_of
from kiln_mcp.spec_texts.sentences import as_sentence, quotations, sentences
from kiln_mcp.spec_texts.session_events import Draft
from kiln_mcp.spec_texts.spec_content import (
    Clause,
    ExampleVerdict,
    Origin,
    Polarity,
    SpecContent,
    SpecExample,
)
from kiln_mcp.spec_texts.spec_kinds import FORMS, SpecKind
from kiln_mcp.specs.complaints import is_unclear, main_clause, prohibition_of
from kiln_mcp.specs.kind_choice import choose_kind
from kiln_mcp.specs.wishes import Criterion, criteria_of
from storage.records.names import acceptable_name

LONGEST_NAME: Final = 32
"""Kiln's limit for the name of a score, which is made from the spec's name."""
COMPLAINT: Final = "It is a complaint: an output that does this fails."
PRAISE: Final = "It says what good outputs do, and is no complaint."

_BY_RULES: Final = Origin("person", "wish")
_GUESS: Final = Origin("rules", "wish", is_assumed=True)
_EXAMPLE: Final = re.compile(r"(?:such as|for example|for instance|e\.g\.|like)[:,]?\s+", re.I)
_NAME_SKIPS_TEXT: Final = """
    a an and any are as at be by can do does for from has have i if in into is it its make me
    must my of on or our please shall should sure so that the their them they this to want we
    will with would you your ai feature model output outputs answer answers response responses
    reply replies always every sometimes
"""
_NAME_SKIPS: Final = frozenset(_NAME_SKIPS_TEXT.split())


def draft_by_rules(
    wish: str, kind: SpecKind | None = None, name: str | None = None
) -> tuple[Draft, ...]:
    """Return a draft for each criterion of a wish, in the wish's own words.

    Args:
        wish: One sentence or a few.
        kind: The kind of all of it, which then is one criterion; None lets the words decide.
        name: The name of the first draft; None makes one from the words.
    """
    criteria = criteria_of(wish)
    if kind is not None:
        text = " ".join(criterion.text for criterion in criteria)
        criteria = (Criterion(text, any(criterion.is_complaint for criterion in criteria)),)
    names = distinct_names(
        [
            acceptable(name or "") if number == 0 and name else short_name(criterion.text)
            for number, criterion in enumerate(criteria)
        ]
    )
    return tuple(
        Draft(id=f"d{number}", content=_content(criterion, kind, draft_name, wish))
        for number, (criterion, draft_name) in enumerate(zip(criteria, names, strict=True), 1)
    )


def _content(criterion: Criterion, kind: SpecKind | None, name: str, wish: str) -> SpecContent:
    is_fault = criterion.is_complaint
    spec_kind = kind or (SpecKind.ISSUE if is_fault else choose_kind(criterion.text))
    texts = sentences(criterion.text) or (as_sentence(criterion.text) or "-",)
    if is_fault and spec_kind is not SpecKind.ISSUE:
        texts = tuple(prohibition_of(text) for text in texts)
    clauses = tuple(
        Clause(f"c{number}", as_sentence(text), polarity_of(spec_kind, text), _BY_RULES)
        for number, text in enumerate(dict.fromkeys(texts), 1)
    )
    assumptions = [] if kind else [f"It is about: {FORMS[spec_kind].purpose} ({spec_kind})."]
    if is_fault:
        assumptions.append(COMPLAINT)
    elif is_unclear(criterion.text):
        assumptions.append(PRAISE)
    examples = _examples(criterion.text if len(criteria_of(wish)) > 1 else wish, clauses)
    return SpecContent(spec_kind, name, clauses, examples, tuple(assumptions))


def _examples(wish: str, clauses: Sequence[Clause]) -> tuple[SpecExample, ...]:
    forbids = any(
        clause.polarity is Polarity.MUST_NOT or has_negation(clause.text) for clause in clauses
    )
    verdict = ExampleVerdict.FAIL if forbids else ExampleVerdict.PASS
    return tuple(
        SpecExample(f"e{number}", text, verdict, _GUESS, clause=clauses[0].id)
        for number, text in enumerate(dict.fromkeys(_example_texts(wish)), 1)
    )


def _example_texts(wish: str) -> tuple[str, ...]:
    if examples := quotations(wish):
        return examples
    match = _EXAMPLE.search(wish)
    tail = wish[match.end() :].strip(" .") if match else ""
    return (tail,) if tail else ()


def short_name(wish: str) -> str:
    """Return a name of up to five of the wish's telling words."""
    telling = _telling_words(main_clause(wish))
    if len(telling) < 2:
        telling = _telling_words(wish)
    name = ""
    for word in telling[:5]:
        longer = acceptable(f"{name} {word}".strip())
        if len(f"{name} {word}".strip()) > LONGEST_NAME:
            break
        name = longer
    return name[:1].upper() + name[1:] if name else "Requirement"


def _telling_words(text: str) -> list[str]:
    return [
        word
        for word in re.findall(r"[\w'\u2019-]+", text)
        if word.casefold() not in _NAME_SKIPS and len(word) > 1
    ]


def acceptable(name: str) -> str:
    """Return a name as Kiln's format allows it, 32 characters at most."""
    return acceptable_name(name, LONGEST_NAME)


def distinct_names(names: Iterable[str], used_names: Iterable[str] = ()) -> list[str]:
    """Return names of which no two are the same to a person, nor one that is taken.

    Args:
        names: The names.
        used_names: Names that other records have.
    """
    keys = {name.casefold() for name in used_names}
    distinct: list[str] = []
    for name in names:
        candidate, number = name, 2
        while candidate.casefold() in keys:
            suffix = f" {number}"
            candidate = f"{name[: LONGEST_NAME - len(suffix)].rstrip()}{suffix}"
            number += 1
        keys.add(candidate.casefold())
        distinct.append(candidate)
    return distinct
