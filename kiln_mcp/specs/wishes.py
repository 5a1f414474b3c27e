"""What a wish asks for: its criteria one by one.

English is read by its subjects, verbs and kinds of criteria. A sentence in another language is
split where a verb of demand begins a second demand (`second_demands`).
"""

import re
from dataclasses import dataclass
from typing import Final

from kiln_mcp.spec_texts.sentences import as_sentence, sentences
from kiln_mcp.spec_texts.spec_kinds import SpecKind
from kiln_mcp.spec_texts.text_languages import is_foreign
from kiln_mcp.specs import second_demands
from kiln_mcp.specs.complaints import (
    DEMAND,
    OUTPUTS,
    SUBJECT,
    is_complaint,
    is_demand,
    is_unclear,
)
from kiln_mcp.specs.kind_choice import kind_in

_OPENING: Final = re.compile(
    r"^(?:please\s+|i\s+(?:want|need|would like|wish)\s+(?:that\s+)?|i'd like\s+(?:that\s+)?|"
    r"we\s+(?:want|need)\s+(?:that\s+)?|make sure\s+(?:that\s+)?|ensure\s+(?:that\s+)?)",
    re.IGNORECASE,
)
_JOINT: Final = re.compile(
    r"(?<!\s)\s*(?:,\s*(?:and|but)?|\s(?:and|but))\s+(?:also\s+)?", re.IGNORECASE
)
_OWN_SUBJECT: Final = re.compile(rf"^(?:{SUBJECT}|{OUTPUTS})\s+\w+", re.IGNORECASE)
_OWN_DEMAND: Final = re.compile(rf"^(?:{DEMAND})\b", re.IGNORECASE)
_VERB: Final = (
    r"must|should|shall|ought to|has to|have to|needs? to|cannot|is|are|may not|do not|does not|"
    r"(?:can|must|should|do|does)n?['\u2019]t"
)
_HAS_VERB: Final = re.compile(rf"\b(?:{_VERB})\b", re.IGNORECASE)
_OWN_CLAUSE: Final = re.compile(
    rf"^(?:(?!(?:that|which|who|whose|when|if|where)\b)[\w'\u2019-]+\s+){{1,5}}(?:{_VERB})\b",
    re.IGNORECASE,
)
"""A noun and what it has to do: "the tone should be friendly"."""
_ACTION: Final = re.compile(
    r"^(?:not\s+)?(?:add|address|answer|apologi[sz]e|ask|avoid|be|begin|call|check|cite|close|"
    r"confirm|contain|cover|describe|do|drop|end|explain|finish|follow|give|greet|have|help|"
    r"include|invent|keep|leave|limit|link|list|make|mention|name|offer|omit|open|promise|put|"
    r"quote|refer|refuse|remain|reply|respond|return|say|show|sign|skip|sound|start|state|stay|"
    r"stick|suggest|tell|thank|try|use|wrap|write)\s+\w",
    re.IGNORECASE,
)
"""What begins with a verb: "mention the order"."""
_NEGATION: Final = re.compile(r"n['\u2019]t\b|\b(?:not|never|no|cannot)\b", re.IGNORECASE)
_ADVERB: Final = re.compile(r"(?:never|always)\s+", re.IGNORECASE)
_IS_OR_ARE: Final = re.compile(r"\s*(is|are)\b", re.IGNORECASE)
_TO_BE: Final = re.compile(r"(?<!\s)\s+be$", re.IGNORECASE)
_LEAD: Final = re.compile(rf"^(.*?\b(?:{DEMAND})(?:\s+not)?(?:\s+be)?|.*?\b(?:is|are|be))\s+", re.I)
_SUBJECT_OF: Final = re.compile(rf"^(.*?)(?<!\s)\s*\b(?:{DEMAND}|is|are)\b", re.IGNORECASE)


_REPORTER: Final = re.compile(rf"^({SUBJECT}|{OUTPUTS})\s+\w+", re.IGNORECASE)
_OWN_VERB: Final = re.compile(r"^(?:is|are|has|have|does|do|(?!\w+(?:ous|ss)\b)\w+s)\s+\w", re.I)
_LONGEST_SENTENCE: Final = 600
"""A longer sentence is not split: each part would be compared with all before it."""


@dataclass(frozen=True, slots=True)
class Criterion:
    """One thing that a wish asks for.

    Attributes:
        text: One or more sentences, in the wish's words.
        is_complaint: Whether it reports what outputs do wrong now.
    """

    text: str
    is_complaint: bool


def criteria_of(wish: str) -> tuple[Criterion, ...]:
    """Return the criteria of a wish, each in the wish's words; at least one.

    Sentences of one kind stay together. "Replies must be polite and short" are two: their words
    point to different kinds of spec.
    """
    groups: list[tuple[SpecKind | None, list[str]]] = []
    complaints: set[str] = set()
    for sentence in sentences(" ".join(wish.split())) or (wish,):
        parts = _parts(_OPENING.sub("", sentence))
        own_complaints = _complaints(parts)
        complaints |= own_complaints
        for part in parts:
            kind = SpecKind.ISSUE if part in own_complaints else kind_in(part)
            same = next((texts for own, texts in groups if own is kind), None)
            if len(parts) > 1 or not groups or (kind is not None and same is None):
                groups.append((kind, [part]))
            else:
                (groups[-1][1] if same is None else same).append(part)
    return tuple(
        Criterion(" ".join(map(as_sentence, parts)), parts[0] in complaints) for _, parts in groups
    )


def _complaints(parts: list[str]) -> set[str]:
    """Return the parts of a sentence that report faults: what is told beside one is one too."""
    complaints: set[str] = set()
    for part in parts:
        if is_complaint(part) or (complaints and is_unclear(part)):
            complaints.add(part)
    return complaints


def _parts(sentence: str) -> list[str]:
    """Return the criteria of one sentence; a very long one is no list of wishes."""
    if len(sentence) > _LONGEST_SENTENCE:
        return [sentence]
    joint_pattern, second_of = (
        (second_demands.JOINT, second_demands.second_demand)
        if is_foreign(sentence)
        else (_JOINT, _second)
    )
    joints = list(joint_pattern.finditer(sentence))
    ends = [*(joint.start() for joint in joints[1:]), len(sentence)]
    parts = [sentence[: joints[0].start()] if joints else sentence]
    for joint, end in zip(joints, ends, strict=True) if joints else ():
        right = sentence[joint.end() : end]
        second = second_of(parts[-1], right)
        if second is None:
            parts[-1] += sentence[joint.start() : end]
        else:
            parts.append(second)
    return parts


def _second(left: str, right: str) -> str | None:
    """Return the second of two criteria with its subject; None if it belongs to the first one."""
    if _OWN_SUBJECT.match(right) and (is_demand(right) or is_complaint(left)):
        return right
    subject = _SUBJECT_OF.match(left)
    if _OWN_DEMAND.match(right):
        return _with_subject(subject[1], left, right) if subject else right
    if _OWN_CLAUSE.match(right) and is_demand(right):
        return right
    lead, reporter = _LEAD.match(left), _REPORTER.match(left)
    first_kind, second_kind = kind_in(left), kind_in(right)
    if first_kind is None or second_kind is None or first_kind is second_kind:
        return None
    if reporter and is_complaint(left) and _OWN_VERB.match(right):
        return f"{reporter[1]} {right}"
    if _HAS_VERB.search(right):
        return right if _OWN_CLAUSE.match(right) else None
    return _with_lead(lead[1], right) if lead else None


def _with_subject(subject: str, left: str, right: str) -> str:
    """Return the second criterion after the first one's subject: "replies", "never rude"."""
    adverb = _ADVERB.match(right)
    be = _IS_OR_ARE.match(left, len(subject))
    if adverb and be and not _ACTION.match(right[adverb.end() :]):
        return f"{subject} {be[1]} {right}"
    return f"{subject} {right}".strip()


def _with_lead(lead: str, right: str) -> str | None:
    """Return the second criterion after the first one's lead; None if it would say another thing.

    Args:
        lead: "Replies must be", "Don't be", "Replies must not".
        right: "short", "mention the order", "not omit the date".
    """
    is_action = _ACTION.match(right) is not None
    if _NEGATION.search(lead):
        if is_action and _OWN_DEMAND.match(lead):
            return right  # "Don't be rude and keep it short"
        return f"{lead} {right}" if right.isalpha() and not is_action else None
    return f"{_TO_BE.sub('', lead) if is_action else lead} {right}"
