"""The list of servers: its own limits for each, and a mistake that stops only who needs it."""

import json
import re
from base64 import b64encode
from pathlib import Path
from traceback import format_exception
from typing import Any

import anyio
import pytest

from kiln_mcp.llm import Engine, EngineSettings, Message, ModelRequest
from kiln_mcp.llm.errors import KeyProblem, ModelError, ServerDown
from kiln_mcp.llm.errors import UnknownModel as Unknown
from kiln_mcp.llm.model_probe import try_model
from kiln_mcp.llm.providers.server_file import read_servers
from kiln_mcp.llm.providers.server_settings import ServerSettings
from scripted_model import ScriptedModel

Loopback = Any  # the fixture's class lives in conftest


def model_request(model: str) -> ModelRequest:
    return ModelRequest(model, (Message("user", "Hello?"),))


def test_no_file_means_no_servers(tmp_path: Path) -> None:
    assert read_servers(tmp_path / "servers.json") == ()


def test_a_listed_server_has_its_own_limits(tmp_path: Path) -> None:
    file = tmp_path / "servers.json"
    file.write_text('[{"name": "a", "base_url": "http://x/v1", "concurrency": 3}]', "utf-8")
    assert read_servers(file) == (ServerSettings("a", "http://x/v1", concurrency=3),)


FIRST = '[\n  {"name": "a", "base_url": "http://x/v1"},\n  {\n    "name": "b",\n    '


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[\n{", "line 2: it is not JSON"),
        ("{}", "line 1: it is an object, and not a list"),
        ("null", "line 1: it is null, and not a list"),
        ("[7]", "line 1: an entry is an object with 'name'"),
        ('[{"name": "a"}]', "line 1: the entry has no 'base_url'"),
        ('[{"name": "a/b", "base_url": "http://x"}]', "line 1: 'a/b' cannot be a server's name"),
        (FIRST + '"base_url": "x"}]', "line 5: 'x' is no address"),
        (FIRST + '"base_url": "http://x", "concurency": 3}]', "line 5: there is no field 'concure"),
        (
            FIRST + '"base_url": "http://x",\n "concurrency": "many"}]',
            "line 6: 'concurrency': Input",
        ),
        (FIRST + '"base_url": "http://x",\n "concurrency": 0}]', "line 6: 'concurrency' is 0"),
        (
            FIRST + '"base_url": "http://x",\n "input_usd_per_million": -10}]',
            "line 6: 'input_usd_per_million' is -10.0; a price is 0 or more",
        ),
        (
            FIRST + '"base_url": "http://x",\n "output_usd_per_million": NaN}]',
            "line 6: 'output_usd_per_million' is nan; a price is 0 or more",
        ),
        (FIRST + '"base_url": "http://x",\n "api_key": "sk-1"}]', "line 6: a key is never written"),
        (FIRST.replace('"b"', '"a"') + '"base_url": "http://x"}]', "line 4: two servers have"),
    ],
)
def test_a_bad_list_is_refused_with_line_reason_and_example(
    tmp_path: Path, text: str, said: str
) -> None:
    file = tmp_path / "servers.json"
    file.write_text(text, "utf-8")
    with pytest.raises(ModelError, match="base_url") as caught:
        read_servers(file)
    assert f"{file} cannot be used: {said}" in str(caught.value)


async def test_a_bad_list_stops_only_calls_that_may_need_it_until_it_is_corrected(
    loopback: Loopback, tmp_path: Path
) -> None:
    file = tmp_path / "servers.json"
    file.write_text("[{", "utf-8")
    settings = EngineSettings(server_file=file, environment={})
    async with Engine(settings, {"m": ScriptedModel(["hi"])}) as engine:
        assert (await engine.complete(model_request("m"), asker="test")).text == "hi"
        engine.check_name("embedded")
        for model in ("local/tiny", "openai/gpt-4.1"):
            with pytest.raises(ModelError, match="line 1"):
                await engine.check_ready({model: 1})
            with pytest.raises(ModelError, match="list of model servers"):
                await engine.complete(model_request(model), asker="test")
        [described] = [one for one in await engine.models() if "<server>" in one.name]
        assert (described.ready, "line 1" in described.note) == (False, True)

        file.write_text(json.dumps([{"name": "local", "base_url": loopback.address}]), "utf-8")
        assert (await engine.complete(model_request("local/tiny"), asker="test")).text == "hello"
        assert {"local/tiny"} <= {one.name for one in await engine.models()}

        file.write_text(json.dumps([{"name": "other", "base_url": loopback.address}]), "utf-8")
        assert (await engine.complete(model_request("other/tiny"), asker="test")).text == "hello"
        with pytest.raises(Unknown, match="other/<model>"):
            engine.check_name("local/tiny")


async def test_a_server_that_cannot_answer_is_refused_before_the_first_call(
    loopback: Loopback,
) -> None:
    servers = (
        ServerSettings("local", loopback.address),
        ServerSettings("down", "http://127.0.0.1:9/v1"),
        ServerSettings("locked", loopback.address, key_variable="LOCKED_KEY"),
    )
    async with Engine(EngineSettings(servers=servers, environment={})) as engine:
        await engine.check_ready({"local/tiny": 1, "embedded": 1, "gone/model": 0})
        with pytest.raises(Unknown, match="Close names: local/tiny"):
            await engine.check_ready({"local/tinny": 1})
        with pytest.raises(ServerDown, match="nothing listens"):
            await engine.check_ready({"down/tiny": 1})
        with pytest.raises(KeyProblem, match="keyring set kiln-mcp LOCKED_KEY"):
            await engine.check_ready({"locked/tiny": 1})
        ready = {one.name: (one.ready, one.note) for one in await engine.models()}
    assert ready["local/tiny"][0]
    assert not ready["down/<model>"][0]
    assert "nothing listens" in ready["down/<model>"][1]
    assert "LOCKED_KEY" in ready["locked/<model>"][1]
    assert loopback.bodies == []


async def test_models_of_a_server_with_the_same_abilities_are_listed_together(
    loopback: Loopback,
) -> None:
    loopback.names = [f"m{number}" for number in range(14)]
    servers = (ServerSettings("a", loopback.address), ServerSettings("b", loopback.address))
    async with Engine(EngineSettings(servers=servers, environment={})) as engine:
        await try_model(engine, "a/m3", "test")
        first, tried, second, *others = [
            one for one in await engine.models(["b/m13"]) if one.name[:2] in {"a/", "b/"}
        ]
    assert (first.name, first.siblings[:3], first.unlisted_count) == (
        "a/m0",
        ("a/m1", "a/m2", "a/m4"),
        3,
    )
    assert (tried.name, tried.siblings, tried.note) == ("a/m3", (), "")
    assert (second.name, len(second.siblings), second.unlisted_count) == ("b/m0", 9, 4)
    assert first.note == second.note == f"At {loopback.address}."
    assert [one.name for one in others] == ["b/m13"]


@pytest.mark.parametrize(
    ("environment", "model", "ready", "note"),
    [
        ({}, "azure/gpt-4o", False, "Set AZURE_API_KEY and AZURE_API_BASE or AZURE_BASE_URL in"),
        ({"AZURE_API_KEY": "k"}, "azure/gpt-4o", False, "settings that are missing. Set AZURE_API"),
        ({}, "bedrock/x", False, "Set AWS_ACCESS_KEY_ID or AWS_PROFILE or"),
        ({}, "vertex_ai/gemini-2.5-pro", False, "Set VERTEXAI_PROJECT and VERTEXAI_LOCATION in"),
        ({}, "huggingface/x/y", False, "HUGGINGFACE_API_KEY"),
        ({}, "ollama/llama3", None, "Whether the key is set is not known"),
        ({"CEREBRAS_API_KEY": "k"}, "cerebras/x", True, "CEREBRAS_API_KEY is set"),
        ({"GOOGLE_API_KEY": "k"}, "gemini/gemini-2.5-flash", True, "GOOGLE_API_KEY is set"),
    ],
)
async def test_a_hosted_model_is_described_with_the_state_of_its_key(
    environment: dict[str, str], model: str, ready: bool | None, note: str
) -> None:
    async with Engine(EngineSettings(environment=environment)) as engine:
        *_, described = await engine.models([model])
    assert (described.name, described.ready) == (model, ready)
    assert note in described.note


@pytest.mark.parametrize(
    ("name", "hint"),
    [("banana", "'banana'. Valid"), ("gpt4.1", "Close names: azure/gpt-4.1, openai/gpt-4.1.")],
)
async def test_only_names_that_are_like_it_are_called_close(name: str, hint: str) -> None:
    async with Engine(EngineSettings(environment={})) as engine:
        with pytest.raises(Unknown) as refused:
            engine.check_name(name)
    assert hint in str(refused.value)


async def test_a_refused_key_is_named_by_its_variable_and_not_shown(loopback: Loopback) -> None:
    loopback.fail(401, "Incorrect API key provided: sk-very*****cret.")
    server = ServerSettings("local", loopback.address, key_variable="LOCAL_KEY")
    settings = EngineSettings(servers=(server,), environment={"LOCAL_KEY": "sk-very-secret"})
    async with Engine(settings) as engine:
        with pytest.raises(
            KeyProblem, match="local/tiny does not accept the key in LOCAL_KEY"
        ) as e:
            await engine.complete(model_request("local/tiny"), asker="test")
    assert "sk-very" not in str(e.value)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"key_variable": "sk-abc-123"}, "not the name of an environment variable"),
        ({"key_variable": "gsk_9f8e7d6c5b4a39281706"}, "not the name of an environment variable"),
        ({"base_url": "ftp://me:sk-abc-123@host"}, "'ftp://…@host' is no address"),
        ({"base_url": "me:sk-abc-123@host"}, "'…@host' is no address"),
        ({"base_url": "http://me:sk-abc/123@host/v1"}, "'http://…@host/v1' is no address"),
        (
            {"base_url": "http://me:sk-abc-123@host/v1", "key_variable": "KEY"},
            "no place beside the password",
        ),
    ],
)
def test_a_secret_in_the_wrong_field_is_refused_and_not_shown(
    tmp_path: Path, fields: dict[str, str], said: str
) -> None:
    file = tmp_path / "servers.json"
    file.write_text(json.dumps([{"name": "a", "base_url": "http://x/v1"} | fields]), "utf-8")
    with pytest.raises(ModelError, match=said) as caught:
        read_servers(file)
    assert not re.search("abc|9f8e|123@", str(caught.value))


async def test_a_password_in_an_address_is_used_and_never_shown(
    loopback: Loopback, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    there, nowhere = (
        address.replace("http://", "http://me:hunter2%40pw@")
        for address in (loopback.address, "http://127.0.0.1:9/v1")
    )
    servers = (ServerSettings("local", there), ServerSettings("down", nowhere))
    cache = tmp_path / "responses.sqlite"
    async with Engine(EngineSettings(cache, servers=servers, environment={})) as engine:
        loopback.fail(400, f"http://me:hunter2%40pw@{loopback.address} wants no logprobs")
        said: list[str] = []
        for model in ("local/tiny", "down/tiny"):
            with pytest.raises(ModelError) as refused:
                await engine.complete(model_request(model), asker="test")
            said += ["".join(format_exception(refused.value))]
        await engine.complete(model_request("local/tiny"), asker="test")
        said += [f"{one.name}: {one.note}" for one in await engine.models()]
        said += [repr(engine.settings), caplog.text]
    expected = f"Basic {b64encode(b'me:hunter2@pw').decode()}"
    assert {headers["Authorization"] for headers in loopback.headers} == {expected}
    assert f"local/tiny: At {loopback.address.replace('http://', 'http://…@')}." in said
    assert "nothing listens at http://…@127.0.0.1:9/v1" in said[1]
    assert "hunter2" not in "".join(said)
    files = [anyio.Path(cache), anyio.Path(f"{cache}-wal")]
    assert not any([b"hunter2" in await file.read_bytes() for file in files if await file.exists()])
