"""The words of many texts as numbers, in order."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kiln_mcp.datasets.words import words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Places = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class WordLists:
    """The words of some texts.

    Attributes:
        numbers: The number of each word, one text after the other.
        starts: Where each text begins, and where the last one ends.
        vocabulary: The words by their numbers.
    """

    numbers: "Places"
    starts: "Places"
    vocabulary: tuple[str, ...]

    def __len__(self) -> int:
        """Return how many texts there are."""
        return len(self.starts) - 1

    @property
    def sizes(self) -> "Places":
        """Return how many words each text has."""
        return self.starts[1:] - self.starts[:-1]

    def owners(self) -> "Places":
        """Return the text of each word."""
        import numpy as np  # imported here: heavy, and most processes measure no data

        return np.repeat(np.arange(len(self)), self.sizes)

    def text_counts(self) -> "Places":
        """Return how many texts have each word."""
        import numpy as np  # imported here: as above

        keys = different(self.owners() * max(1, len(self.vocabulary)) + self.numbers)
        return np.bincount(keys % max(1, len(self.vocabulary)), minlength=len(self.vocabulary))

    def words_at(self, places: "Places") -> list[str]:
        """Return the words at some places."""
        own: list[int] = self.numbers[places].tolist()
        return [self.vocabulary[number] for number in own]


def different(numbers: "Places") -> "Places":
    """Return the different numbers in their order; fast for numbers that are nearly in order."""
    import numpy as np  # imported here: heavy, and most processes measure no data

    values = np.sort(numbers, kind="stable")
    is_new = np.ones(values.size, dtype=np.bool_)
    np.not_equal(values[1:], values[:-1], out=is_new[1:])
    return values[is_new]


class _Numbers(dict[str, int]):
    """Gives each new word the next number."""

    def __missing__(self, word: str) -> int:
        number = self[word] = len(self)
        return number


def word_lists(texts: Sequence[str]) -> WordLists:
    """Return the words of texts."""
    import numpy as np  # imported here: heavy, and most processes measure no data

    numbers = _Numbers()
    members, starts = array("q"), array("q", [0])
    for text in texts:
        members.extend(map(numbers.__getitem__, words(text)))
        starts.append(len(members))
    return WordLists(
        np.array(members, dtype=np.int64), np.array(starts, dtype=np.int64), tuple(numbers)
    )
