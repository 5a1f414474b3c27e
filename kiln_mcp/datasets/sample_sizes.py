"""How many items a statement needs. Warnings and advice read the numbers here."""

from typing import Final

WIDE_INTERVAL_ITEMS: Final = 30
"""Below this many scored or labelled items an interval is wide: about ± 0.15 for an agreement."""

ADVISED_TEST_ITEMS: Final = 60
"""Below this many test items a paired difference of 0.2 is usually not told from 0."""

SMALL_TEST_PART: Final = 25
"""Below this many test items a difference of 0.3 is usually not told from 0."""

SMALL_GOLDEN_PART: Final = 12
"""Below this many golden items the agreement of a judge says little."""
