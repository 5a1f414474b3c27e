"""Failures of programs under test, each one sentence.

kiln_mcp.llm.errors.ModelError
└── ProgramFailure    a program gave no output for one item; another item may go well
"""

from kiln_mcp.llm.errors import ModelError
from storage.errors import Refusal
from storage.text.excerpts import LONGEST_REASON, excerpt_line


class ProgramFailure(ModelError):
    """A program gave no output for one item."""

    def __init__(self, name: str, reason: str) -> None:
        """Write the sentence.

        Args:
            name: The run config.
            reason: What the program did, as the end of a sentence.
        """
        self.reason = reason
        super().__init__(
            "The program of {name!r} gave no output: it {reason}. Try it by hand with this input, "
            "mend it, and run again.",
            name=name,
            reason=excerpt_line(reason, LONGEST_REASON).rstrip("."),
        )


def cannot_run(name: str, reason: str) -> ModelError:
    """Return the error of a program that could run for no item.

    Args:
        name: The run config.
        reason: Why, and what to do, as a sentence.
    """
    return ModelError("The program of {name!r} cannot be run: {reason}", name=name, reason=reason)


def unreadable_program(text: str, reason: str) -> Refusal:
    """Return the refusal of an argument that names no program.

    Args:
        text: The argument.
        reason: What is wrong, as a clause.
    """
    return Refusal(
        "The program {text!r} cannot be read: {reason}. Write 'command: python bot.py', "
        "'python: module:function', 'mcp: server/tool', or a URL such as "
        "'POST http://127.0.0.1:8000/ask'. Nothing has been saved.",
        text=excerpt_line(text),
        reason=reason,
    )
