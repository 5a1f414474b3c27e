"""Classes of sets that are as much alike to every other set, so that one stands for all.

A shingle that one set alone has is shared with nobody. So two sets of the same size whose other
shingles are the same share as many with any third one. Texts of a template that differ in a number
of their own are one class then, and a hundred thousand of them are compared as a few.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kiln_mcp.datasets.shingles import ShingleSets

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Places = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SetClasses:
    """The classes of sets.

    Attributes:
        class_of: The class of each set.
        firsts: The first set of each class, which stands for it.
        similarities: How much alike the sets of each class are to one another, 0 to 1.
    """

    class_of: "Places"
    firsts: "Places"
    similarities: "NDArray[np.float64]"

    def groups(self, class_groups: "Places", threshold: float) -> "Places":
        """Return a group for each set, named by the place of one of its sets.

        The sets of a class are one group if they are alike, or if all are alike to another class.

        Args:
            class_groups: The group of each class, named by the place of one of its classes.
            threshold: The least similarity of two sets that are alike.
        """
        import numpy as np  # imported here: heavy, and most processes measure no data

        sizes = np.bincount(class_groups, minlength=len(self.firsts))
        is_whole = (self.similarities >= threshold) | (sizes[class_groups] > 1)
        names = self.firsts[class_groups][self.class_of]
        return np.where(is_whole[self.class_of], names, np.arange(len(self.class_of)))


def classes_of(sets: ShingleSets) -> SetClasses:
    """Return the classes of sets."""
    import numpy as np  # imported here: heavy, and most processes measure no data

    own_counts = counts_up_to(sets, 1)
    numbers = common_shingles(sets, own_counts)
    key_numbers = numbers * (int(sets.sizes.max(initial=0)) + 1) + sets.sizes
    _, firsts, class_of = np.unique(key_numbers, return_index=True, return_inverse=True)
    shared = (sets.sizes - own_counts)[firsts]
    either = 2 * sets.sizes[firsts] - shared
    return SetClasses(class_of, firsts, shared / np.maximum(either, 1))


def counts_up_to(sets: ShingleSets, bound: int) -> "Places":
    """Return how many shingles of each set at most `bound` sets have; they come first in it."""
    import numpy as np  # imported here: heavy, and most processes measure no data

    is_rare = sets.frequencies()[sets.numbers] <= bound
    return np.bincount(sets.owners()[is_rare], minlength=len(sets))


def common_shingles(sets: ShingleSets, rare_counts: "Places") -> "Places":
    """Return a number for each set: the same for those that are the same but for rare shingles.

    Args:
        sets: The sets.
        rare_counts: How many of the first shingles of each set are left out.
    """
    import numpy as np  # imported here: heavy, and most processes measure no data

    places: dict[bytes, int] = {}
    ends = (sets.starts + sets.sizes).tolist()
    begins = (sets.starts + rare_counts).tolist()
    numbers = (
        places.setdefault(sets.numbers[begin:end].tobytes(), len(places))
        for begin, end in zip(begins, ends, strict=True)
    )
    return np.fromiter(numbers, dtype=np.int64, count=len(sets))
