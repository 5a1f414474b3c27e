"""What a wish asks for: its criteria one by one, and whether it is a complaint.

Only English is read. A wish in another language is one criterion; whether it is desired or a fault
is asked, unless it says what has to be.
"""

import re
from dataclasses import dataclass
from typing import Final

from kiln_mcp.spec_texts.sentences import as_sentence, sentences
from kiln_mcp.spec_texts.spec_kinds import SpecKind
from kiln_mcp.spec_texts.text_languages import Language, is_foreign, language_of
from kiln_mcp.specs.kind_choice import kind_in

_OPENING: Final = re.compile(
    r"^(?:please\s+|i\s+(?:want|need|would like|wish)\s+(?:that\s+)?|i'd like\s+(?:that\s+)?|"
    r"we\s+(?:want|need)\s+(?:that\s+)?|make sure\s+(?:that\s+)?|ensure\s+(?:that\s+)?)",
    re.IGNORECASE,
)
_DEMAND: Final = (
    r"must|should|shall|ought to|has to|have to|needs? to|never|always|do not|does not|"
    r"don['\u2019]t|doesn['\u2019]t|cannot|can['\u2019]t|may not|mustn['\u2019]t|shouldn['\u2019]t"
)
_SUBJECT: Final = (
    r"it|he|she|they|(?:the|our|my|this) (?:\w+[ -])?"
    r"(?:ai|app|agent|assistant|bot|chat ?bot|feature|model|system|tool)"
)
_REPORT: Final = re.compile(rf"^(?:{_SUBJECT})\s+\w+", re.IGNORECASE)
_FAULT_WORDS: Final = (
    r"sometimes|often|keeps?|too|wrong(?:ly)?|rude(?:ly)?|bad(?:ly)?|incorrect(?:ly)?|false|broken|"
    r"missing|made[- ]up|useless|unhelpful|impolite|offensive|errors?|mistakes?|bugs?|nonsense|"
    r"outdated|mislead\w*|hallucinat\w*|invent\w*|fabricat\w*|mak\w+ (?:\w+ )?up|curs(?:e|es|ing)|"
    r"swear\w*|lies|lying|lie|insult\w*|delet\w*|crash\w*|fail\w*|forget\w*|ignor\w*|omit\w*|"
    r"miss|misses|leav\w+ out|mix\w* up|leak\w*|reveal\w*|rambl\w*|repeats?|guess\w*|break\w*|"
    r"refus\w*|contradict\w*|exaggerat\w*|threaten\w*|blam\w*|mock\w*|offend\w*|los(?:e|es|ing)|"
    r"promis\w*|mis(?:read|quot|spell|understand|represent|count)\w*|overpromis\w*|lacks?|"
    r"discriminat\w*|hurts?|harms?|spam\w*|confus\w*|stops?|hangs?|vague"
)
_OUTPUTS: Final = (
    r"(?:the |its |our )?(?:answers?|outputs?|repl(?:y|ies)|responses?|summar(?:y|ies))"
)
_OUTPUT_REPORT: Final = re.compile(rf"^{_OUTPUTS}\s+\w+", re.IGNORECASE)
_FAULT: Final = re.compile(rf"\b(?:{_FAULT_WORDS})\b", re.IGNORECASE)
_IS_DEMAND: Final = re.compile(rf"\b(?:{_DEMAND}|every|each|all)\b", re.IGNORECASE)
_SUBORDINATION: Final = re.compile(
    r"\b(?:that|which|who|whom|whose|when|whenever|because|although|though|if|unless|while|where)\b",
    re.IGNORECASE,
)
_JOINT: Final = re.compile(
    r"(?<!\s)\s*(?:,\s*(?:and|but)?|\s(?:and|but))\s+(?:also\s+)?", re.IGNORECASE
)
_OWN_SUBJECT: Final = re.compile(rf"^(?:{_SUBJECT}|{_OUTPUTS})\s+\w+", re.IGNORECASE)
_OWN_DEMAND: Final = re.compile(rf"^(?:{_DEMAND})\b", re.IGNORECASE)
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
_TO_BE: Final = re.compile(r"(?<!\s)\s+be$", re.IGNORECASE)
_LEAD: Final = re.compile(
    rf"^(.*?\b(?:{_DEMAND})(?:\s+not)?(?:\s+be)?|.*?\b(?:is|are|be))\s+", re.I
)
_SUBJECT_OF: Final = re.compile(rf"^(.*?)(?<!\s)\s*\b(?:{_DEMAND}|is|are)\b", re.IGNORECASE)


_REPORTER: Final = re.compile(rf"^({_SUBJECT}|{_OUTPUTS})\s+\w+", re.IGNORECASE)
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


def is_complaint(text: str) -> bool:
    """Return whether a text reports a fault: "It curses", "Replies are too long"."""
    return _is_report(text) and _FAULT.search(text) is not None


def is_unclear(text: str) -> bool:
    """Return whether a text says what the feature does, and not whether that is right."""
    if is_foreign(text):
        return _FOREIGN_DEMAND.search(text) is None
    return _REPORT.match(text) is not None and _is_report(text) and not _FAULT.search(text)


def _is_report(text: str) -> bool:
    """Return whether a text says what outputs do, and not what they have to do."""
    main = _main_clause(text)
    if _IS_DEMAND.search(main):
        return False
    return _REPORT.match(main) is not None or _OUTPUT_REPORT.match(main) is not None


def _main_clause(text: str) -> str:
    """Return what stands before a subordinate clause: "refunds that it cannot give" demands not."""
    match = _SUBORDINATION.search(text)
    return text[: match.start()] if match else text


def _parts(sentence: str) -> list[str]:
    """Return the criteria of one sentence; a very long one is no list of wishes."""
    if len(sentence) > _LONGEST_SENTENCE:
        return [sentence]
    joints = list(_JOINT.finditer(sentence))
    ends = [*(joint.start() for joint in joints[1:]), len(sentence)]
    parts = [sentence[: joints[0].start()] if joints else sentence]
    for joint, end in zip(joints, ends, strict=True) if joints else ():
        right = sentence[joint.end() : end]
        second = _second(parts[-1], right)
        if second is None:
            parts[-1] += sentence[joint.start() : end]
        else:
            parts.append(second)
    return parts


def _second(left: str, right: str) -> str | None:
    """Return the second of two criteria with its subject; None if it belongs to the first one."""
    if _OWN_SUBJECT.match(right) and (_IS_DEMAND.search(right) or is_complaint(left)):
        return right
    subject = _SUBJECT_OF.match(left)
    if _OWN_DEMAND.match(right):
        return f"{subject[1]} {right}".strip() if subject else right
    if _OWN_CLAUSE.match(right) and _IS_DEMAND.search(right):
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


_FORBIDDEN: Final = {Language.GERMAN: "Verboten", Language.JAPANESE: "禁止"}
_FOREIGN_DEMAND: Final = re.compile(
    r"\b(?:muss|müssen|soll\w*|darf|dürfen|immer|nie|niemals|kein\w*|jede[rs]?|alle|bitte|"
    r"doit|doivent|devrai\w*|jamais|toujours|debe\w*|nunca|siempre|deve\w*)\b|"
    r"べき|なければ|こと|ように|てください|ない",
    re.IGNORECASE,
)
"""What says in another language that something has to be, or must not."""
_THIRD_PERSON: Final = re.compile(rf"^((?:{_SUBJECT}|{_OUTPUTS})\s+)(\w+)", re.IGNORECASE)
_BASE_FORMS: Final = {"is": "be", "are": "be", "has": "have", "does": "do", "goes": "go"}
_ADVERBS: Final = re.compile(r"\b(?:sometimes|often|keeps?|still|just|also|even)\s+", re.IGNORECASE)


def prohibition_of(complaint: str) -> str:
    """Return what a complaint forbids: "It curses." becomes "It must not curse."."""
    if is_foreign(complaint):
        language = language_of(complaint)
        return f"{_FORBIDDEN.get(language, 'Forbidden') if language else 'Forbidden'}: {complaint}"
    text = _ADVERBS.sub("", complaint, count=1)
    match = _THIRD_PERSON.match(text)
    if match is None:
        return complaint
    return f"{match[1]}must not {_base_form(match[2])}{text[match.end() :]}"


def _base_form(verb: str) -> str:
    word = verb.casefold()
    if word in _BASE_FORMS:
        return _BASE_FORMS[word]
    if word.endswith("ies") and len(word) > 4:
        return f"{word[:-3]}y"
    if re.search(r"(?:sh|ch|ss|x|zz)es$", word):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def is_demand(text: str) -> bool:
    """Return whether a text says in English what has to be, or must not be."""
    return _IS_DEMAND.search(text) is not None
