"""Lines of standard input: none is lost, and none answers a question that came after it."""

from queue import SimpleQueue

import anyio
import pytest

from agent.terminal.line_source import LineSource


def typing() -> tuple[SimpleQueue[bytes], LineSource]:
    """Return where a person types, and what reads it."""
    keyboard: SimpleQueue[bytes] = SimpleQueue()
    return keyboard, LineSource(keyboard.get)


async def test_a_line_that_comes_after_a_wait_was_given_up_is_the_next_one() -> None:
    keyboard, source = typing()
    with anyio.fail_after(60):
        with anyio.move_on_after(0):
            await source.next()
        keyboard.put(b"first\n")
        assert await source.next() == "first"


async def test_a_line_that_was_typed_before_a_question_does_not_answer_it() -> None:
    keyboard, source = typing()
    answers: list[str | None] = []

    async def ask() -> None:
        answers.append(await source.next_new())

    with anyio.fail_after(60):
        keyboard.put(b"one\ny\nyes\n")
        assert await source.next() == "one"
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await anyio.lowlevel.checkpoint()
            keyboard.put(b"no\n")
        assert answers == ["no"]
        assert [await source.next(), await source.next()] == ["y", "yes"]


@pytest.mark.parametrize("pieces", [[b"a\r\nb", b"\xc3", b"\xa4\nlast"], [b"a\nb\xc3\xa4\nlast"]])
async def test_lines_do_not_depend_on_how_the_bytes_come(pieces: list[bytes]) -> None:
    keyboard, source = typing()
    for piece in (*pieces, b""):
        keyboard.put(piece)
    with anyio.fail_after(60):
        lines = [await source.next() for _ in range(5)]
    assert lines == ["a", "b\N{LATIN SMALL LETTER A WITH DIAERESIS}", "last", None, None]


async def test_a_terminal_that_is_gone_ends_the_lines() -> None:
    def gone() -> bytes:
        raise OSError(5, "Input/output error")

    with anyio.fail_after(60):
        assert await LineSource(gone).next() is None


async def test_no_more_is_read_than_some_lines_ahead() -> None:
    reads: list[int] = []

    def endless() -> bytes:
        reads.append(1)
        return b"y\n" * 400

    source = LineSource(endless)
    with anyio.fail_after(60):
        for _ in range(2000):
            assert await source.next() == "y"
    assert len(reads) <= 2000 / 400 + 4
