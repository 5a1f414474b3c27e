import sqlite3
from pathlib import Path

import anyio
import pytest
from pydantic import JsonValue

from kiln_mcp.llm import (
    Engine,
    EngineSettings,
    Message,
    ModelAnswer,
    ModelRequest,
    Usage,
)
from kiln_mcp.llm.errors import DatabaseFailure
from kiln_mcp.llm.messages import Tool
from kiln_mcp.llm.response_cache.cache import request_key
from kiln_mcp.llm.response_cache.writer import Batch, CacheChange, CacheWriter
from scripted_model import ScriptedModel
from storage.isolation.fixed_schema import FixedSchema

KEY = "sk-secret"


def request(text: str = "Hi", **changes: object) -> ModelRequest:
    return ModelRequest("m", (Message("user", text),), **changes)  # pyright: ignore[reportArgumentType]


async def test_a_response_cache_that_cannot_be_created_is_reported_with_the_next_step(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").touch()
    settings = EngineSettings(response_cache=tmp_path / "file" / "responses.sqlite", environment={})
    async with Engine(settings, {"m": ScriptedModel(["never asked"])}) as engine:
        with pytest.raises(DatabaseFailure, match="KILN_MCP_HOME"):
            await engine.complete(request(), asker="test")


async def test_a_damaged_response_cache_stops_only_calls_of_models(tmp_path: Path) -> None:
    path = tmp_path / "responses.sqlite"
    path.write_bytes(b"no database at all, but long enough to be read as one" * 100)
    model = ScriptedModel(["answered"])
    async with Engine(EngineSettings(response_cache=path, environment={}), {"m": model}) as engine:
        with pytest.raises(
            DatabaseFailure, match=r"responses\.sqlite is damaged, or no database\. Move it away"
        ):
            await engine.complete(request(), asker="test")
        assert not model.requests
        path.unlink()
        assert (await engine.complete(request(), asker="test")).text == "answered"


async def test_a_full_disk_is_reported_and_nothing_is_half_written(tmp_path: Path) -> None:
    path = tmp_path / "responses.sqlite"
    settings = EngineSettings(response_cache=path, environment={})
    async with Engine(settings, {"m": ScriptedModel(["small"])}) as engine:
        await engine.complete(request(), asker="test")
    with sqlite3.connect(path) as connection:
        # SQLite's own stand-in for a full disk: triggers that fail as it would.
        connection.execute(
            "CREATE TRIGGER full BEFORE INSERT ON calls BEGIN "
            "SELECT RAISE(FAIL, 'database or disk is full'); END"
        )
    connection.close()
    async with Engine(settings, {"m": ScriptedModel(["more"])}) as engine:
        with pytest.raises(DatabaseFailure, match="disk is full"):
            await engine.complete(request("other"), asker="test")
        assert (await engine.complete(request(), asker="test")).text == "small"
        assert [entry.usage.calls for entry in await engine.spending()] == [1]


async def test_after_a_row_that_cannot_be_written_the_next_is(tmp_path: Path) -> None:
    odd = [ModelAnswer("odd", usage=Usage(tokens)) for tokens in (10**30, -1)]
    path = tmp_path / "responses.sqlite"
    model = ScriptedModel([*odd, "fine"])
    with anyio.fail_after(60):
        async with Engine(
            EngineSettings(response_cache=path, environment={}), {"m": model}
        ) as engine:
            for _ in odd:
                with pytest.raises(DatabaseFailure):
                    await engine.complete(request(), asker="test")
            assert (await engine.complete(request(), asker="test")).text == "fine"
            assert [entry.usage.calls for entry in await engine.spending()] == [1]


async def test_a_lone_surrogate_of_an_older_response_cache_is_replaced(tmp_path: Path) -> None:
    old = ModelAnswer("a\ud800", reasoning="\udc00b")
    settings = EngineSettings(response_cache=tmp_path / "responses.sqlite", environment={})
    async with Engine(settings, {"m": ScriptedModel([old])}) as engine:
        await engine.complete(request(), asker="test")
        answer = await engine.complete(request(), asker="test")
    assert answer.is_cached
    assert (answer.text, answer.reasoning) == ("a\ufffd", "\ufffdb")


async def test_the_writer_survives_any_failure() -> None:
    failures: list[Exception] = [MemoryError("too large"), DatabaseFailure("no disk")]

    def write(_: Batch) -> None:
        if failures:
            raise failures.pop()

    writer = CacheWriter(write)
    with anyio.fail_after(60):
        with pytest.raises(DatabaseFailure, match="no disk"):
            await writer.add(CacheChange.WRITE, {})
        with pytest.raises(MemoryError, match="too large"):
            await writer.add(CacheChange.WRITE, {})
        await writer.add(CacheChange.WRITE, {})
        await writer.close()


async def test_no_key_ever_enters_the_response_cache(tmp_path: Path) -> None:
    path = tmp_path / "responses.sqlite"
    settings = EngineSettings(response_cache=path, environment={"OPENAI_API_KEY": KEY})
    async with Engine(settings, {"m": ScriptedModel(["hello"])}) as engine:
        await engine.complete(request(), asker="test")
    assert all(KEY.encode() not in file.read_bytes() for file in list_files(tmp_path))


def list_files(folder: Path) -> list[Path]:
    return [file for file in folder.iterdir() if file.is_file()]


@pytest.mark.parametrize(
    "other",
    [
        request("Ho"),
        request(temperature=0.5),
        request(max_tokens=5),
        request(seed=1),
        request(stop=("x",)),
        request(top_logprobs=1),
        request(choices=("a",)),
        request(schema={"type": "object"}),
        request(tools=(Tool("t", "d", {}),)),
        request(sample=1),
    ],
)
def test_whatever_changes_the_answer_makes_another_request(other: ModelRequest) -> None:
    assert request_key(other, "m") != request_key(request(), "m")
    assert request_key(request(), "m") == request_key(request(), "m")
    assert request_key(request(), "another server") != request_key(request(), "m")


SCHEMA: dict[str, JsonValue] = {
    "type": "object",
    "properties": {"b": {"enum": ["ü", "a"]}, "a": {"type": "number"}},
}


@pytest.mark.parametrize(
    ("schema", "key"),
    [
        (None, "e8da18f8577f1efa41f613d7f1763557"),
        ({}, "c82f6220b21a7e1d19f6e163b199d449"),
        (SCHEMA, "62c20729b24d3c727bddd4b08639a77b"),
        (FixedSchema(SCHEMA), "62c20729b24d3c727bddd4b08639a77b"),
    ],
)
def test_answers_of_earlier_versions_are_found_with_the_same_key(
    schema: dict[str, JsonValue] | None, key: str
) -> None:
    messages = (Message("system", 'é, "x"'), Message("user", "y"))
    asked = ModelRequest("m", messages, schema=schema, max_tokens=9)
    assert request_key(asked, "id")[0].hex() == key
