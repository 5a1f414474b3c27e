"""Say whether a clause's words describe a wish or a ban."""

import re
from typing import Final

from kiln_mcp.spec_texts.quantities import Limit, limits
from kiln_mcp.spec_texts.spec_content import Clause, Polarity
from kiln_mcp.spec_texts.spec_kinds import SpecKind

_NEGATION: Final = re.compile(
    r"\b(?:not|never|no|none|nothing|nobody|cannot|without|avoid|forbidden|nicht|nie|niemals"
    r"|keine?[mnrs]?|ohne|ne|pas|sans|sin|nunca)\b|n['\u2019]t\b|ない|ません|ず[、に]|禁止",
    re.IGNORECASE,
)


_OWN_BAN: Final = re.compile(
    r"^(?:(?:the|an?|it)\b(?: \w+){0,3} (?:does|do|must|should|shall|may|can|is|are)(?:n['\u2019]t"
    r"| not| never| no)\b|(?:do not|don['\u2019]t|never|avoid|no|kein\w*|niemals) )"
    r"|(?:ない|ません|ないこと|禁止)(?:である|です|とする)?。?$",
    re.IGNORECASE,
)
"""A prohibition that the clause's own words say: "The reply does not …"."""


def has_negation(text: str) -> bool:
    """Return whether a text says not, never, no or the like, in a language that is known here."""
    return _NEGATION.search(text) is not None


def describes_ban(kind: SpecKind, clause: Clause) -> bool | None:
    """Return whether an output breaks a clause by doing what its words say; None if unclear.

    A prohibition may say so in its own words ("does not insult"): they are then the wish. A
    negation elsewhere, or in an issue, leaves open which of both is meant.
    """
    if clause.polarity is Polarity.MUST:
        return False
    if not has_negation(clause.text):
        return True
    return False if kind is not SpecKind.ISSUE and _OWN_BAN.search(clause.text) else None


def describes_fault(kind: SpecKind, clause: Clause) -> bool:
    """Return whether a clause's words describe what fails, as in "It insults.", forbidden.

    A prohibition in its own words is a wish, whatever its polarity says; not in an issue.
    """
    return clause.polarity is Polarity.MUST_NOT and describes_ban(kind, clause) is not False


def clause_limits(kind: SpecKind, clause: Clause) -> tuple[Limit, ...]:
    """Return the limits of lengths that a clause sets."""
    is_ban = describes_ban(kind, clause)
    return () if is_ban is None else limits(clause.text, is_forbidden=is_ban)
