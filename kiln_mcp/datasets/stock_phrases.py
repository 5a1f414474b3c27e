"""The phrases that a generator keeps repeating, found by comparison and not by a list of words.

A phrase counts if many texts of a batch have it, and either the user's own texts have it less
often, or the texts are on topics that have nothing to do with each other.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from kiln_mcp.datasets.words import words

Phrase = tuple[str, ...]

_SHORTEST: Final = 3
_LONGEST: Final = 6
_LEAST_TEXTS: Final = 4
_LEAST_SHARE: Final = 0.1
"""The share of a batch with a phrase, from which it can count as repeated."""
_TOPIC_TEXTS: Final = 0.25
"""The same, if no texts of the user show how common the phrase is."""
_TOPIC_SHARE: Final = 0.5
"""The share of the topics in which a phrase must be, if the topics alone tell."""
_ERROR: Final = 0.01
"""The probability that the comparison names any phrase by chance, over all phrases together."""
_SAME_TEXTS: Final = 0.67
"""The share of a phrase's texts that has a longer one, from which it is not named beside it."""


@dataclass(frozen=True, slots=True)
class StockPhrase:
    """A phrase that a batch repeats.

    Attributes:
        text: Its words, case folded.
        places: The texts of the batch that have it.
        share: The share of the batch that has it.
        own_share: The share of the user's texts that has it; None if there are none.
        allowance: Texts that may keep it: the user's share, or a tenth of the batch.
    """

    text: str
    places: tuple[int, ...]
    share: float
    own_share: float | None
    allowance: int


def stock_phrases(
    texts: Sequence[str], topics: Sequence[str], own_texts: Sequence[str] = ()
) -> tuple[StockPhrase, ...]:
    """Return the phrases that a batch repeats, the commonest first.

    Args:
        texts: The batch.
        topics: The topic of each text, "" if it has none.
        own_texts: Texts of the user, which the batch is meant to be like.
    """
    threshold = max(_LEAST_TEXTS, _LEAST_SHARE * len(texts))
    places = {phrase: at for phrase, at in _places(texts).items() if len(at) >= threshold}
    own_counts = Counter(
        phrase for text in own_texts for phrase in set(_phrases(text)) if phrase in places
    )
    stock: dict[Phrase, tuple[int, ...]] = {}
    for phrase in sorted(places, key=lambda phrase: -len(phrase)):
        at = places[phrase]
        is_repeated = _is_commoner(
            (len(at), len(texts)), (own_counts[phrase], len(own_texts)), _ERROR / len(places)
        ) or (not own_texts and _spans_topics([topics[place] for place in at], topics))
        if is_repeated and not _tells_as_much(at, stock):
            stock[phrase] = at
    phrases = [
        _stock_phrase(phrase, at, len(texts), own_counts[phrase], len(own_texts))
        for phrase, at in stock.items()
    ]
    return tuple(sorted(phrases, key=lambda phrase: (-len(phrase.places), phrase.text)))


def _stock_phrase(
    phrase: Phrase, at: tuple[int, ...], count: int, own_count: int, own_texts: int
) -> StockPhrase:
    own_share = own_count / own_texts if own_texts else None
    allowance = max(1, int(max(own_share or 0.0, _LEAST_SHARE) * count))
    return StockPhrase(" ".join(phrase), at, len(at) / count, own_share, allowance)


def _places(texts: Sequence[str]) -> Mapping[Phrase, tuple[int, ...]]:
    """Return the texts that have each phrase."""
    places: dict[Phrase, list[int]] = defaultdict(list)
    for place, text in enumerate(texts):
        for phrase in dict.fromkeys(_phrases(text)):
            places[phrase].append(place)
    return {phrase: tuple(at) for phrase, at in places.items()}


def _phrases(text: str) -> Iterator[Phrase]:
    """Yield the phrases of a text."""
    own = tuple(words(text))
    for length in range(_SHORTEST, _LONGEST + 1):
        for begin in range(len(own) - length + 1):
            yield own[begin : begin + length]


def _is_commoner(batch: tuple[int, int], own: tuple[int, int], error: float) -> bool:
    """Return whether a share is higher in the batch, by Fisher's exact test on one side.

    Args:
        batch: Texts of the batch that have the phrase, and all of them.
        own: The same of the user's texts.
        error: The probability of a wrong yes.
    """
    if not own[1]:
        return False
    from scipy.stats import hypergeom  # imported here: heavy, and few processes need it

    with_phrase, total = batch[0] + own[0], batch[1] + own[1]
    return float(hypergeom.cdf(own[0], total, with_phrase, own[1])) < error


def _spans_topics(own_topics: Sequence[str], topics: Sequence[str]) -> bool:
    """Return whether texts with a phrase are on so many topics that none explains it."""
    topic_count = len({topic for topic in topics if topic})
    if topic_count < 2:
        return False
    topics_reached = len({topic for topic in own_topics if topic})
    is_common = len(own_topics) >= _TOPIC_TEXTS * len(topics)
    return is_common and topics_reached >= max(2, _TOPIC_SHARE * topic_count)


def _tells_as_much(at: Sequence[int], stock: Mapping[Phrase, tuple[int, ...]]) -> bool:
    """Return whether most texts of a phrase have a phrase that is named already."""
    return any(len({*at}.intersection(other)) >= _SAME_TEXTS * len(at) for other in stock.values())
