"""Which variables a client may lend, and what a lending changes."""

import json
from pathlib import Path

import pytest

from kiln_mcp.doors.border.lent_variables import LendingError, LentVariables
from kiln_mcp.doors.border.provider_variables import lendable
from kiln_mcp.doors.border.provider_variables import variables_of_servers as named_in
from kiln_mcp.llm.prices import providers
from kiln_mcp.llm.providers.litellm_names import needs_of


def test_what_providers_need_is_lent_and_nothing_else() -> None:
    lent = dict.fromkeys(
        [
            *("OPENAI_API_KEY", "OLLAMA_API_BASE", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "WX_URL"),
            *("AWS_REGION_NAME", "GOOGLE_APPLICATION_CREDENTIALS", "VERTEXAI_PROJECT"),
            "HUB_LOGIN",
        ],
        "1",
    )
    own = dict.fromkeys(
        [
            *("HOME", "PATH", "LD_PRELOAD", "PYTHONPATH", "HTTPS_PROXY", "AWS_CONFIG_FILE"),
            *("KILN_MCP_MODEL", "GITHUB_TOKEN", "SSH_AUTH_SOCK", "MY_OWN_API_KEY"),
        ],
        "1",
    )
    assert lendable(own | lent, ["HUB_LOGIN"]) == lent


def test_all_that_a_known_provider_needs_may_be_lent() -> None:
    for provider in providers():
        needs = needs_of(f"{provider}/model")
        names = {*needs.key, *(name for group in needs.settings for name in group)}
        assert lendable(dict.fromkeys(names, "1"), []).keys() == names


@pytest.mark.parametrize(
    "name", ["PATH", "LD_PRELOAD", "PYTHONPATH", "https_proxy", "GIT_SSH_COMMAND", "DYLD_X", "a b"]
)
def test_no_list_of_servers_can_name_what_starts_programs(tmp_path: Path, name: str) -> None:
    file = tmp_path / "servers.json"
    file.write_text(json.dumps([{"key_variable": name}, {"key_variable": "HUB_KEY"}]), "utf-8")
    assert named_in(file) == {"HUB_KEY"}


@pytest.mark.parametrize("damaged", ["[", "[1]", "7", "[" * 100_000])
def test_a_damaged_list_of_servers_names_none(tmp_path: Path, damaged: str) -> None:
    file = tmp_path / "servers.json"
    file.write_text(damaged, encoding="utf-8")
    assert named_in(file) == frozenset()


def test_a_key_of_one_client_is_never_used_at_the_address_of_another() -> None:
    environment = {"HOME": "/", "OPENAI_API_KEY": "first", "OPENAI_BASE_URL": "http://first"}
    lent = LentVariables(environment)
    lent.take({"OPENAI_API_KEY": "second"})
    assert environment == {"HOME": "/", "OPENAI_API_KEY": "second"}
    lent.take({"OPENAI_BASE_URL": "http://third"})
    assert environment == {"HOME": "/", "OPENAI_API_KEY": "second"}
    lent.take({"OPENAI_API_KEY": "fourth", "OPENAI_BASE_URL": "http://fourth"})
    assert environment["OPENAI_BASE_URL"] == "http://fourth"


def test_who_has_a_region_alone_takes_nobodys_credentials_away() -> None:
    environment = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    LentVariables(environment).take({"AWS_REGION": "eu-west-1", "OLLAMA_API_BASE": "http://x"})
    assert environment == {
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "OLLAMA_API_BASE": "http://x",
    }


def test_of_a_lending_that_is_refused_nothing_is_taken() -> None:
    environment: dict[str, str] = {}
    with pytest.raises(LendingError, match="may not be lent: PATH"):
        LentVariables(environment).take({"OPENAI_API_KEY": "k", "PATH": "/tmp"})
    with pytest.raises(ValueError, match="NUL"):
        LentVariables(environment).take({"OPENAI_API_KEY": "k", "XAI_API_KEY": "a\0"})
    assert environment == {}


@pytest.mark.parametrize("value", ["http://x\r\nHost: y", "http://x\ny", "{\r\nHost: y"])
def test_an_address_in_two_lines_is_not_taken(value: str) -> None:
    environment: dict[str, str] = {}
    with pytest.raises(ValueError, match="The value of OPENAI_BASE_URL holds a line break"):
        LentVariables(environment).take({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": value})
    assert environment == {}


def test_credentials_that_are_a_document_may_have_lines() -> None:
    lent = {"VERTEXAI_CREDENTIALS": '{\n"type": "service_account"\n}', "OPENAI_API_KEY": "k\n"}
    environment: dict[str, str] = {}
    LentVariables(environment).take(lent)
    assert environment == lent
