"""Whether a text reports a fault of outputs, and what it then forbids.

English is read. Of German and Japanese only adverbs of frequency are known, such as "manchmal":
nobody wishes for something to happen sometimes. Whether another foreign text is desired or a fault
is asked, unless it says what has to be.
"""

import re
from typing import Final

from kiln_mcp.spec_texts.text_languages import Language, is_foreign, language_of

DEMAND: Final = (
    r"must|should|shall|ought to|has to|have to|needs? to|never|always|do not|does not|"
    r"don['\u2019]t|doesn['\u2019]t|cannot|can['\u2019]t|may not|mustn['\u2019]t|shouldn['\u2019]t"
)
SUBJECT: Final = (
    r"it|he|she|they|(?:the|our|my|this) (?:\w+[ -])?"
    r"(?:ai|app|agent|assistant|bot|chat ?bot|classifier|feature|model|system|tool)"
)
_OUTPUT: Final = (
    r"(?:answers?|outputs?|repl(?:y|ies)|responses?|summar(?:y|ies)|translations?|e-?mails?|"
    r"messages?|descriptions?|citations?|explanations?|letters?|drafts?)"
)
OUTPUTS: Final = (
    r"(?:(?:the |its |our )?(?:answers?|outputs?|repl(?:y|ies)|responses?|summar(?:y|ies))|"
    rf"(?:the|its|our|my|support|customer|product) (?:[\w'\u2019-]+ )?{_OUTPUT})"
)
"""What a feature writes, as the subject of a sentence: "our support bot's replies"."""

_REPORT: Final = re.compile(rf"^(?:{SUBJECT})\s+\w+", re.IGNORECASE)
_OUTPUT_REPORT: Final = re.compile(rf"^(?:{OUTPUTS}|{_OUTPUT})\s+\w+", re.IGNORECASE)
_QUALIFIER: Final = re.compile(
    rf"^((?:{OUTPUTS}|{_OUTPUT}|{SUBJECT}))\s+(?:to|about|for|from|with|of|in|on)\s+"
    r"(?:(?:the|a|an|our|their|very|really|so|angry|rude|impolite|offensive)\s+)*[\w'\u2019-]+",
    re.IGNORECASE,
)
"""A subject with what it is about: "replies to rude customers"."""
_ADJECTIVE_FAULTS: Final = (
    r"wrong|rude|bad|incorrect|false|broken|useless|unhelpful|impolite|offensive|nonsense|"
    r"outdated|mislead\w*|vague|confusing|inaccurate|inconsistent|unclear|incomplete|repetitive|"
    r"verbose|wordy|long-winded|robotic|unfriendly|condescending|toxic|biased|poor|terrible|awful|"
    r"made[- ]up|hallucinated|invented|too \w+"
)
_FAULT_WORDS: Final = (
    r"sometimes|often|keeps?|too|wrong(?:ly)?|rude(?:ly)?|bad(?:ly)?|incorrect(?:ly)?|false|broken|"
    r"missing|made[- ]up|useless|unhelpful|impolite|offensive|errors?|mistakes?|bugs?|nonsense|"
    r"outdated|mislead\w*|hallucinat\w*|invent\w*|fabricat\w*|mak\w+ (?:\w+ )?up|curs(?:e|es|ing)|"
    r"swear\w*|lies|lying|lie|insult\w*|delet\w*|crash\w*|fail\w*|forget\w*|ignor\w*|omit\w*|"
    r"miss|misses|leav\w+ out|mix\w* up|leak\w*|reveal\w*|rambl\w*|repeats?|guess\w*|break\w*|"
    r"refus\w*|contradict\w*|exaggerat\w*|threaten\w*|blam\w*|mock\w*|offend\w*|los(?:e|es|ing)|"
    r"promis\w*|mis(?:read|quot|spell|understand|represent|count)\w*|overpromis\w*|lacks?|"
    r"discriminat\w*|hurts?|harms?|spam\w*|confus\w*|stops?|hangs?|vague|inaccurate|inconsistent|"
    r"unclear|incomplete|repetitive|verbose|robotic|unfriendly|condescending|toxic|biased"
)
_FAULT: Final = re.compile(rf"\b(?:{_FAULT_WORDS})\b", re.IGNORECASE)
_NO_FAULT: Final = re.compile(
    rf"\b(?:no|not|never|without|nothing|instead of|rather than|free of)\s+(?:[\w'\u2019-]+\s+)?"
    rf"(?:{_FAULT_WORDS})\b",
    re.IGNORECASE,
)
"""A fault that a text says is not there: "has no mistakes"."""
_FAULTY: Final = re.compile(
    rf"^(?:[\w'\u2019-]+\s+){{1,6}}(?:is|are|was|were|sounds?|seems?|looks?|feels?)\s+"
    rf"(?:(?:sometimes|often|so|very|just|still|quite|really|frequently)\s+){{0,2}}"
    rf"(?:{_ADJECTIVE_FAULTS})\b",
    re.IGNORECASE,
)
"""Anything that is said to be at fault: "the tone is rude"."""
_EXPERIENCE: Final = re.compile(
    r"^(?:we|i|our|the|some|many|users?|customers?|people|readers?)\b"
    rf"(?:\s+[\w'\u2019-]+){{0,3}}?\s+(?:complain\w*|(?:get|got|see|saw|find|found|receive\w*|"
    rf"notice\w*)\s+(?:\w+\s+)?(?:{_ADJECTIVE_FAULTS})\b)",
    re.IGNORECASE,
)
"""What people meet: "users sometimes get wrong prices"."""
_FRAGMENT: Final = re.compile(
    rf"^(?:sometimes|often|(?:far |way |much )?too)\s+\w|^(?:{_ADJECTIVE_FAULTS})(?:\s+\w+)?[.!]?$",
    re.IGNORECASE,
)
"""A fault without a sentence: "too verbose", "wrong dates"."""
_IS_DEMAND: Final = re.compile(rf"\b(?:{DEMAND}|every|each|all)\b", re.IGNORECASE)
_SUBORDINATION: Final = re.compile(
    r"\b(?:that|which|who|whom|whose|when|whenever|because|although|though|if|unless|while|where|"
    r"what|how|why|whether)\b|(?<=\w)\s+(?:we|they|he|she|i)\s",
    re.IGNORECASE,
)
_IMPERATIVE: Final = re.compile(
    r"^(?:please\s+)?(?:avoid|be|give|keep|make|never|no|not|prevent|reduce|stop|use|write)\b",
    re.IGNORECASE,
)
_EMBEDDED_QUESTION: Final = re.compile(r"\b(?:what|how|why|whether)\b.*", re.IGNORECASE)
_SHARE: Final = re.compile(
    r"^(?:half|some|many|most|a few|a lot|one in \w+|\d+ ?%)\s+(?:of\s+)?", re.IGNORECASE
)
_CONTRACTION: Final = re.compile(r"^(it|he|she|they)['\u2019](?:s|re)\b", re.IGNORECASE)
_FOREIGN_DEMAND: Final = re.compile(
    r"\b(?:muss|müssen|soll\w*|darf|dürfen|immer|nie|niemals|kein\w*|jede[rs]?|alle|bitte|"
    r"doit|doivent|devrai\w*|jamais|toujours|debe\w*|nunca|siempre|deve\w*)\b|"
    r"べき|なければ|こと|ように|てください|ない",
    re.IGNORECASE,
)
"""What says in another language that something has to be, or must not."""
_FOREIGN_FREQUENCY: Final = re.compile(
    r"\b(?:manchmal|gelegentlich|immer wieder|ständig|dauernd|leider)\b|"
    r"ときどき|時々|たまに|しばしば",
    re.IGNORECASE,
)


def is_complaint(text: str) -> bool:
    """Return whether a text reports a fault: "It curses", "Replies are too long"."""
    if is_foreign(text):
        return _FOREIGN_FREQUENCY.search(text) is not None and not _demands_foreign(text)
    text = _plain_form(text)
    main = main_clause(text)
    if _IS_DEMAND.search(main) or _IMPERATIVE.match(main) or _NO_FAULT.search(main):
        return False
    if any(pattern.match(main) for pattern in (_FAULTY, _EXPERIENCE, _FRAGMENT)):
        return True
    return _is_report(text) and _FAULT.search(_statement(text)) is not None


def _demands_foreign(text: str) -> bool:
    return _FOREIGN_DEMAND.search(_FOREIGN_FREQUENCY.sub("", text)) is not None


def is_unclear(text: str) -> bool:
    """Return whether a text says what the feature does, and not whether that is right."""
    if is_foreign(text):
        return not is_complaint(text) and _FOREIGN_DEMAND.search(text) is None
    text = _plain_form(text)
    return _REPORT.match(text) is not None and _is_report(text) and not _FAULT.search(text)


def is_demand(text: str) -> bool:
    """Return whether a text says in English what has to be, or must not be."""
    return _IS_DEMAND.search(text) is not None


def _is_report(text: str) -> bool:
    """Return whether a text says what outputs do, and not what they have to do."""
    main = main_clause(text)
    if _IS_DEMAND.search(main):
        return False
    return _REPORT.match(main) is not None or _OUTPUT_REPORT.match(main) is not None


def main_clause(text: str) -> str:
    """Return what stands before a subordinate clause: "refunds that it cannot give" demands not."""
    match = _SUBORDINATION.search(text)
    return text[: match.start()] if match else text


def _statement(text: str) -> str:
    """Return a text without what its subject is about, and without a question in it."""
    return _EMBEDDED_QUESTION.sub("", _QUALIFIER.sub(r"\1", text))


def _plain_form(text: str) -> str:
    """Return a text that says all outputs, and has no contraction: "it's" becomes "it is"."""
    return _CONTRACTION.sub(
        lambda match: f"{match[1]} {'are' if match[1].casefold() == 'they' else 'is'}",
        _SHARE.sub("", text),
    )


_FORBIDDEN: Final = {Language.GERMAN: "Verboten", Language.JAPANESE: "禁止"}
_THIRD_PERSON: Final = re.compile(rf"^((?:{SUBJECT}|{OUTPUTS}|{_OUTPUT})\s+)(\w+)", re.IGNORECASE)
_PREPOSITION: Final = re.compile(r"to|about|for|from|with|of|in|on|at|by", re.IGNORECASE)
_BASE_FORMS: Final = {"is": "be", "are": "be", "has": "have", "does": "do", "goes": "go"}
_ADVERBS: Final = re.compile(r"\b(?:sometimes|often|still|just|also|even)\s+", re.IGNORECASE)


def prohibition_of(complaint: str) -> str:
    """Return what a complaint forbids: "It curses." becomes "It must not curse."."""
    if is_foreign(complaint):
        language = language_of(complaint)
        return f"{_FORBIDDEN.get(language, 'Forbidden') if language else 'Forbidden'}: {complaint}"
    text = _ADVERBS.sub("", _plain_form(complaint), count=1)
    match = _THIRD_PERSON.match(text)
    if match is None or _PREPOSITION.fullmatch(match[2]):
        return f"Forbidden: {complaint}"
    subject = f"{match[1][:1].upper()}{match[1][1:]}"
    return f"{subject}must not {_base_form(match[2])}{text[match.end() :]}"


def _base_form(verb: str) -> str:
    word = verb.casefold()
    if word in _BASE_FORMS:
        return _BASE_FORMS[word]
    if word.endswith("ies") and len(word) > 4:
        return f"{word[:-3]}y"
    if re.search(r"(?:sh|ch|ss|x|zz)es$", word):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word
