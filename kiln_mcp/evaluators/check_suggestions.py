"""The calls that create the checks which a spec's clauses suggest."""

from collections.abc import Iterable
from typing import Final

from kiln_mcp.spec_texts.check_hints import CheckHint, check_hints
from storage.errors import NextStep
from storage.text.excerpts import excerpt

MOST_STEPS: Final = 2
_LONGEST_QUOTE: Final = 70


def check_step(hint: CheckHint) -> NextStep:
    """Return the call that creates a check."""
    quote = excerpt(hint.clause, _LONGEST_QUOTE)
    return NextStep(
        tool="create_evaluator",
        reason=f"decide {quote!r} by a check, which needs no judge and no labels",
        arguments={"type": hint.kind, **hint.arguments},
    )


def check_steps(texts: Iterable[str]) -> list[NextStep]:
    """Return the calls that create the first of the checks that some texts suggest."""
    return [check_step(hint) for hint in check_hints(texts)[:MOST_STEPS]]
