"""The kind of spec that the words of a wish point to."""

import re
from typing import Final

from kiln_mcp.spec_texts.spec_kinds import SpecKind

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
    (SpecKind.FACTUAL_CORRECTNESS, r"factual|\b(be|is|are|stay) correct\b|^correct\b|"
                                   r"\bfacts?\b|\btrue\b|truthful|"
                                   r"(accurate|correct) information"),
    (SpecKind.COMPLETENESS, r"complete|\bmiss(es|ing)?\b|leav\w{0,3} out|omit|forget|"
                            r"(include|mention|cover|contain)\w{0,3} (all|every|each)"),
    (SpecKind.ISSUE, r"\b(sometimes|often|keeps?|wrong(ly)?|bug|fails?|mistakes?|complain\w*|"
                     r"never|must not|mustn.t|should not|shouldn.t|don.t|do not|avoid|stop)\b"),
)  # fmt: skip

_PATTERNS: Final = tuple((kind, re.compile(rule, re.IGNORECASE)) for kind, rule in _RULES)


def kind_in(text: str) -> SpecKind | None:
    """Return the kind that a text's words point to; None if none do. Only English is read."""
    return next((kind for kind, pattern in _PATTERNS if pattern.search(text)), None)


def choose_kind(wish: str) -> SpecKind:
    """Return the kind that the wish's words point to; desired behaviour if none do."""
    return kind_in(wish) or SpecKind.DESIRED_BEHAVIOUR
