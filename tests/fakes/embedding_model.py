"""A small embedding model in the format of model2vec: synonyms have nearly the same vector."""

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


def write_embedding_model(folder: Path) -> Path:
    """Write the model into a new folder and return it; other words mean nothing."""
    words = ["[UNK]", *(word for pair in SYNONYMS for word in pair)]
    vectors = np.zeros((len(words), len(SYNONYMS)), dtype=np.float32)
    for number, pair in enumerate(SYNONYMS):
        for word in pair:
            vectors[words.index(word), number] = 1
    tokenizer = Tokenizer(
        WordLevel({word: place for place, word in enumerate(words)}, unk_token="[UNK]")
    )
    tokenizer.pre_tokenizer = Whitespace()
    StaticModel(vectors, tokenizer).save_pretrained(folder)
    return folder
