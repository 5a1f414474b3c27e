"""Find the clauses of a spec that a check can decide, without a judge.

What is executed, counted or compared is right by its definition, costs nothing and needs no labels.
The rules look for words; a person or an assistant decides whether the check means the same.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from pydantic import JsonValue

from kiln_mcp.spec_texts.sentences import quotations, sentences
from kiln_mcp.spec_texts.spec_kinds import FORMS, SpecKind

_Arguments = dict[str, JsonValue]


@dataclass(frozen=True, slots=True)
class CheckHint:
    """A clause that a check could decide.

    Attributes:
        clause: Its words.
        kind: The kind of evaluator.
        arguments: What of the evaluator's arguments follows from the clause.
    """

    clause: str
    kind: str
    arguments: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])


_UNITS: Final = {
    "word": "words",
    "character": "characters",
    "char": "characters",
    "line": "lines",
    "token": "output_tokens",
}
_UPPER_LIMIT: Final = re.compile(
    r"\b(?:at most|no more than|not more than|not exceed|no longer than|fewer than|less than"
    r"|shorter than|under|below|within|up to|max(?:imum)?(?: of)?)\s+(\d[\d,]*(?:\.\d+)?)[\s-]*"
    r"(word|character|char|line|token|second|sec|millisecond|ms)s?\b",
    re.IGNORECASE,
)
_LOWER_LIMIT: Final = re.compile(
    r"\b(?:at least|no fewer than|no less than|not less than|more than|min(?:imum)?(?: of)?)\s+"
    r"(\d[\d,]*)[\s-]*(?:(word|character|char|line)s?\b|(?:and|to)\b)",
    re.IGNORECASE,
)
_RANGE: Final = re.compile(
    r"\b(\d[\d,]*)\s*(?:to|and|-|–)\s*(\d[\d,]*)[\s-]*(word|character|char|line)s?\b",  # noqa: RUF001
    re.IGNORECASE,
)
_JSON: Final = re.compile(r"\bjson\b|\bschema\b", re.IGNORECASE)
_FORBIDS: Final = re.compile(
    r"\b(?:never|not|no|without|avoid|don.?t)\b[^\"“]{0,40}"
    r"(?:mention|contain|includ|say|us|writ|word|phrase|text)\w*[^\"“]{0,20}[\"“]",
    re.IGNORECASE,
)
_DEMANDS: Final = re.compile(
    r"\b(?:mention|contain|include|say|state|use the|end with|start with|begin with)\w*"
    r"[^\"“]{0,20}[\"“]",
    re.IGNORECASE,
)
_TOOL: Final = re.compile(r"\b(?:call|use|invoke)\w*\b.{0,30}\btools?\b", re.IGNORECASE)
_SHAPE: Final = re.compile(
    r"\biso.?8601\b|\byyyy-mm-dd\b|\bregex|\bregular expression\b|\be-?mail address\b"
    r"|\bphone number\b|\burls?\b|\bupper.?case\b|\blower.?case\b|\bmarkdown\b|\bbullet",
    re.IGNORECASE,
)
_EXECUTABLE: Final = re.compile(
    r"\b(?:commands?|scripts?|code|quer(?:y|ies)|sql|program|function|patch|config(?:uration)?)\b"
    r".{0,60}\b(?:run|work|execut|compil|valid|correct|pars|pass|fail|error)\w*"
    r"|\b(?:run|execut|compil)\w*\b.{0,30}\b(?:command|script|code|query|program)",
    re.IGNORECASE,
)
_COST: Final = re.compile(r"\b(?:cost|price)s?\b.{0,30}\b(?:cents?|dollars?|usd)|\$\s?\d")
_LATENCY_UNITS: Final = {"second": 1.0, "sec": 1.0, "millisecond": 0.001, "ms": 0.001}


def check_hints(texts: Iterable[str]) -> Sequence[CheckHint]:
    """Return a hint for each clause of some texts that a check could decide, without repeats."""
    hints: dict[str, CheckHint] = {}
    for text in texts:
        for clause in sentences(text):
            for rule in _RULES:
                hint = rule(clause)
                if hint is not None:
                    hints.setdefault(clause.casefold(), hint)
                    break
    return tuple(hints.values())


def rule_texts(kind: SpecKind, fields: Mapping[str, str]) -> list[str]:
    """Return the fields of a spec that say what must hold, without those with examples."""
    form = FORMS[kind]
    return [text for name, text in fields.items() if name not in {form.good, form.bad}]


def _number_hint(clause: str) -> CheckHint | None:
    between = _RANGE.search(clause)
    if between is not None:
        settings: _Arguments = {"measure": _UNITS[between[3].lower()]}
        settings |= {"at_least": _number(between[1]), "at_most": _number(between[2])}
        return CheckHint(clause, "number_check", {"settings": settings})
    upper, lower = _UPPER_LIMIT.search(clause), _LOWER_LIMIT.search(clause)
    unit = next((match[2].lower() for match in (upper, lower) if match and match[2]), "")
    if not unit:
        return None
    factor = _LATENCY_UNITS.get(unit, 1.0)
    limits: _Arguments = {"measure": "latency_s" if unit in _LATENCY_UNITS else _UNITS[unit]}
    if lower is not None:
        limits["at_least"] = _number(lower[1]) * factor
    if upper is not None:
        limits["at_most"] = _number(upper[1]) * factor
    return CheckHint(clause, "number_check", {"settings": limits})


def _number(text: str) -> float:
    return float(text.replace(",", ""))


def _cost_hint(clause: str) -> CheckHint | None:
    if not _COST.search(clause):
        return None
    return CheckHint(clause, "number_check", {"settings": {"measure": "cost"}})


def _text_hint(clause: str) -> CheckHint | None:
    texts = quotations(clause)
    if not texts:
        return None
    if _FORBIDS.search(clause):
        return CheckHint(clause, "contains", {"substring": texts[0], "mode": "must_not_contain"})
    if _DEMANDS.search(clause):
        return CheckHint(clause, "contains", {"substring": texts[0]})
    return None


def _word_rule(pattern: re.Pattern[str], kind: str) -> Callable[[str], CheckHint | None]:
    """Return the rule that a clause with certain words suggests a kind."""

    def rule(clause: str) -> CheckHint | None:
        return CheckHint(clause, kind) if pattern.search(clause) else None

    return rule


_RULES: Final[Sequence[Callable[[str], CheckHint | None]]] = (
    _number_hint,
    _cost_hint,
    _text_hint,
    _word_rule(_JSON, "json_schema"),
    _word_rule(_TOOL, "tool_call_check"),
    _word_rule(_EXECUTABLE, "command_check"),
    _word_rule(_SHAPE, "pattern_match"),
)
