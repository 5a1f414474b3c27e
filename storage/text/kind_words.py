"""What people call the kinds of record, at every door and in every error."""

from collections.abc import Mapping
from typing import Final

_WORDS: Final[Mapping[str, str]] = {
    "task_run": "run",
    "task_run_config": "run_config",
    "eval_config": "judge",
    "eval_run": "eval_result",
}
_FORMAT: Final[Mapping[str, str]] = {word: name for name, word in _WORDS.items()}
_NOT_LISTED: Final = frozenset({"attachment", "choice", "project"})


def kind_word(type_name: str) -> str:
    """Return what people call a kind; the format's own name where they call it the same."""
    return _WORDS.get(type_name, type_name)


def format_name(word: str) -> str:
    """Return the format's name of the kind that people call so."""
    return _FORMAT.get(word, word)


def listing_advice(kind: str) -> str:
    """Return the sentence that tells how to find a record of a kind; "" if there is no list."""
    word = kind_word(kind)
    if word in _NOT_LISTED:
        return ""
    plural = word if word.endswith("s") else f"{word}s"
    return f" List the {plural.replace('_', ' ')} to see their names and ids."
