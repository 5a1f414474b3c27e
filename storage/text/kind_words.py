"""What people call the kinds of record, at every door and in every error, and who lists them."""

from collections.abc import Mapping
from typing import Final

_WORDS: Final[Mapping[str, str]] = {
    "task_run": "run",
    "task_run_config": "run_config",
    "eval_config": "judge",
    "eval_run": "eval_result",
}
_FORMAT: Final[Mapping[str, str]] = {word: name for name, word in _WORDS.items()}
_LISTED_BY: Final[Mapping[str, str]] = {
    "run": "find_runs",
    "task": "describe_project",
    "question": "describe_project",
    "change": "show_history",
    "deleted record": "list_trash",
}
_NOT_LISTED: Final = frozenset({"attachment", "choice", "project"})


def kind_word(type_name: str) -> str:
    """Return what people call a kind; the format's own name where they call it the same."""
    return _WORDS.get(type_name, type_name)


def format_name(word: str) -> str:
    """Return the format's name of the kind that people call so."""
    return _FORMAT.get(word, word)


def listed_by(word: str) -> str | None:
    """Return the capability that lists what people call so; None where there is none."""
    return None if word in _NOT_LISTED else _LISTED_BY.get(word, "find_records")
