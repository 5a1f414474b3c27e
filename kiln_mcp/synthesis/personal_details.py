"""Replace personal details in texts of real users by stand-ins, before a model sees them.

Rules find what has a form (addresses, numbers, links) and names that a form of words announces:
titles, greetings, introductions, signatures. A name that nothing announces is missed, so the texts
are shown to a person first.
"""

import re
from dataclasses import dataclass, field
from typing import Final

_NAME: Final = r"[^\W\d_a-z][^\W\d_]+(?:[-'\u2019][^\W\d_]+)*"
_NAMES: Final = rf"{_NAME}(?:[ \u00a0](?:(?:van|von|de|der|da|del|di|la|al|bin)\s)*{_NAME}){{0,2}}"
_HAN: Final = "\u3005\u4e00-\u9fff"
_CJK: Final = "\u3005\u3040-\u30ff\u3400-\u9fff"
"""Kana and Chinese characters, which stand beside other words without a space."""
_EDGE: Final = rf"(?<![^\W{_CJK}])"
"""Where a word may begin: not within one of letters or digits."""
_FORMS: Final = (
    (
        "email",
        re.compile(
            rf"{_EDGE}(?<![.+%-])[^\W{_CJK}][^\W{_CJK}.+%-]*(?:[.+%-]+[^\W{_CJK}.+%-]+)*"
            rf"@[^\W{_CJK}]+(?:[.-][^\W{_CJK}]+)+"
        ),
    ),
    ("link", re.compile(r"\b(?:https?://|www\.)\S+[^\s.,;:!?)\]}>'\"]", re.IGNORECASE)),
    ("account", re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b")),
    (
        "address",
        re.compile(
            r"\b(?:\d{1,3}\.){3}\d{1,3}\b|\b(?:[0-9a-f]{1,4}:){4,7}[0-9a-f]{1,4}\b", re.IGNORECASE
        ),
    ),
    (
        "birthday",
        re.compile(
            r"(?:\b(?i:born(?: on)?|date of birth|birthday(?: is)?|dob|geboren(?: am)?|geb\.|"
            r"geburts(?:datum|tag)(?: ist(?: der)?)?)[ :]\s*|"
            r"(?:\u751f\u5e74\u6708\u65e5|\u8a95\u751f\u65e5)[\u306f:\uff1a]?\s*)"
            rf"(\d{{1,4}}[./-]\d{{1,2}}[./-]\d{{1,4}}|\d{{1,2}}\.? {_NAME} \d{{4}}|"
            rf"{_NAME} \d{{1,2}},? \d{{4}}|"
            rf"[{_HAN}]{{0,2}}\d{{1,4}}\u5e74\d{{1,2}}\u6708\d{{1,2}}\u65e5)"
        ),
    ),
    (
        "street",
        re.compile(
            rf"\b\d{{1,5}}[a-z]? {_NAME}(?: {_NAME})? "
            r"(?:Street|St|Road|Rd|Avenue|Ave|Lane|Ln|Drive|Close|Way|Court)\b\.?"
            rf"|\b{_NAME}(?:straße|strasse|str\.|weg|gasse|platz|allee) \d{{1,4}}[a-z]?\b"
            rf"|\b{_NAME} (?:Straße|Strasse|Str\.|Weg|Gasse|Platz|Allee) \d{{1,4}}[a-z]?\b"
        ),
    ),
    (
        "address",
        re.compile(
            rf"[{_HAN}]{{1,4}}[\u90fd\u9053\u5e9c\u770c\u7701\u5e02\u533a][{_CJK}]{{1,15}}"
            rf"\d{{1,4}}[\d{_CJK}-]{{0,12}}(?:\u53f7|\u5ba4|\d)"
        ),
    ),
    (
        "phone",
        re.compile(
            rf"{_EDGE}(?<!\.)(?:\+|00)?\(?\d[\d ()/.\u2010\u2011\u2212-]{{6,}}\d(?![^\W{_CJK}])"
        ),
    ),
    ("number", re.compile(rf"{_EDGE}[A-Z]{{0,4}}[-#]?\d{{5,}}[^\W{_CJK}]*")),
)
"""In the order in which they are looked for: a link may hold a number.

Where a pattern has a group, that is the detail, and what announces it stays.
"""
_GREETING: Final = (
    r"(?:dear|hi|hello|hey|good (?:morning|afternoon|evening)|hallo|liebe[rs]?|"
    r"guten (?:tag|morgen)|sehr geehrte[rs]?|"
    r"bonjour|cher|chère|hola|estimad[oa]|buongiorno|ciao|olá)"
)
_INTRODUCTION: Final = (
    r"(?:my name is|my name's|name:|this is|i am called|i'm|i am|ich bin|ich heiße|mein name ist|"
    r"hier (?:schreibt|ist|spricht)|je m'appelle|je suis|me llamo|mi nombre es|"
    r"mi chiamo|signed:?|customer:?|contact:?|kund(?:e|in):|ansprechpartner(?:in)?:|absender:)"
)
_TITLE: Final = (
    r"(?:mr|mrs|ms|miss|dr|prof|sir|herrn?|frau|monsieur|madame|mme|señora?|sra?|signora?)\.?"
)
_INITIALS: Final = r"(?:[^\W\d_a-z]\.[ \u00a0]?){0,3}"
_SIGNATURE: Final = (
    r"(?:regards|wishes|thanks|thank you|cheers|sincerely|yours|grüße|grüßen|gruß|mfg|cordialement|"
    r"saludos|saluti)[,.!]?"
)
_NAME_FORMS: Final = (
    re.compile(rf"\b(?i:{_TITLE})(?:[ \u00a0](?i:{_TITLE}))?[ \u00a0]({_INITIALS}{_NAMES})"),
    re.compile(rf"\b(?i:{_GREETING})[ \u00a0]({_NAMES})(?=[ \t]*[,!.\n:]|$)"),
    re.compile(rf"\b(?i:{_INTRODUCTION})[ \u00a0]({_NAMES})"),
    re.compile(rf"\b(?i:{_SIGNATURE})[ \t]*\n+[ \t]*({_INITIALS}{_NAMES})"),
    re.compile(rf"\b(?i:{_SIGNATURE})[ \t]+({_INITIALS}{_NAMES})(?=[ \t]*(?:[.!\n]|$))"),
    re.compile(
        r"(?:\u540d\u524d\u306f|\u6c0f\u540d[\u306f:\uff1a]|\u6211\u53eb|\u6211\u662f|\u540d\u5b57\u662f)"
        rf"([{_HAN}]{{2,5}})"
    ),
    re.compile(
        rf"(?<![{_HAN}])([{_HAN}]{{2,6}})(?:\u3068\u7533\u3057\u307e\u3059|\u3068\u3044\u3044\u307e\u3059)"
    ),
    re.compile(
        rf"(?<![{_HAN}])((?![\u304a\u5ba2\u7686])[{_HAN}]{{1,5}})(?:\u69d8|\u3055\u3093|\u6c0f)(?![{_HAN}])"
    ),
    re.compile(rf"(?:^|[\u3002\u3001\uff0c\n])([{_HAN}]{{3,5}})\u3067\u3059(?=[\u3002\u3001\n]|$)"),
)
_NOT_NAMES_TEXT: Final = """
    I There Team All Support Everyone Sir Madam Customer Service Sorry Not So Very Just The A
    An Still Trying Having Looking Writing Happy Glad Sure Unable Getting Using Going Mr Mrs
    Ms Dr Herr Frau Damen Herren Zusammen Again Help Monday Tuesday Wednesday Thursday Friday
    Saturday Sunday Today Urgent What How Why Where When Who My We You It
"""
_NOT_NAMES: Final = frozenset(_NOT_NAMES_TEXT.split())


@dataclass(slots=True)
class PersonalDetails:
    """The details that were found in some texts, with one stand-in for each.

    Attributes:
        stand_ins: The stand-in of each detail, in the order in which they were found.
    """

    stand_ins: dict[str, str] = field(default_factory=dict[str, str])

    def replace(self, text: str) -> str:
        """Return a text with stand-ins such as [name 1] for personal details."""
        for kind, pattern in _FORMS:
            text = pattern.sub(lambda match, kind=kind: self._replacement(kind, match), text)
        for name, whole_name in sorted(_names_in(text).items(), key=lambda pair: -len(pair[0])):
            stand_in = self.stand_ins.get(name) or self._stand_in("name", whole_name)
            self.stand_ins.setdefault(name, stand_in)
            beside = "" if re.match(f"[{_HAN}]", name) else r"\w"
            text = re.sub(rf"(?<![{beside}\[]){re.escape(name)}(?![{beside}\]])", stand_in, text)
        return text

    def _replacement(self, kind: str, match: re.Match[str]) -> str:
        """Return what a pattern found, with a stand-in for the detail in it."""
        start, end = match.span(match.lastindex or 0)
        announcement, rest = match.string[match.start() : start], match.string[end : match.end()]
        return f"{announcement}{self._stand_in(kind, match.string[start:end])}{rest}"

    def _stand_in(self, kind: str, detail: str) -> str:
        if detail not in self.stand_ins:
            texts = {text for text in self.stand_ins.values() if text.startswith(f"[{kind} ")}
            self.stand_ins[detail] = f"[{kind} {len(texts) + 1}]"
        return self.stand_ins[detail]


def _names_in(text: str) -> dict[str, str]:
    """Return the names that a form of words announces, and their parts, by the whole name."""
    names: dict[str, str] = {}
    for pattern in _NAME_FORMS:
        for match in pattern.finditer(text):
            words = match[1].split()
            while words and words[0] in _NOT_NAMES:
                words = words[1:]
            if not words or _NOT_NAMES.intersection(words):
                continue
            parts = [word for word in words if word[0].isupper() and len(word) > 2]
            for name in (" ".join(words), *parts):
                names.setdefault(name, " ".join(words))
    return names
