"""The terminal's lines: which keys end a line, and which close a question unanswered."""

from pathlib import Path

import pytest
from agent.reader import TerminalReader
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from agent.chat_history import Secrets


@pytest.mark.parametrize(
    ("keys", "answer", "line"),
    [("y\r", "y", "y"), ("\r", "", ""), ("\x03", None, ""), ("\x04", None, None)],
)
async def test_ctrl_c_and_ctrl_d_close_a_question_and_answer_nothing(
    tmp_path: Path, keys: str, answer: str | None, line: str | None
) -> None:
    with create_pipe_input() as pipe, create_app_session(input=pipe, output=DummyOutput()):
        reader = TerminalReader(tmp_path / "chat-history", Secrets({}), lambda typed: [])
        pipe.send_text(keys)
        assert await reader.answer("Go ahead? ") == answer
        pipe.send_text(keys)
        assert await reader.line("you> ") == line
