"""Rich's renderables as text for a terminal of some width."""

from io import StringIO
from typing import ClassVar

from rich.console import (
    Console,
    ConsoleDimensions,
    ConsoleOptions,
    Group,
    RenderableType,
    RenderResult,
)
from rich.markdown import CodeBlock, Heading, Markdown, MarkdownElement
from rich.text import Text

from agent.terminal.palette import THEME, ColorSystem


class _PlainHeading(Heading):
    """A heading at the left, without a box."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        text = self.text.copy()
        text.justify = "left"
        text.stylize("bold" if self.tag != "h1" else "bold underline")
        yield text


class _PlainCode(CodeBlock):
    """Code as it is, without blank lines around it: eight colours of two palettes hide words."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        code = str(self.text).rstrip().expandtabs(4)
        yield Text(code, overflow="fold")


class ChatMarkdown(Markdown):
    """Markdown as a chat shows it."""

    elements: ClassVar[dict[str, type[MarkdownElement]]] = {
        **Markdown.elements,
        "heading_open": _PlainHeading,
        "fence": _PlainCode,
        "code_block": _PlainCode,
    }

    def __init__(self, text: str) -> None:
        super().__init__(text, hyperlinks=False)


class Painter:
    """Paints renderables.

    Args:
        colors: The colours to use; None for none.
        escapes: Whether bold and the like may be written.
    """

    def __init__(self, colors: ColorSystem | None, *, escapes: bool = True) -> None:
        self._console = Console(
            file=StringIO(),
            force_terminal=escapes,
            color_system=colors if escapes else None,
            no_color=colors is None,
            theme=THEME,
            highlight=False,
            legacy_windows=False,
        )

    def paint(self, renderable: RenderableType, width: int, height: int = 25) -> str:
        """Return a renderable as lines that end with a newline and have no trailing spaces.

        Args:
            renderable: What to paint; text that is not to be wrapped is given as `Text`.
            width: The columns of the terminal.
            height: Its rows.
        """
        self._console.size = ConsoleDimensions(max(1, width), height)
        with self._console.capture() as capture:
            self._console.print(Group(renderable))  # print alone would join texts, and wrap them
        lines = capture.get().split("\n")
        return "\n".join(line.rstrip(" ") for line in lines)


def plain_text(text: str, style: str = "") -> Text:
    """Return a text of the program; brackets in it are no markup."""
    return Text(text, style=style)
