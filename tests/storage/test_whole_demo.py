"""The whole demo project of 2025, where its archive lies beside the checkout."""

import json
import tarfile
from pathlib import Path

import pytest

from storage import ProjectStore
from storage.format.layout import kind_named
from storage.format.record_text import read_record
from storage.text.json_text import patch_json

_ARCHIVES = [
    parent / "shared" / "data" / "ffmpeg_demo_project.tar.xz" for parent in Path(__file__).parents
]
_ARCHIVE = next((archive for archive in _ARCHIVES if archive.exists()), None)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if _ARCHIVE is None:
        pytest.skip("the demo project's archive is not beside the checkout")
    folder = tmp_path_factory.mktemp("demo")
    with tarfile.open(_ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return next(folder.rglob("project.kiln")).parent


@pytest.mark.slow
def test_every_file_is_read_and_its_text_survives_a_change_and_its_undoing(demo: Path) -> None:
    files = sorted(demo.rglob("*.kiln"))
    assert len(files) == 6543
    for file in files:
        content = file.read_bytes()
        record = read_record(kind_named(file.stem), content, file.name)
        again = read_record(kind_named(file.stem), content, file.name)
        assert record.model_dump(mode="json") == again.model_dump(mode="json")
        text = content.decode("utf-8")
        old = json.loads(text)
        new = {**old, "added": 1}
        assert patch_json(patch_json(text, old, new), new, old) == text


@pytest.mark.slow
async def test_every_record_of_it_can_be_used(demo: Path, tmp_path: Path) -> None:
    async with await ProjectStore.open(demo, home=tmp_path) as store:
        assert await store.unreadable() == []
