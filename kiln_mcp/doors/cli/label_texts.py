"""The texts of labelling in a terminal: the keys, the lines of an item, the progress."""

from collections.abc import Mapping, Sequence
from typing import Final

from prompt_toolkit.utils import get_cwidth

from kiln_mcp.datasets.rating_criteria import VALUES
from kiln_mcp.judging.labelling_session import LabellingSession, Question
from kiln_mcp.workbench.answer_text import for_terminal
from storage.records.ratings import RatingType

NARROWEST: Final = 20
_TAB: Final = "    "
_WORD_KEYS: Final[Mapping[str, str]] = {"p": "pass", "f": "fail", "c": "critical"}
STATE_KEYS: Final[Mapping[str, str]] = {"b": "both", "x": "cannot judge", "s": "skip"}
"""The keys of answers without a value."""
_PHRASES: Final[Mapping[str, str]] = {"both": "both defensible"}


def value_keys(scale: RatingType) -> dict[str, str]:
    """Return the keys of a scale's values with the words that they stand for."""
    words = VALUES[scale]
    if scale == "five_star":
        return {word: word for word in words}
    return {key: word for key, word in _WORD_KEYS.items() if word in words}


def answer_keys(scale: RatingType) -> dict[str, str]:
    """Return all keys that answer a question, with their words."""
    return {**value_keys(scale), **STATE_KEYS}


def key_line(scale: RatingType) -> str:
    """Return the keys of the answers to a question as one line."""
    if scale == "five_star":
        values = ["1-5 stars"]
    else:
        values = [f"{key} {word}" for key, word in value_keys(scale).items()]
    states = [f"{key} {_PHRASES.get(word, word)}" for key, word in STATE_KEYS.items()]
    return "  ".join([*values, *states])


MOVE_LINE: Final = "left back  right forward  r reason  u undo  up/down/space scroll  q quit"


def title_line(session: LabellingSession, question: Question) -> str:
    """Return the line above an item: its number, the evals, the rater."""
    names = ", ".join(session.labelling.eval_names)
    return for_terminal(
        f"{question.number} of {question.total} - {names} - {session.request.rater}"
    )


def question_line(session: LabellingSession, question: Question) -> str:
    """Return the line with what is asked, and what was answered."""
    score = question.place.score
    several = len(session.labelling.scores) > 1
    name = question.place.name if several else score.name
    text = f"{name}: {score.instruction}" if score.instruction else name
    answer = f"  [you said: {question.answer}]" if question.answer else ""
    reason = f"  [reason: {question.reason}]" if question.reason else ""
    return " ".join(for_terminal(f"{text}{answer}{reason}").split())


def item_lines(question: Question, width: int) -> list[str]:
    """Return an item as lines that fit a width."""
    return [
        "INPUT",
        *wrap(question.input, width),
        "",
        "OUTPUT",
        *wrap(question.output, width),
    ]


def wrap(text: str, width: int) -> list[str]:
    """Return a foreign text as safe lines of at most a width, broken at spaces where possible."""
    width = max(width, NARROWEST)
    lines: list[str] = []
    for line in for_terminal(text).expandtabs(len(_TAB)).split("\n"):
        lines += _break_line(line, width)
    return lines


def _break_line(line: str, width: int) -> list[str]:
    """Break one line; East Asian letters take two columns."""
    parts: list[str] = []
    begin = column = 0
    space = -1
    place = 0
    while place < len(line):
        letter = line[place]
        letter_width = max(0, get_cwidth(letter))
        if column + letter_width > width:
            end = space + 1 if space >= begin else place
            parts.append(line[begin:end].rstrip(" ") if space >= begin else line[begin:end])
            begin, place, column, space = end, end, 0, -1
            continue
        if letter == " ":
            space = place
        column += letter_width
        place += 1
    parts.append(line[begin:])
    return parts


def ending(session: LabellingSession, notes: Sequence[str]) -> str:
    """Return what a session did, when it ends."""
    skipped = session.skipped_count
    count = session.labelled_count - skipped
    items = "1 item is" if count == 1 else f"{count} items are"
    skips = f", {skipped} skipped" if skipped else ""
    return for_terminal(" ".join([f"{items} labelled in this session{skips}.", *notes]))
