"""What people call the kinds of record, at every door and in every error."""

import re
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


FORMAT_KINDS: Final = frozenset(
    {
        "project",
        "task",
        "task_run",
        "prompt",
        "task_run_config",
        "spec",
        "eval",
        "eval_config",
        "eval_run",
        "eval_input",
        "dataset_split",
        "finetune",
        "prompt_optimization_job",
        "data_guide",
        "feedback",
        "claim_review",
        "skill",
        "code_tool",
        "external_tool_server",
        "document",
        "extraction",
        "chunked_document",
        "chunk_embeddings",
        "rag_config",
        "extractor_config",
        "chunker_config",
        "embedding_config",
        "vector_store_config",
        "reranker_config",
    }
)
"""The format's names of all kinds of record."""
_ALIASES: Final[Mapping[str, str]] = {
    "judge": "eval_config",
    "scorer": "eval_config",
    "config": "task_run_config",
    "split": "dataset_split",
    "item": "task_run",
}
"""Further words that people use for a kind before a slash."""
_BETWEEN_WORDS: Final = re.compile(r"[\s_-]+")


def split_handle(reference: str) -> tuple[str, str]:
    """Return the format's kind in a reference such as `spec/refunds`, and what follows the slash.

    The kind is "" if the reference begins with none; then the rest is the whole reference.
    """
    word, slash, rest = reference.strip().partition("/")
    key = _BETWEEN_WORDS.sub("_", word.strip().casefold())
    kind = _ALIASES.get(key, format_name(key))
    is_handle = bool(slash and rest.strip()) and kind in FORMAT_KINDS
    return (kind, rest.strip()) if is_handle else ("", reference.strip())
