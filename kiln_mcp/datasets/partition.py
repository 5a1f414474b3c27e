"""Groups of places, joined by many pairs at once."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Places = NDArray[np.int64]


class Partition:
    """Places in groups; each place is a group of its own at first.

    Attributes:
        roots: The group of each place: the lowest place in it.

    Args:
        count: How many places there are.
    """

    def __init__(self, count: int) -> None:
        import numpy as np  # imported here: heavy, and most processes measure no data

        self._numpy = np
        self.roots: Places = np.arange(count)

    def are_apart(self, firsts: "Places", seconds: "Places") -> "NDArray[np.bool_]":
        """Return of which pairs the two places are in different groups."""
        is_apart: NDArray[np.bool_] = self.roots[firsts] != self.roots[seconds]
        return is_apart

    def join(self, firsts: "Places", seconds: "Places") -> None:
        """Put the two places of each pair into one group."""
        np = self._numpy
        while (is_apart := self.are_apart(firsts, seconds)).any():
            firsts, seconds = firsts[is_apart], seconds[is_apart]
            roots = self.roots[firsts], self.roots[seconds]
            # Of several pairs with one root the lowest wins here; the others are still apart.
            np.minimum.at(self.roots, np.maximum(*roots), np.minimum(*roots))
            while not np.array_equal(above := self.roots[self.roots], self.roots):
                self.roots = above
