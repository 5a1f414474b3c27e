"""Files that lie beside their record."""

import os
from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import pytest

from storage import Attachment, Document, Extraction, FileInfo, Project, ProjectStore
from storage.errors import (
    RecordNotFound,
    StaleRevision,
    StorageError,
    UnsafePath,
)
from storage.exchange import pack_project, receive_project


@pytest.fixture
async def store(tmp_path: Path) -> AsyncGenerator[ProjectStore]:
    async with await ProjectStore.create(tmp_path / "p", Project(name="P")) as opened:
        yield opened


@pytest.fixture
def paper(tmp_path: Path) -> Path:
    file = tmp_path / "paper.PDF"
    file.write_bytes(b"%PDF")
    return file


def _document(file: Path) -> Document:
    info = FileInfo(
        filename=file.name,
        size=4,
        mime_type="application/pdf",
        attachment=Attachment.of_file(file),
    )
    return Document(name="Paper", description="d", original_file=info, kind="document")


def _beside(store: ProjectStore, document: Document) -> list[str]:
    return sorted(one.name for one in store.side_folder(document).iterdir())


async def test_a_file_is_copied_beside_its_record_and_found_there(
    store: ProjectStore, paper: Path
) -> None:
    saved = await store.save(_document(paper), parent=store.project)
    attachment = saved.original_file.attachment
    assert _beside(store, saved) == [attachment.path, "document.kiln"]
    await anyio.Path(paper).unlink()
    (read,) = await store.children(store.project, Document)
    found = store.attached_file(read, read.original_file.attachment)
    assert (found.read_bytes(), found.suffix) == (b"%PDF", ".PDF")
    again = await store.save(saved.replace(description="e"))
    assert _beside(store, again) == [attachment.path, "document.kiln"]


async def test_it_goes_to_the_trash_and_comes_back_and_travels_with_its_record(
    store: ProjectStore, paper: Path, tmp_path: Path
) -> None:
    saved = await store.save(_document(paper), parent=store.project)
    await store.save(
        Extraction(source="processed", extractor_config_id="1", output=Attachment.of_file(paper)),
        parent=saved,
    )
    trashed = await store.delete(saved)
    with pytest.raises(RecordNotFound):
        store.attached_file(saved, saved.original_file.attachment)
    await store.restore(trashed.key)
    await pack_project(store, tmp_path / "p.zip")
    folder = await receive_project(str(tmp_path / "p.zip"), tmp_path / "q")
    async with await ProjectStore.open(folder) as other:
        (document,) = await other.children(other.project, Document)
        (extraction,) = await other.children(document, Extraction)
        assert other.attached_file(document, document.original_file.attachment).exists()
        assert other.attached_file(extraction, extraction.output).exists()


async def test_a_save_that_fails_leaves_no_file(
    store: ProjectStore, paper: Path, tmp_path: Path
) -> None:
    saved = await store.save(_document(paper), parent=store.project)
    before = _beside(store, saved)
    await store.save(saved.replace(description="e"))
    other = saved.original_file.replace(attachment=Attachment.of_file(paper))
    with pytest.raises(StaleRevision):
        await store.save(saved.replace(original_file=other))
    assert _beside(store, saved) == before
    os.mkfifo(tmp_path / "pipe")
    for wrong, reason in {"gone": "no such file", "pipe": "is no file", ".": "is no file"}.items():
        with pytest.raises(StorageError, match=reason):
            await store.save(_document(tmp_path / wrong), parent=store.project)
    assert len(await store.children(store.project, Document)) == 1


@pytest.mark.parametrize("path", ["/etc/passwd", "../other", "a/../../b", "C:\\x", "..\\x", ""])
async def test_a_path_that_leaves_the_record_is_refused_and_reported_and_never_read(
    path: str, store: ProjectStore, paper: Path
) -> None:
    with pytest.raises(ValueError, match="does not lie in the record's folder"):
        Attachment(path=path)
    saved = await store.save(_document(paper), parent=store.project)
    file = store.side_folder(saved) / "document.kiln"
    written = file.read_text(encoding="utf-8")
    escaped = path.replace("\\", "\\\\")
    file.write_text(written.replace(saved.original_file.attachment.path, escaped), encoding="utf-8")
    assert await store.children(store.project, Document) == []
    (problem,) = store.problems
    assert "does not lie in the record's folder" in problem.reason


async def test_a_link_that_leads_out_is_refused(
    store: ProjectStore, paper: Path, tmp_path: Path
) -> None:
    saved = await store.save(_document(paper), parent=store.project)
    file = store.attached_file(saved, saved.original_file.attachment)
    file.unlink()
    file.symlink_to(tmp_path / "secret")
    (tmp_path / "secret").write_text("s", encoding="utf-8")
    with pytest.raises(UnsafePath):
        store.attached_file(saved, saved.original_file.attachment)
