"""An answer that grows on a terminal: every word once, at every moment and any window size."""

import re
from collections import Counter

import anyio.lowlevel
import pytest
from prompt_toolkit.data_structures import Size

from emulated_terminal import Desk, desk, until

WORDS = " ".join(f"word{number:03}" for number in range(400))
MARKED = re.compile(r"word\d{3}")
MIXED = """\
# Word title

Some **bold words, {0} and {1}** with `code {2}` and [a link {3}](http://example.com/{4}).

1. {5} is first

2. {6} is second

   with {7} below it

| name | value |
|---|---|
| {8} | {9} |
| 日本語の{10} | {11} |

```python
def {12}():
    return "{13}"


x = {14}
```

終わりの{15}です。 The **end {16}
"""


async def shown(at: Desk, text: str, piece: int = 7) -> None:
    """Stream a text and hold against it that no word is ever seen twice."""

    pictures: list[str] = []

    def look() -> None:
        counts = Counter(MARKED.findall(at.terminal.text + "\n"))
        if any(count > 1 for count in counts.values()):
            pictures.append(at.terminal.text)

    at.terminal.watch = look
    for place in range(0, len(text), piece):
        at.surface.stream(text[place : place + piece])
        await anyio.lowlevel.checkpoint()
    at.surface.settle()
    look()
    assert not pictures, pictures[0]


@pytest.mark.parametrize(("rows", "columns"), [(14, 60), (24, 80), (50, 120), (5, 20)])
async def test_a_long_answer_repeats_and_loses_no_word(rows: int, columns: int) -> None:
    async with desk(rows, columns) as at:
        await shown(at, WORDS)
        await until(lambda: "word399" in at.terminal.text)
        assert len(set(MARKED.findall(at.terminal.text + "\n"))) == 400


@pytest.mark.parametrize(("rows", "columns"), [(14, 60), (24, 80), (12, 30)])
@pytest.mark.parametrize("piece", [1, 7, 300])
async def test_lists_tables_code_and_wide_characters_are_shown_once(
    rows: int, columns: int, piece: int
) -> None:
    text = MIXED.format(*(f"word{number:03}" for number in range(17)))
    async with desk(rows, columns) as at:
        await shown(at, text, piece)
        await until(lambda: "word016" in at.terminal.text)
        found = "".join(at.terminal.text.split())
        assert all(f"word{number:03}" in found for number in range(17))
        assert "**bold" not in found
        assert "```" not in found


async def test_the_lines_of_a_long_answer_come_before_its_end() -> None:
    async with desk(14, 60) as at:
        at.surface.stream(WORDS)
        await until(lambda: "word399" in at.terminal.text)
        assert "word000 " in at.terminal.text
        assert at.surface.drawn.block.source


async def test_a_window_that_changes_its_width_meanwhile_repeats_and_loses_nothing() -> None:
    async with desk(30, 30) as at:
        for place, columns in enumerate((40, 60, 80, 120)):
            await shown_part(at, WORDS[place * 700 : (place + 1) * 700])
            at.terminal.screen.resize(30, columns)
            at.terminal.size = Size(30, columns)
            at.region.refresh()
        await shown_part(at, WORDS[2800:])
        at.surface.settle()
        words = MARKED.findall(at.terminal.text + "\n")
        assert words == [f"word{number:03}" for number in range(400)]


async def shown_part(at: Desk, text: str) -> None:
    """Stream a part, and wait until its end is drawn."""
    for place in range(0, len(text), 50):
        at.surface.stream(text[place : place + 50])
        await anyio.lowlevel.checkpoint()
    last = at.surface.drawn.block.tail(at.region.columns, 1)[-12:]
    await until(lambda: last in at.terminal.text)
