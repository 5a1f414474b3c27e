"""Tokens by the vocabulary cl100k that comes with litellm: nothing is downloaded."""

import importlib.util
import os
from pathlib import Path


def token_count(text: str) -> int:
    """Return the tokens of a text."""
    package = importlib.util.find_spec("litellm")
    assert package is not None
    assert package.origin is not None
    tokenizers = Path(package.origin).parent / "litellm_core_utils" / "tokenizers"
    os.environ["TIKTOKEN_CACHE_DIR"] = str(tokenizers)
    import tiktoken

    return len(tiktoken.get_encoding("cl100k_base").encode(text, disallowed_special=()))
