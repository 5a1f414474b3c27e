"""The keys of the terminal: what ends a line, what closes a question, what is kept meanwhile."""

import anyio
import pytest

from emulated_terminal import desk, until


@pytest.mark.parametrize(
    ("keys", "answer"), [("y\r", "y"), ("\r", ""), ("\x03", None), ("\x04", None)]
)
async def test_ctrl_c_and_ctrl_d_close_a_question_and_answer_nothing(
    keys: str, answer: str | None
) -> None:
    async with desk(24, 80) as at:
        answers: list[str | None] = []

        async def ask() -> None:
            answers.append(await at.region.ask("Go ahead? "))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await until(lambda: "Go ahead?" in at.terminal.text)
            at.keys.send_text(keys)
        assert answers == [answer]
        assert at.interrupts == []


async def test_lines_are_kept_in_their_order_while_nobody_reads_them() -> None:
    async with desk(24, 80) as at:
        at.keys.send_text("one\rtwo\r\x04")
        assert [await at.region.line() for _ in range(3)] == ["one", "two", None]


async def test_what_was_being_typed_answers_no_question_and_stays() -> None:
    async with desk(24, 80) as at:
        at.keys.send_text("yes, and")
        await until(lambda: "yes, and" in at.terminal.text)
        answers: list[str | None] = []

        async def ask() -> None:
            answers.append(await at.region.ask("Go ahead? "))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await until(lambda: "Go ahead?" in at.terminal.text)
            assert "yes, and" not in at.terminal.text
            at.keys.send_text("\r")
        assert answers == [""]
        at.keys.send_text(" more\r")
        assert await at.region.line() == "yes, and more"


async def test_one_key_answers_and_other_keys_do_nothing() -> None:
    async with desk(24, 80) as at:
        words: list[str | None] = []

        async def press() -> None:
            words.append(await at.region.press("p/f? ", {"p": "pass", "f": "fail"}))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(press)
            await until(lambda: "p/f?" in at.terminal.text)
            at.keys.send_text("x\rf")
        assert words == ["fail"]


async def test_ctrl_c_empties_the_line_first_and_then_reaches_the_program() -> None:
    async with desk(24, 80) as at:
        at.keys.send_text("half a line")
        await until(lambda: "half a line" in at.terminal.text)
        at.keys.send_text("\x03")
        await until(lambda: "half a line" not in at.terminal.text)
        assert at.interrupts == []
        at.keys.send_text("\x03")
        await until(lambda: at.interrupts == ["interrupt"])


async def test_ctrl_o_asks_for_the_last_result() -> None:
    async with desk(24, 80) as at:
        at.keys.send_text("\x0f")
        await until(lambda: at.interrupts == ["expand"])
