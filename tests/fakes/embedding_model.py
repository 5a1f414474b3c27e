"""A small embedding model in the format of model2vec: synonyms have nearly the same vector."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from model2vec import StaticModel
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

SYNONYMS = (
    ("where", "locate"),
    ("parcel", "package"),
    ("cancel", "stop"),
    ("order", "purchase"),
    ("invoice", "bill"),
    ("wrong", "incorrect"),
    ("my", "our"),
    ("is", "seems"),
)


def write_embedding_model(folder: Path, particles: Sequence[str] = ()) -> Path:
    """Write the model into a new folder and return it; words that it does not know mean nothing.

    Args:
        folder: The folder.
        particles: Words that all mean the same, such as the few that it knows of a language.
    """
    words = ["[UNK]", *(word for pair in SYNONYMS for word in pair), *particles]
    vectors = np.zeros((len(words), len(SYNONYMS) + 1), dtype=np.float32)
    vectors[[words.index(word) for word in particles], -1] = 1
    for number, pair in enumerate(SYNONYMS):
        for word in pair:
            vectors[words.index(word), number] = 1
    tokenizer = Tokenizer(
        WordLevel({word: place for place, word in enumerate(words)}, unk_token="[UNK]")
    )
    tokenizer.pre_tokenizer = Whitespace()
    StaticModel(vectors, tokenizer).save_pretrained(folder)
    return folder
