from pathlib import Path

import pytest

from embedding_model import write_embedding_model
from kiln_mcp.datasets.duplicates import earlier_duplicates
from kiln_mcp.datasets.near_duplicates import NearDuplicates
from storage.errors import Refusal

TEXTS = (
    "where is my parcel",
    "cancel my order",
    "locate our package",
    "my invoice is wrong",
    "our bill seems incorrect",
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_embedding_model(tmp_path_factory.mktemp("embeddings"))


def test_other_words_with_the_same_meaning_are_duplicates_by_a_model_alone(model: Path) -> None:
    assert earlier_duplicates(TEXTS) == [None] * 5
    assert earlier_duplicates(TEXTS, embeddings=model) == [None, None, None, None, 3]


def test_what_exists_is_compared_by_meaning_too(model: Path) -> None:
    assert earlier_duplicates(["our bill seems incorrect"], TEXTS[:4], model) == [3]


def test_meanings_join_the_groups_that_a_split_keeps_together(model: Path) -> None:
    assert NearDuplicates(TEXTS).alike_groups.tolist() == [0, 1, 2, 3, 4]
    assert NearDuplicates(TEXTS, embeddings=model).alike_groups.tolist() == [0, 1, 2, 3, 3]


def test_numbers_tell_texts_of_one_meaning_apart(model: Path) -> None:
    texts = ["my invoice 17 is wrong", "our bill 18 seems incorrect", "our bill 17 seems incorrect"]
    assert earlier_duplicates(texts, embeddings=model) == [None, None, 0]


def test_the_end_of_a_long_text_counts(model: Path) -> None:
    texts = ["parcel " * 600 + "cancel " * 600, "parcel " * 600 + "invoice " * 600]
    near = NearDuplicates(texts, embeddings=model)
    assert near.alike_groups.tolist() == [0, 1]


def test_texts_without_known_words_are_like_no_other(model: Path) -> None:
    near = NearDuplicates(["xylophone", "zeppelin", ""], embeddings=model)
    assert near.alike_groups.tolist() == [0, 1, 2]


def test_a_language_that_the_model_does_not_know_makes_no_duplicates(tmp_path: Path) -> None:
    model = write_embedding_model(tmp_path, particles=("de", "voor"))
    texts = [*TEXTS, "de fiets staat buiten", "rekening voor de buren", "waarom de hond blaft"]
    near = NearDuplicates(texts, embeddings=model)
    assert near.alike_groups.tolist() == [0, 1, 2, 3, 3, 5, 6, 7]


def test_a_folder_that_is_no_model_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="KILN_MCP_EMBEDDINGS names no folder"):
        NearDuplicates(TEXTS, embeddings=tmp_path / "none")
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(Refusal, match="cannot be read"):
        NearDuplicates(TEXTS, embeddings=tmp_path)
