"""Every kind of record, here and in Kiln's own library."""

import json
from pathlib import Path
from typing import Protocol

import pytest
from pydantic import JsonValue

from kiln_library import read_by_kiln
from storage import ProjectStore
from storage.format.layout import kind_named
from storage.format.record_text import read_record


class _EveryKind(Protocol):
    @property
    def folder(self) -> Path: ...
    @property
    def counts(self) -> dict[str, int]: ...


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*.kiln"))


async def test_every_kind_is_written_and_read_back_the_same(every_kind: _EveryKind) -> None:
    found: dict[str, int] = {}
    for file in _files(every_kind.folder):
        record = read_record(kind_named(file.stem), file.read_bytes(), file.name)
        found[file.stem] = found.get(file.stem, 0) + 1
        assert record.model_dump(mode="json") == json.loads(file.read_bytes())
    assert found == every_kind.counts
    assert len(found) == 29
    async with await ProjectStore.open(every_kind.folder) as store:
        assert await store.unreadable() == []


async def _kiln(folder: Path, *more: str) -> JsonValue:
    report = await read_by_kiln(folder, *more)
    assert report["errors"] == []
    return report["counts"]


@pytest.mark.kiln
async def test_kilns_own_library_opens_every_kind_that_is_written_here(
    every_kind: _EveryKind,
) -> None:
    assert await _kiln(every_kind.folder) == every_kind.counts


@pytest.mark.kiln
async def test_what_kilns_own_library_writes_opens_here(every_kind: _EveryKind) -> None:
    before = {file: file.read_bytes() for file in _files(every_kind.folder)}
    await _kiln(every_kind.folder, "rewrite")
    changed = [file for file, content in before.items() if file.read_bytes() != content]
    assert {"project", "task"} <= {file.stem for file in changed}
    async with await ProjectStore.open(every_kind.folder) as store:
        assert await store.unreadable() == []
        assert store.project.description == "from kiln"
