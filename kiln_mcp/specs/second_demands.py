"""The second demand of a sentence that is not English: "und dürfen keine Preise nennen".

One rule serves German, French, Spanish, Italian and Portuguese: after an "and" or "but", a verb of
demand begins a demand of its own, if the sentence before it has one, too. The words are those of
all these languages. What the rule does not see for certain stays one demand.
"""

import re
from typing import Final

_VERBS: Final = (
    "muss|müssen|soll|sollen|sollte|sollten|darf|dürfen|doit|doivent|devrait|devraient|peut|"
    "peuvent|debe|deben|debería|deberían|puede|pueden|deve|devono|devem|può|possono|pode|podem"
)
_ADVERBS: Final = "nie|niemals|immer|stets|jamais|toujours|nunca|jamás|siempre|mai|sempre"
_NEGATION_WORDS: Final = "ne|no|non|não|nicht"
_NEGATIONS: Final = rf"(?:{_NEGATION_WORDS})\s+"
_SUBORDINATE: Final = re.compile(
    r"^(?:dass|weil|wenn|falls|ob|que|qui|dont|où|si|quand|cuando|donde|che|chi|quando|se|onde)\b",
    re.IGNORECASE,
)
JOINT: Final = re.compile(
    r"(?<![\s,]),?\s(?:und|aber|et|mais|y|e|pero|ma|mas)\s+(?:auch\s+|aussi\s+|también\s+)?",
    re.IGNORECASE,
)
"""What may join two demands; a bare comma may as well begin a subordinate clause."""
_VERB: Final = re.compile(rf"\b(?:{_VERBS})\b", re.IGNORECASE)
_VERB_FIRST: Final = re.compile(
    rf"^(?:(?:{_NEGATIONS}|(?:{_ADVERBS})\s+)*)({_VERBS})\s+\w", re.IGNORECASE
)
_ADVERB_FIRST: Final = re.compile(rf"^(?:{_NEGATIONS})?(?:{_ADVERBS})\s+\w+\s+\w", re.IGNORECASE)
_OWN_CLAUSE: Final = re.compile(
    rf"^(?:[\w'\u2019-]+\s+){{1,4}}?(?:{_NEGATIONS})?(?:{_VERBS})\s+\w", re.IGNORECASE
)
_ADVERB: Final = re.compile(rf"\b(?:{_ADVERBS})\b", re.IGNORECASE)
_LAST_NEGATION: Final = re.compile(rf"\s(?:{_NEGATION_WORDS}|{_ADVERBS})$", re.IGNORECASE)
_LONGEST_SUBJECT: Final = 6
"""The most words of a subject that a second demand takes over."""


def second_demand(left: str, right: str) -> str | None:
    """Return the second of two demands with its subject; None if it belongs to the first one.

    Args:
        left: The sentence up to the joint.
        right: What stands after the joint.
    """
    verb = _VERB.search(left)
    if verb is None:
        return right if _ADVERB.search(left) and _ADVERB_FIRST.match(right) else None
    if _SUBORDINATE.match(right):
        return None
    subject = _LAST_NEGATION.sub("", left[: verb.start()].strip())
    is_plain = "," not in subject and 0 < len(subject.split()) <= _LONGEST_SUBJECT
    own_verb = _VERB_FIRST.match(right)
    if own_verb is not None:
        agrees = _is_plural(own_verb[1]) is _is_plural(verb.group())
        is_only = len(_VERB.findall(left)) == 1
        return f"{subject} {right}" if is_plain and agrees and is_only else None
    if _ADVERB_FIRST.match(right):
        is_whole = subject == left[: verb.start()].strip() and not _shares_last_verb(left, right)
        return f"{subject} {verb.group()} {right}" if is_plain and is_whole else None
    return right if _OWN_CLAUSE.match(right) else None


def _is_plural(verb: str) -> bool:
    """Return whether a verb of demand is a plural: "müssen", "doivent", "deben", "devono"."""
    return verb.casefold().endswith(("n", "nt", "no", "m"))


def _shares_last_verb(left: str, right: str) -> bool:
    """Return whether the last word may be the verb of both: "immer höflich und nie grob sein"."""
    first, second = (text.rstrip(".!? ").casefold() for text in (left, right))
    return second.endswith("n") and not first.endswith("n")
