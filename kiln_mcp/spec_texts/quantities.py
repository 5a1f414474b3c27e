"""Read amounts and limits such as "at most 50 words", in several languages."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from kiln_mcp.spec_texts.text_terms import normal, plain_number, terms


@dataclass(frozen=True, slots=True)
class Amount:
    """A number with its unit, as "30 days"."""

    number: str
    unit: str
    words: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Limit:
    """The lowest and the highest number of a unit that a sentence allows.

    Attributes:
        unit: A key of `LENGTH_UNITS`.
        words: The words that say it, as "at most 50 words".
        scope: The terms of the rest of its sentence.
        low: The lower limit; None if there is none.
        high: The upper limit; None if there is none.
    """

    unit: str
    words: str
    scope: frozenset[str]
    low: float | None = None
    high: float | None = None

    @property
    def is_empty(self) -> bool:
        """Whether no number meets it."""
        return self.excludes(self)

    def excludes(self, other: "Limit") -> bool:
        """Return whether no number meets both limits of one unit."""
        return _is_above(self.low, other.high) or _is_above(other.low, self.high)


def _is_above(low: float | None, high: float | None) -> bool:
    return low is not None and high is not None and low > high


LENGTH_UNITS: Final[Mapping[str, str]] = {
    "words": r"words?\b|wort\b|wörtern?\b|worte\b|mots?\b|palabras?\b|単語|ワード",
    "characters": r"characters?\b|chars?\b|zeichen\b|caractères?\b|caracteres?\b|文字|字(?!幕)",
    "sentences": r"sentences?\b|satz\b|sätzen?\b|phrases?\b|frases?\b|文(?![字章面書])",
    "lines": r"lines?\b|zeilen?\b|lignes?\b|líneas?\b|行(?!目)",
    "paragraphs": r"paragraphs?\b|absatz\b|absätzen?\b|paragraphes?\b|párrafos?\b|段落(?!目)",
    "bullets": r"bullet(?: point)?s?\b|stichpunkten?\b|spiegelstrichen?\b|箇条",
}
_OTHER_UNITS: Final[Mapping[str, str]] = {
    "percent": r"%|percent\b|prozent\b|パーセント",
    "hours": r"hours?\b|stunden?\b|heures?\b|horas?\b|時間",
    "days": r"days?\b|tage?n?\b|jours?\b|días?\b|日(?!付)",
    "weeks": r"weeks?\b|wochen?\b|semaines?\b|semanas?\b|週間",
    "months": r"months?\b|monate?n?\b|mois\b|meses\b|[かヶカ]月",
    "dollars": r"dollars?\b|usd\b|ドル",
    "euros": r"euros?\b|eur\b|€|ユーロ",
    "pounds": r"pounds?\b|gbp\b",
    "yen": r"yen\b|円",
}
_NAMES: Final[Mapping[str, str]] = {
    word: str(number)
    for names in (
        "two three four five six seven eight nine ten",
        "zwei drei vier fünf sechs sieben acht neun zehn",
    )
    for number, word in enumerate(names.split(), start=2)
}
_NUMBER: Final = rf"(?<![\w.,-])(?:\d+(?:[.,]\d+)*|{'|'.join(_NAMES)})"
# Japanese has no spaces: there a number may follow a letter.
_ANY_NUMBER: Final = rf"(?:{_NUMBER}|(?<=[\u3040-\u9fff])\d+(?:[.,]\d+)*)"
_AMOUNT: Final = re.compile(
    rf"(?P<number>{_ANY_NUMBER})[\s-]?(?:"
    + "|".join(f"(?P<{name}>{unit})" for name, unit in {**LENGTH_UNITS, **_OTHER_UNITS}.items())
    + ")"
)
_DATE_BEFORE: Final = re.compile(r"月$")
_RANGE_BEFORE: Final = re.compile(
    r"(?<![\d.,])(\d+(?:[.,]\d+)*) ?(?:to|and|bis|und|-|\u2013|~|\u301c|から)$"
)
_BETWEEN: Final = re.compile(r"\b(?:between|zwischen|entre)\b")
_LEADS: Final[Mapping[str, re.Pattern[str]]] = {
    "exact": re.compile(r"(?:exactly|precisely|genau|exactement|exactamente|ちょうど)$"),
    "most": re.compile(
        r"(?:at most|(?:no|not) (?:more|longer) than|up to|max(?:imum)?(?: of)?|not exceed(?:ing)?"
        r"|within|höchstens|maximal|nicht (?:mehr|länger) als|bis zu|au plus|au maximum"
        r"|como (?:máximo|mucho)|最大|最長)$"
    ),
    "least": re.compile(
        r"(?:at least|(?:no|not) (?:fewer|less) than|min(?:imum)?(?: of)?|mindestens|wenigstens"
        r"|nicht weniger als|au moins|al menos|como mínimo|最低|最小|少なくとも)$"
    ),
    "less": re.compile(r"(?:fewer than|less than|shorter than|under|below|weniger als|unter)$"),
    "more": re.compile(r"(?:more than|longer than|over|mehr als|länger als|über)$"),
}
_TAILS: Final[Mapping[str, re.Pattern[str]]] = {
    "most": re.compile(
        r" ?(?:以内|以下|まで|を超えな|or (?:fewer|less)|oder weniger|at (?:the )?most|max)"
    ),
    "less": re.compile(r" ?未満"),
    "least": re.compile(r" ?(?:以上|or more|oder mehr)"),
    "more": re.compile(r" ?(?:を超え|超)"),
}
_PLAIN: Final = frozenset({"less", "more"})
_NEGATION: Final = re.compile(r"\b(?:no|not|never|nicht|keine?[mnrs]?|nie)\b|n't\b")
_LONGEST_SUFFIX: Final = 14
_LONGEST_PREFIX: Final = 30


def amounts(text: str) -> tuple[Amount, ...]:
    """Return the numbers of a text that have a unit, by its normal form."""
    plain = normal(text)
    return tuple(
        Amount(
            _NAMES.get(hit["number"]) or plain_number(hit["number"]),
            str(hit.lastgroup),
            hit[0],
            hit.start(),
            hit.end(),
        )
        for hit in _AMOUNT.finditer(plain)
        if not _DATE_BEFORE.search(plain, max(0, hit.start() - 3), hit.start())
    )


def limits(sentence: str, *, is_forbidden: bool = False) -> tuple[Limit, ...]:
    """Return the limits of lengths in one sentence.

    Args:
        sentence: The sentence.
        is_forbidden: It describes what an output must not do: "more than 50 words" is then a
            limit of 50.
    """
    plain = normal(sentence)
    result: list[Limit] = []
    for amount in amounts(sentence):
        if amount.unit not in LENGTH_UNITS:
            continue
        lead_text = plain[max(0, amount.start - _LONGEST_PREFIX) : amount.start].rstrip()
        tail_text = plain[amount.end : amount.end + _LONGEST_SUFFIX]
        bounds = _bounds(lead_text, tail_text, float(amount.number))
        if bounds is None:
            continue
        start = len(plain[: amount.start].rstrip()) - bounds.lead
        ahead = plain[max(0, start - _LONGEST_PREFIX) : start]
        is_negated = _NEGATION.search(ahead) is not None
        sides = bounds.sides(is_negated=is_negated, is_forbidden=is_forbidden)
        if sides is None:
            continue
        rest = plain[:start] + " " + plain[amount.end + bounds.tail :]
        result.append(
            Limit(
                unit=amount.unit,
                words=plain[start : amount.end + bounds.tail].strip(),
                scope=terms(rest),
                low=sides[0],
                high=sides[1],
            )
        )
    return tuple(result)


@dataclass(frozen=True, slots=True)
class _Bounds:
    """The two sides of a limit, and how far its words reach to the left and to the right.

    Attributes:
        is_plain: It only compares, as "more than" does; a negation before it turns it round.
    """

    low: float | None
    high: float | None
    lead: int = 0
    tail: int = 0
    is_plain: bool = False

    def sides(
        self, *, is_negated: bool, is_forbidden: bool
    ) -> tuple[float | None, float | None] | None:
        """Return the lowest and the highest that are allowed; None if that is unclear."""
        if is_negated and not (self.is_plain and not is_forbidden):
            return None
        if not (is_negated or is_forbidden):
            return self.low, self.high
        if self.low is not None and self.high is None:
            return None, self.low - 1
        if self.high is not None and self.low is None:
            return self.high + 1, None
        return None


def _bounds(lead_text: str, tail_text: str, number: float) -> _Bounds | None:
    """Return the limit that the words around a number say; None if they say none."""
    if (hit := _RANGE_BEFORE.search(lead_text)) is not None:
        low, lead = float(plain_number(hit[1])), len(lead_text) - hit.start()
        # "From 200 to 100 words" shortens; only "between" names both ends of a range.
        is_range = low <= number or _BETWEEN.search(lead_text, 0, hit.start()) is not None
        return _Bounds(low, number, lead) if is_range else None
    sides = {
        "exact": (number, number),
        "most": (None, number),
        "least": (number, None),
        "less": (None, number - 1),
        "more": (number + 1, None),
    }
    for name, pattern in _LEADS.items():
        if (hit := pattern.search(lead_text)) is not None:
            return _Bounds(*sides[name], lead=len(lead_text) - hit.start(), is_plain=name in _PLAIN)
    for name, pattern in _TAILS.items():
        if (hit := pattern.match(tail_text)) is not None:
            return _Bounds(*sides[name], tail=hit.end(), is_plain=name in _PLAIN)
    return None


def length_of(text: str, unit: str) -> int | None:
    """Return how many of a unit a text has; None if that cannot be counted safely."""
    match unit:
        case "words" if not re.search(r"[\u3040-\u9fff]", text):
            return len(text.split())
        case "characters":
            return len(text)
        case "lines":
            return len([line for line in text.splitlines() if line.strip()])
        case _:
            return None
