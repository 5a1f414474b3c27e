"""What people call the kinds of record, at every door and in every error."""

from collections.abc import Mapping
from typing import Final

_WORDS: Final[Mapping[str, str]] = {
    "task_run": "run",
    "task_run_config": "run_config",
    "eval_config": "evaluator",
    "eval_run": "eval_result",
}
_FORMAT: Final[Mapping[str, str]] = {word: name for name, word in _WORDS.items()}


def kind_word(type_name: str) -> str:
    """Return what people call a kind; the format's own name where they call it the same."""
    return _WORDS.get(type_name, type_name)


def format_name(word: str) -> str:
    """Return the format's name of the kind that people call so."""
    return _FORMAT.get(word, word)
