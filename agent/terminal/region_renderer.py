"""The renderer of the region at the bottom, which survives a change of the window's size."""

from typing import Any

from prompt_toolkit.application import Application
from prompt_toolkit.layout import Layout
from prompt_toolkit.layout.screen import Screen
from prompt_toolkit.output import Output
from prompt_toolkit.renderer import CPR_Support, Renderer
from prompt_toolkit.styles import BaseStyle


class RegionRenderer(Renderer):
    """A renderer that counts the rows that its lines take after a window became narrower.

    Most terminals wrap the lines that no longer fit. The library would move up by the old number
    of rows and leave the rest of the old region on the screen.
    """

    def __init__(self, style: BaseStyle, output: Output, *, wraps_on_resize: bool = True) -> None:
        super().__init__(style, output)
        # A region that knows its row would fill the window down to the bottom.
        self.cpr_support = CPR_Support.NOT_SUPPORTED
        self._wraps_on_resize = wraps_on_resize

    def render(self, app: Application[Any], layout: Layout, is_done: bool = False) -> None:
        """Draw the region; after a change of the window's size, as a whole."""
        if self._last_size not in {None, self.output.get_size()}:
            self.erase(leave_alternate_screen=False)
        super().render(app, layout, is_done)

    def erase(self, leave_alternate_screen: bool = True) -> None:
        """Take the region away; the cursor stands where it began."""
        rows = self._added_rows()
        if rows:
            self.output.cursor_up(rows)
        super().erase(leave_alternate_screen)

    def _added_rows(self) -> int:
        screen, old_size = self._last_screen, self._last_size
        columns = self.output.get_size().columns
        if not self._wraps_on_resize or screen is None or old_size is None:
            return 0
        if columns >= old_size.columns:
            return 0
        above = sum((_width(screen, row) - 1) // columns for row in range(self._cursor_pos.y))
        return above + self._cursor_pos.x // columns


def _width(screen: Screen, row: int) -> int:
    """Return the columns that a row takes, at least 1."""
    cells = screen.data_buffer[row]
    return 1 + max((place for place, cell in cells.items() if cell.char.strip()), default=0)
