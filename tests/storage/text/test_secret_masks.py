"""Secrets are masked wherever they stand, and nothing else is."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.text.secret_masks import (
    MASK,
    forms_of,
    mask_arguments,
    mask_environment,
    mask_keys,
    mask_logins,
    mask_secrets,
)

SECRETS = st.text(min_size=1, max_size=20).filter(lambda text: MASK not in text)


@given(st.text(max_size=20), SECRETS.filter(lambda text: len(text) >= 6), st.text(max_size=20))
def test_no_secret_of_six_characters_is_left(head: str, secret: str, tail: str) -> None:
    assert secret not in mask_secrets(f"{head}{secret}{tail}", [secret])


@given(SECRETS)
def test_a_secret_within_json_is_masked(secret: str) -> None:
    written = json.dumps({"key": f"{secret} {'x' * 6}"})
    masked = mask_secrets(written, forms_of(f"{secret} {'x' * 6}"))
    assert json.loads(masked) == {"key": MASK}


def test_a_short_secret_is_masked_as_a_word_only() -> None:
    assert mask_secrets("abc is not abcde", ["abc"]) == f"{MASK} is not abcde"


def test_a_secret_that_holds_another_is_masked_whole() -> None:
    assert mask_secrets("secret-secret-2", ["secret", "secret-secret-2"]) == MASK


@pytest.mark.parametrize(
    ("name", "is_secret"),
    [
        ("OPENAI_API_KEY", True),
        ("AWS_ACCESS_KEY_ID", True),
        ("AZURE_AD_TOKEN", True),
        ("GOOGLE_CREDENTIALS", True),
        ("db_password", True),
        ("KEYBOARD", False),
        ("TOKENIZERS_PARALLELISM", False),
        ("HOME", False),
    ],
)
def test_a_variable_is_secret_by_its_name(name: str, is_secret: bool) -> None:
    text = "the value is in-the-variable."
    masked = mask_environment(text, {name: "in-the-variable"})
    assert (masked != text) == is_secret
    named = mask_environment(text, {name: "in-the-variable"}, with_names=True)
    assert (f"[{name}]" in named) == is_secret


@pytest.mark.parametrize(
    "key",
    [
        "sk-ant-api03-AbCdEfGhIjKlMnOp",
        "sk-very*****cret",
        "AIzaSyA-0123456789abcdef",
        "ghp_0123456789abcdef0123",
        "hf_0123456789abcdefghij",
    ],
)
def test_a_key_is_known_by_its_form(key: str) -> None:
    assert mask_keys(f"key {key}, refused") == f"key {MASK}, refused"


@pytest.mark.parametrize("text", ["keyboard-shortcuts", "sk-learn", "a key_value table"])
def test_a_word_that_begins_like_a_key_is_none(text: str) -> None:
    assert mask_keys(text) == text


def test_a_bearer_token_is_masked() -> None:
    assert mask_keys("Bearer abcdefghij.klmnopqrst") == f"Bearer {MASK}"


def test_the_login_of_each_address_is_masked() -> None:
    text = "from https://me:pw@host/v1 to ssh://git@other/x, by a@b.c"
    assert mask_logins(text) == f"from https://{MASK}@host/v1 to ssh://{MASK}@other/x, by a@b.c"


def test_a_secret_argument_is_masked() -> None:
    assert mask_arguments("?token=abc&page=2") == f"?token={MASK}&page=2"
