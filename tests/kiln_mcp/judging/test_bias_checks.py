"""Whether a judge favours long outputs or its own model family."""

import random

import pytest

from kiln_mcp.judging.bias_checks import JudgedOutput, bias_sentences, model_family


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("gpt_4o_mini", "GPT"),
        ("openrouter/openai/o3-mini", "GPT"),
        ("claude_sonnet_4", "Claude"),
        ("server/llama3.1:8b", "Llama"),
        ("ministral-8b", "Mistral"),
        ("qwen3-14b", "Qwen"),
        ("video3", ""),
        ("host", ""),
    ],
)
def test_a_family_is_read_from_a_models_name(model: str, family: str) -> None:
    assert model_family(model) == family


def outputs(count: int, *, likes_length: bool, likes_own: bool) -> list[JudgedOutput]:
    draw = random.Random(3)
    made: list[JudgedOutput] = []
    for _ in range(count):
        length, own = draw.randint(20, 4000), draw.random() < 0.5
        lenient = (likes_length and length > 1000) or (likes_own and own)
        error = 1.0 if lenient and draw.random() < 0.5 else 0.0
        made.append(JudgedOutput(length, "GPT" if own else "Llama", error))
    return made


def test_a_judge_that_favours_long_outputs_is_found_out() -> None:
    length, own = bias_sentences(outputs(120, likes_length=True, likes_own=False), "GPT")
    assert length.startswith("BIAS for length")
    assert own.startswith("no bias for its own family GPT is shown")


def test_a_judge_that_favours_its_own_family_is_found_out() -> None:
    length, own = bias_sentences(outputs(120, likes_length=False, likes_own=True), "GPT")
    assert own.startswith("BIAS for its own family GPT")
    assert length.startswith("no bias for length")


def test_few_labels_tell_of_no_bias() -> None:
    (sentence,) = bias_sentences(outputs(29, likes_length=True, likes_own=True), "GPT")
    assert sentence.startswith("cannot tell of biases: 29 labels")


def test_a_family_with_few_outputs_is_not_compared() -> None:
    entries = [JudgedOutput(n + 1, "GPT" if n < 3 else "Llama", n % 2) for n in range(40)]
    assert "cannot tell of a bias for its own family" in bias_sentences(entries, "GPT")[1]
