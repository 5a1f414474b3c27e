"""Ask for labels line by line: for screen readers, and for input that is no terminal."""

from collections.abc import Callable
from typing import Final

import anyio.to_thread

from kiln_mcp.doors.cli.label_texts import answer_keys, item_lines, question_line, title_line
from kiln_mcp.judging.labelling_session import LabellingSession, Question

_WIDTH: Final = 10_000
"""Lines are left to the terminal, which wraps them, or to the screen reader."""

ReadLine = Callable[[str], str | None]
"""Shows a prompt and returns a line; None at the end of the input."""


async def label_by_lines(
    session: LabellingSession, read_line: ReadLine, write: Callable[[str], None]
) -> None:
    """Ask about each item in plain lines until the session ends, or the rater quits."""
    shown_item = ""
    session.show()
    while (question := session.question) is not None:
        if question.item != shown_item:
            write(f"\nItem {title_line(session, question)}")
            write("\n".join(item_lines(question, _WIDTH)))
            shown_item = question.item
            session.show()
        prompt = f"{question_line(session, question)} ({_choices(question)}): "
        line = await anyio.to_thread.run_sync(read_line, prompt, abandon_on_cancel=True)
        if line is None or line.strip().casefold() in {"q", "quit"}:
            return
        if not await _act(session, question, line.strip(), write):
            continue
        if session.needs_items:
            await session.draw_ahead()


async def _act(
    session: LabellingSession, question: Question, line: str, write: Callable[[str], None]
) -> bool:
    """Do what a line says; False if it says nothing that is understood."""
    command, _, rest = line.partition(" ")
    match command.casefold():
        case "back":
            session.go_back()
        case "forward":
            session.go_forward()
        case "undo":
            write("Undone." if await session.undo() else "There is nothing to undo.")
            write(" ".join(session.notes))
            session.notes = []
        case "reason":
            await session.give_reason(rest.strip())
            write("The reason is kept with your label.")
        case _:
            keys = answer_keys(question.place.score.type)
            if await session.answer(keys.get(line.casefold(), line)):
                if session.limits:
                    write(session.limits)
                return True
            write(f"'{line}' means nothing here.")
            return False
    return True


def _choices(question: Question) -> str:
    words = ", ".join(answer_keys(question.place.score.type).values())
    return f"{words}; reason TEXT, back, forward, undo, quit"
