"""Details that a text names, found by their form: times, days, amounts, numbers, addresses.

Where all of the user's own inputs name a detail, such as a time, an input without it is probably
not whole. Words of days, months and small numbers are known in English, German, French, Spanish,
Italian, Portuguese and Dutch, and days in Japanese and Chinese; digits in every language.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

LEAST_TEXTS: Final = 6
"""Texts from which on it is known what all of them name."""
_SHARE: Final = 0.95
"""The share of them that must name it: one of twenty may be odd."""
_LONGEST: Final = 20_000
"""Characters of a text that are read."""

_DAYS: Final = (
    "monday|tuesday|wednesday|thursday|friday|saturday|sunday|"
    "montag|dienstag|mittwoch|donnerstag|freitag|samstag|sonnabend|sonntag|"
    "lundi|mardi|mercredi|jeudi|vendredi|samedi|dimanche|"
    "lunes|martes|miércoles|jueves|viernes|sábado|domingo|"
    "lunedì|martedì|mercoledì|giovedì|venerdì|sabato|domenica|"
    "segunda-feira|terça-feira|quarta-feira|quinta-feira|sexta-feira|"
    "maandag|dinsdag|woensdag|donderdag|vrijdag|zaterdag|zondag"
)
_MONTHS: Final = (
    "january|february|march|april|june|july|august|september|october|november|december|"
    "januar|februar|märz|mai|juni|juli|oktober|dezember|"
    "janvier|février|mars|avril|juin|juillet|août|septembre|octobre|novembre|décembre|"
    "enero|febrero|marzo|abril|mayo|junio|julio|agosto|septiembre|octubre|noviembre|diciembre"
)
_NUMBERS: Final = (
    "two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|"
    "zwei|drei|vier|fünf|sechs|sieben|acht|neun|zehn|elf|zwölf|"
    "deux|trois|quatre|cinq|sept|huit|neuf|dix|onze|douze|"
    "dos|tres|cuatro|cinco|seis|siete|ocho|nueve|diez|doce|"
    "due|tre|quattro|cinque|sei|sette|otto|nove|dieci|"
    "dois|duas|três|quatro|sete|oito|dez|twee|drie|vijf|zes|zeven|negen|tien"
)
_DIGITS: Final = r"\d{1,12}(?:[.,]\d{1,3}){0,4}"
_DETAIL: Final = re.compile(
    r"(?P<email>[\w.+-]{1,64}@[\w-]{1,63}\.[\w.-]{1,63})"
    r"|(?P<link>\bhttps?://\S+)"
    r"|(?P<date>\b\d{4}-\d\d?-\d\d?\b|\b\d\d?[./]\d\d?[./]\d{2,4}\b|\d\d?月\d\d?日)"
    rf"|(?P<amount>[$€£¥]\s?{_DIGITS}|\b{_DIGITS}\s?(?:[$€£¥円]|(?:euros?|dollars?|usd|eur)\b))"
    r"|(?P<time>(?<![\d:.])(?:[01]?\d|2[0-4])(?:[:.h][0-5]\d|\s?(?:[ap]\.?m\b|uhr\b|时|時|点))"
    r"(?![\d:]))"
    rf"|(?P<day>\b(?:{_DAYS})s?\b|[月火水木金土日]曜|(?:星期|周|週)[一二三四五六日天])"
    rf"|(?P<month>\b(?:{_MONTHS})\b)"
    r"|(?P<code>\b(?=\w*\d)[a-z]{1,4}[-#]?\d{3,}\b|\b\d{5,}\b)"
    rf"|(?P<number>(?<![\d:.,])\d{{1,4}}(?![\d:]|[.,]\d)|\b(?:{_NUMBERS})\b)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Detail:
    """A detail of a text.

    Attributes:
        kind: What it is, such as "time".
        text: The detail as it stands there.
        start: The place of its first character.
    """

    kind: str
    text: str
    start: int

    @property
    def end(self) -> int:
        """The place after its last character."""
        return self.start + len(self.text)


def details_of(text: str) -> Iterator[Detail]:
    """Yield the details of a text's beginning, in order; none overlaps another."""
    for match in _DETAIL.finditer(text[:_LONGEST]):
        yield Detail(match.lastgroup or "", match[0], match.start())


def usual_details(texts: Sequence[str]) -> frozenset[str]:
    """Return the kinds of details that nearly all of some texts name; none of fewer than six."""
    if len(texts) < LEAST_TEXTS:
        return frozenset()
    kinds_of_texts = [{detail.kind for detail in details_of(text)} for text in texts]
    kinds = frozenset[str]().union(*kinds_of_texts)
    return frozenset(
        kind for kind in kinds if sum(kind in own for own in kinds_of_texts) >= _SHARE * len(texts)
    )


def missing_details(text: str, kinds: frozenset[str]) -> list[str]:
    """Return which of some kinds of details a text does not name, in alphabetical order."""
    return sorted(kinds - {detail.kind for detail in details_of(text)})
