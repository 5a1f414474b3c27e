"""Forms that texts share: the same words in the same order, with gaps that are filled differently.

A gap takes the words that few texts have, for several bounds of few. So forms are found without
comparing texts with each other: texts with the same words around their gaps meet by a hash.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kiln_mcp.datasets.partition import Partition
from kiln_mcp.datasets.text_vectors import hash_of, sparse_rows
from kiln_mcp.datasets.word_lists import WordLists, different

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    Places = NDArray[np.int64]
    Codes = NDArray[np.uint64]
    Flags = NDArray[np.bool_]
    Matrix = csr_array[np.float32, tuple[int, int]]

_LEAST_WORDS: Final = 3
"""Words that a form must have."""
_TIGHT: Final = 2
"""Words for each word in a gap from which texts of a form count as of the same form."""
_LEAST_FILLERS: Final = 4
"""Different fillers from which a gap decides what a text is about; fewer may be synonyms."""
_CHECKED_FILLERS: Final = 12
"""Different fillers up to which it is looked whether they are spellings of one another."""
_SPELLING: Final = 75.0
"""The likeness, of 100, from which two fillers are spellings of one word."""


@dataclass(frozen=True, slots=True)
class TextForms:
    """The forms of some texts.

    Attributes:
        groups: The group of each text: those of the same form are in one, also by way of others.
        fillers: The words of each text that fill a gap which decides, a row each.
        words: All words of each text, a row each.
    """

    groups: "Places"
    fillers: "Matrix"
    words: "Matrix"

    def may_be_same(self, firsts: "Places", seconds: "Places") -> "Flags":
        """Return of which pairs each text has the words that fill the other's gaps."""
        return self._has_fillers(firsts, seconds) & self._has_fillers(seconds, firsts)

    def _has_fillers(self, firsts: "Places", seconds: "Places") -> "Flags":
        own = self.fillers[firsts]
        missing: Flags = own.sum(axis=1) <= own.multiply(self.words[seconds]).sum(axis=1)
        return missing


@dataclass(frozen=True, slots=True)
class _Frames:
    """The frames of all texts at one bound: texts with one frame differ in the gaps alone.

    Attributes:
        places: The texts that have a frame.
        frames: The hash of each one's frame.
        fillers: The hash of what fills its gaps.
        is_gap: Of each word of all texts, whether it is in a gap.
        is_tight: Of each one, whether it has twice as many words as gaps take.
        steps: Of each word of all texts, its place among the words and gaps of its text.
    """

    places: "Places"
    frames: "Codes"
    fillers: "Codes"
    is_gap: "Flags"
    is_tight: "Flags"
    steps: "Places"


def text_forms(lists: WordLists) -> TextForms:
    """Return the forms of texts."""
    import numpy as np  # imported here: heavy, and most processes measure no data

    partition = Partition(len(lists))
    decides = np.zeros(lists.numbers.size, dtype=np.bool_)
    for frames in _frames(lists):
        order = np.lexsort((frames.fillers, frames.frames))
        own, fillers = frames.frames[order], frames.fillers[order]
        is_same = own[1:] == own[:-1]
        is_pair = is_same & frames.is_tight[order[1:]]
        partition.join(frames.places[order[:-1]][is_pair], frames.places[order[1:]][is_pair])
        is_other = np.concatenate([[True], ~is_same | (fillers[1:] != fillers[:-1])])
        (begins,) = np.nonzero(np.concatenate([[True], ~is_same]))
        members = np.split(frames.places[order], begins[1:])
        for place in np.nonzero(np.add.reduceat(is_other, begins) >= _LEAST_FILLERS)[0].tolist():
            _mark_gaps(lists, frames, members[place], decides)
    return TextForms(partition.roots, _rows_of(lists, decides), _rows_of(lists, decides | True))


def _mark_gaps(lists: WordLists, frames: "_Frames", members: "Places", decides: "Flags") -> None:
    """Mark the words that fill a gap of a form with enough different fillers.

    Args:
        lists: The words.
        frames: The frames of which one is the form.
        members: The texts that have it.
        decides: Of each word of all texts, whether it fills such a gap; changed here.
    """
    import numpy as np  # imported here: heavy, and most processes measure no data

    sizes = lists.sizes[members]
    begins = np.cumsum(sizes) - sizes
    places = np.repeat(lists.starts[members] - begins, sizes) + np.arange(int(sizes.sum()))
    in_gap = frames.is_gap[places]
    owners, places = np.repeat(members, sizes)[in_gap], places[in_gap]
    steps = frames.steps[places]
    is_begin = np.concatenate([[True], (owners[1:] != owners[:-1]) | (steps[1:] != steps[:-1])])
    (begins,) = np.nonzero(is_begin)
    bounds = [*begins.tolist(), places.size]
    runs = np.add.reduceat(_scramble(lists.numbers[places].astype(np.uint64)), begins)
    for step in np.nonzero(np.bincount(steps))[0].tolist():
        (own,) = np.nonzero(steps[begins] == step)
        _, firsts = np.unique(runs[own], return_index=True)
        distinct: list[int] = own[firsts].tolist()
        if len(distinct) > _CHECKED_FILLERS or _are_different(
            [" ".join(lists.words_at(places[bounds[gap] : bounds[gap + 1]])) for gap in distinct]
        ):
            decides[places[steps == step]] = True


def _frames(lists: WordLists) -> Iterator[_Frames]:
    """Yield the frames of texts, for words of 1, 2, 4 … texts as gaps."""
    import numpy as np  # imported here: heavy, and most processes measure no data

    if not lists.numbers.size:
        return
    counts = lists.text_counts()[lists.numbers]
    codes = np.array([hash_of(word) for word in lists.vocabulary], dtype=np.uint64)[lists.numbers]
    owners, sizes, starts = lists.owners(), lists.sizes, lists.starts[:-1]
    is_first = np.zeros(lists.numbers.size, dtype=np.bool_)
    is_first[starts[sizes > 0]] = True
    bound = 1
    while bound < len(lists):
        is_gap = counts <= bound
        after_gap = np.concatenate([[False], is_gap[:-1]]) & ~is_first
        is_step = ~(is_gap & after_gap)  # a run of words in a gap is one gap
        steps = np.cumsum(is_step)
        steps -= np.repeat(steps[starts[sizes > 0]] - 1, sizes[sizes > 0])
        factors = _scramble(steps.astype(np.uint64))
        frames = _sums(
            np.where(is_gap, np.where(is_step, factors, 0), codes * factors), owners, len(lists)
        )
        fillers = _sums(np.where(is_gap, codes * _scramble(factors), 0), owners, len(lists))
        gap_words = np.bincount(owners, weights=is_gap, minlength=len(lists)).astype(np.int64)
        other_words = sizes - gap_words
        is_form = (gap_words > 0) & (other_words >= np.maximum(_LEAST_WORDS, gap_words))
        (places,) = np.nonzero(is_form)
        if places.size:
            is_tight = other_words[places] >= _TIGHT * gap_words[places]
            yield _Frames(places, frames[places], fillers[places], is_gap, is_tight, steps)
        bound *= 2


def _sums(values: "Codes", owners: "Places", count: int) -> "Codes":
    """Return the sum of the values of each text; it wraps around."""
    import numpy as np  # imported here: heavy, and most processes measure no data

    result = np.zeros(count, dtype=np.uint64)
    np.add.at(result, owners, values)
    return result


def _scramble(values: "Codes") -> "Codes":
    """Return odd numbers that look random, the same for the same values."""
    import numpy as np  # imported here: heavy, and most processes measure no data

    result = (values + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    result = (result ^ (result >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    return (result ^ (result >> np.uint64(27))) | np.uint64(1)


def _are_different(fillers: Sequence[str]) -> bool:
    """Return whether enough of some words are no spellings of others."""
    from rapidfuzz import fuzz  # imported here: few texts need it

    different: list[str] = []
    for filler in fillers:
        if all(fuzz.ratio(filler, other) < _SPELLING for other in different):
            different.append(filler)
    return len(different) >= _LEAST_FILLERS


def _rows_of(lists: WordLists, is_member: "Flags") -> "Matrix":
    """Return some words of each text as rows."""
    import numpy as np  # imported here: heavy, and most processes measure no data

    count = max(1, len(lists.vocabulary))
    keys = different(lists.owners()[is_member] * count + lists.numbers[is_member])
    sizes = np.bincount(keys // count, minlength=len(lists))
    return sparse_rows(keys % count, np.concatenate([[0], np.cumsum(sizes)]), count)
