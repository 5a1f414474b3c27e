"""Draft a spec from one sentence by rules, without a model."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from kiln_mcp.spec_texts.sentences import as_sentence, quotations, sentences
from kiln_mcp.spec_texts.spec_kinds import FORMS, SpecKind
from storage.records.names import acceptable_name

LONGEST_NAME: Final = 32
"""Kiln's limit for the name of a score, which is made from the spec's name."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A spec that is not saved yet.

    Attributes:
        kind: Its kind.
        name: Up to 32 characters that Kiln's format allows.
        fields: The text of each field, by Kiln's field names, without empty ones.
        assumptions: Decisions on what the wish leaves open.
        omissions: Parts of the wish that this spec does not cover.
    """

    kind: SpecKind
    name: str
    fields: Mapping[str, str]
    assumptions: tuple[str, ...] = field(default=())
    omissions: tuple[str, ...] = field(default=())


# The first rule that fits decides, so the narrow kinds stand before the wide ones.
_RULES: Final[tuple[tuple[SpecKind, str], ...]] = (
    (SpecKind.PROMPT_LEAKAGE, r"system prompt|"
                              r"(leak|reveal|show)\w{0,5} .{0,20}(prompt|instructions)"),
    (SpecKind.JAILBREAK, r"jail ?break|ignore (all |its |the )?(previous |earlier )?(rules|instr)"),
    (SpecKind.HALLUCINATIONS, r"hallucinat|mak\w{1,3} (things |stuff |facts )?up|made[- ]up|invent|"
                              r"fabricat|not (in|from) the (source|document|context|input)"),
    (SpecKind.APPROPRIATE_TOOL_USE, r"\b(call|use|invoke)\w* (the |a |its )?[\w -]{0,25}\b"
                                    r"(tools?|functions?|api|calculator)\b"),
    (SpecKind.REFERENCE_ANSWER_ACCURACY, r"reference answer|gold(en)? answer|expected answer|"
                                         r"known (right )?answer|ground truth"),
    (SpecKind.TOXICITY, r"toxic|insult|abusive|hate(ful| speech)?\b|harass"),
    (SpecKind.BIAS, r"\bbias|discriminat|stereotyp|prejudic"),
    (SpecKind.MALICIOUSNESS, r"malicious|malware|\bweapon|\bharmful"),
    (SpecKind.NSFW, r"nsfw|explicit (content|material)|sexual"),
    (SpecKind.TABOO, r"taboo|competitors?\b|off[- ]limits|"
                     r"(never|not|don.t|avoid) (talk|speak|mention|discuss)"),
    (SpecKind.LOCALIZATION, r"locali[sz]|translat|\bunits?\b|metric|currency|date format|"
                            r"in the (user|customer)'?s language|"
                            r"\bin (german|french|spanish|english|italian|japanese|chinese)\b"),
    (SpecKind.FORMATTING, r"\bjson|\byaml|\bcsv\b|markdown|bullet|heading|\bformat|\btable\b|"
                          r"\b(short|long|shorter|longer|brief|concise|length)\b|"
                          r"(\d|one|two|three|four|five) (words?|sentences?|lines?|characters?)|"
                          r"upper ?case|lower ?case|plain text"),
    (SpecKind.TONE, r"\btone\b|polite|friendl|rude|formal|casual|empath|warm|professional|"
                    r"sound(s|ing)? "),
    (SpecKind.FACTUAL_CORRECTNESS, r"factual|\bfacts?\b|\btrue\b|truthful|"
                                   r"(accurate|correct) information"),
    (SpecKind.COMPLETENESS, r"complete|\bmiss(es|ing)?\b|leav\w{0,3} out|omit|forget|"
                            r"(include|mention|cover|contain)\w{0,3} (all|every|each)"),
    (SpecKind.ISSUE, r"\b(sometimes|often|keeps?|wrong(ly)?|bug|fails?|mistakes?|complain\w*|"
                     r"never|must not|mustn.t|should not|shouldn.t|don.t|do not|avoid|stop)\b"),
)  # fmt: skip

_PATTERNS: Final = tuple((kind, re.compile(rule, re.IGNORECASE)) for kind, rule in _RULES)
_OPENING: Final = re.compile(
    r"^(?:please\s+|i\s+(?:want|need|would like|wish)\s+(?:that\s+)?|i'd like\s+(?:that\s+)?|"
    r"we\s+(?:want|need)\s+(?:that\s+)?|make sure\s+(?:that\s+)?|ensure\s+(?:that\s+)?)",
    re.IGNORECASE,
)
_EXAMPLE: Final = re.compile(r"(?:such as|for example|for instance|e\.g\.|like)[:,]?\s+", re.I)
_NEGATIVE: Final = re.compile(r"\b(not|never|n't|avoid|stop|without|wrong\w*)\b|n't\b", re.I)
_NAME_SKIPS_TEXT: Final = """
    a an and any are as at be by can do does for from has have i if in into is it its make me
    must my of on or our please shall should sure so that the their them they this to want we
    will with would you your ai feature model output outputs answer answers response responses
    reply replies always every sometimes
"""
_NAME_SKIPS: Final = frozenset(_NAME_SKIPS_TEXT.split())


def draft_by_rules(wish: str, kind: SpecKind | None = None, name: str | None = None) -> Draft:
    """Return the wish's own words, sorted into the fields of its kind.

    Args:
        wish: One sentence or a few.
        kind: The kind; None lets the wish's words decide.
        name: The name; None makes one from the wish's words.
    """
    requirement = as_sentence(_OPENING.sub("", " ".join(wish.split())))
    spec_kind = kind or choose_kind(wish)
    form = FORMS[spec_kind]
    fields = {form.core: requirement}
    if form.detail != form.core:
        parts = sentences(requirement)
        fields[form.detail] = "\n".join(f"- {part}" for part in parts) or requirement
    examples = _examples(wish)
    target = form.bad if form.bad and (_NEGATIVE.search(wish) or not form.good) else form.good
    if examples and target:
        fields[target] = "\n".join(f"- {example}" for example in examples)
    assumptions = [] if kind else [f"It is about: {form.purpose} ({spec_kind})."]
    return Draft(
        kind=spec_kind,
        name=_acceptable(name or "") or short_name(wish),
        fields={field: fields[field] for field in form.fields if field in fields},
        assumptions=tuple(assumptions),
    )


def choose_kind(wish: str) -> SpecKind:
    """Return the kind that the wish's words point to; desired behaviour if none do."""
    for kind, pattern in _PATTERNS:
        if pattern.search(wish):
            return kind
    return SpecKind.DESIRED_BEHAVIOUR


def short_name(wish: str) -> str:
    """Return a name of up to five of the wish's telling words."""
    telling = [
        word
        for word in re.findall(r"[\w'\u2019-]+", wish.casefold())
        if word not in _NAME_SKIPS and len(word) > 1
    ]
    name = ""
    for word in telling[:5]:
        longer = _acceptable(f"{name} {word}".strip())
        if len(f"{name} {word}".strip()) > LONGEST_NAME:
            break
        name = longer
    return name[:1].upper() + name[1:] if name else "Requirement"


def _acceptable(name: str) -> str:
    return acceptable_name(name, LONGEST_NAME)


def _examples(wish: str) -> tuple[str, ...]:
    if examples := quotations(wish):
        return examples
    match = _EXAMPLE.search(wish)
    tail = wish[match.end() :].strip(" .") if match else ""
    return (tail,) if tail else ()
