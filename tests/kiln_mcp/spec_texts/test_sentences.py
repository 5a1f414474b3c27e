import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiln_mcp.spec_texts.sentences import as_sentence, content_words, overlap, quotations, sentences


def test_sentences_and_list_entries_are_clauses_without_bullets() -> None:
    text = "It is short. It is polite!\n- No blame\n2) At most 3 lines\n\n***\n"
    assert sentences(text) == ("It is short.", "It is polite!", "No blame", "At most 3 lines")


def test_sentences_of_japanese_end_without_a_space() -> None:
    text = "50字以内とする。「定休日。」と書く。丁寧に!"
    assert sentences(text) == ("50字以内とする。", "「定休日。」と書く。", "丁寧に!")


def test_words_of_one_stem_are_one_content_word() -> None:
    assert content_words("It names the orders") == content_words("naming an order")
    assert content_words("you must not") == frozenset()


def test_quotations_are_texts_of_two_characters_or_more() -> None:
    assert quotations('Never say "calm down", “relax” or "x".') == ("calm down", "relax")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("  ", ""), ("be kind", "Be kind."), ("why?", "Why?"), (" Done. ", "Done.")],
)
def test_a_sentence_begins_with_a_capital_and_ends_with_a_stop(text: str, sentence: str) -> None:
    assert as_sentence(text) == sentence


@given(st.text(max_size=60), st.text(max_size=60))
def test_overlap_is_symmetric_and_full_for_equal_words(first: str, second: str) -> None:
    assert overlap(first, second) == overlap(second, first)
    assert 0 <= overlap(first, second) <= 1
    assert overlap(first, first) == (1.0 if content_words(first) else 0.0)
