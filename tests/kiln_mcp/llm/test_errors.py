"""Errors about models quote the words of servers without being changed by them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiln_mcp.llm.durations import duration
from kiln_mcp.llm.errors import (
    BadAnswer,
    ContextOverflow,
    DatabaseFailure,
    ModelError,
    RejectedRequest,
    ServerDown,
    ServerFailure,
    TooManyRequests,
    UnknownModel,
)
from kiln_mcp.llm.providers.http_errors import missing_list
from kiln_mcp.llm.providers.keys import missing_key

WORDS = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=40)


@given(WORDS)
def test_braces_in_a_servers_words_are_shown_as_they_are(word: str) -> None:
    quoted = f"no {{{word}}} or {{0!r}}"
    for error in (
        UnknownModel("m", [], quoted),
        RejectedRequest("m", quoted),
        ContextOverflow("m", quoted),
        ServerDown("m", quoted),
        ServerFailure("m", quoted),
        TooManyRequests("m", quoted),
        BadAnswer("m", quoted, 3),
        DatabaseFailure(f"It is {quoted}."),
    ):
        assert quoted in str(error)


def test_a_long_answer_of_a_server_is_shown_as_an_excerpt() -> None:
    assert len(str(ServerFailure("m", "x " * 5000))) < 400


def test_an_unknown_model_comes_with_close_and_valid_names() -> None:
    error = UnknownModel("local/tinny", ["local/tiny", "embedded"])
    assert "There is no model 'local/tinny'. Close names: local/tiny." in str(error)
    assert "Valid names: local/tiny, embedded, or a hosted model as provider/model" in str(error)


def test_a_model_that_is_listed_but_refused_is_called_listed() -> None:
    assert "lists the model 'a/b'" in str(UnknownModel("a/b", ["a/b"], "pull it first."))


def test_a_missing_setting_is_not_called_a_key() -> None:
    text = str(missing_key("azure/gpt-4o", [], [["AZURE_API_BASE", "AZURE_BASE_URL"]]))
    assert "needs settings that are missing. Set AZURE_API_BASE or AZURE_BASE_URL in" in text


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("http://host:8000", "http://host:8000/v1 may be meant"),
        ("http://host:8000/v1", "has no list of its models"),
    ],
)
def test_an_address_without_a_version_is_told_apart_from_a_server_without_a_list(
    address: str, words: str
) -> None:
    assert words in str(missing_list("local", address))


def test_a_failure_is_unanswered_only_if_it_says_so() -> None:
    assert not ModelError("It is down.").is_unanswered
    assert ServerDown("m", "it was closed.", is_unanswered=True).is_unanswered


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (599, "599 s"), (600, "10 min"), (7_200, "2 hours"), (172_800, "2 days")],
)
def test_a_duration_is_written_in_the_largest_unit_that_it_holds_twice(
    seconds: float, words: str
) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    "name",
    [
        "openai/ft:gpt-4.1-mini:me:kiln-000000000011:Ab1",
        "fireworks_ai/accounts/me/models/kiln-000000000011",
        "together_ai/me/Llama-3-8B-kiln-000000000011-5c2f",
        "vertex_ai/gemini/4568123",
    ],
)
def test_a_tuned_model_whose_deployment_is_gone_says_what_to_do(name: str) -> None:
    assert "its deployment is gone: deploy it there again" in str(UnknownModel(name, [], "gone"))
    assert "deployment" not in str(UnknownModel("openai/gpt-9", [], "no such model"))
    assert "deployment" not in str(UnknownModel(name, [])), "no server was asked"
