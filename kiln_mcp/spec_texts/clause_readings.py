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


def describes_ban(kind: SpecKind, clause: Clause) -> bool | None:
    """Return whether an output breaks a clause by doing what its words say; None if unclear.

    A clause that must not hold may say so in its own words ("does not insult"): then its words are
    the wish, and the polarity only repeats them. An issue may describe a fault by a negation.
    """
    if clause.polarity is Polarity.MUST:
        return False
    if _NEGATION.search(clause.text) is None:
        return True
    return None if kind is SpecKind.ISSUE else False


def clause_limits(kind: SpecKind, clause: Clause) -> tuple[Limit, ...]:
    """Return the limits of lengths that a clause sets."""
    is_ban = describes_ban(kind, clause)
    return () if is_ban is None else limits(clause.text, is_forbidden=is_ban)
