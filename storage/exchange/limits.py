"""Limits on tables, which come from strangers."""

from typing import Final

LONGEST_CELL: Final = 8 << 20
"""Characters of a cell, or of a text in JSON."""
LONGEST_LINE: Final = 32 << 20
"""Bytes of a line, or characters of an entry of a JSON list."""
LARGEST_DOCUMENT: Final = 256 << 20
"""Bytes of a JSON document that is read whole."""
DEEPEST: Final = 64
"""Levels of lists and objects in a row."""
MOST_COLUMNS: Final = 1000
MOST_ROWS: Final = 1_048_576
"""Rows of a sheet, as the format has it."""
LARGEST_SHEET: Final = 2 << 30
"""Bytes of a spreadsheet's unpacked sheet."""
LARGEST_PART: Final = 256 << 20
"""Bytes of another part of a spreadsheet, unpacked: these are read whole."""
MOST_PARTS: Final = 10_000
"""Files in a spreadsheet's archive."""
