"""Files are written whole or not at all, and what the disk refuses is a sentence of ours."""

import resource
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from storage.atomic_write import write_all_aside
from storage.errors import WriteError


@contextmanager
def largest_file(size: int) -> Generator[None]:
    """Let the system refuse larger files, as a full disk does: when the buffer is flushed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_the_disk_refuses_names_its_file_and_leaves_nothing_aside(tmp_path: Path) -> None:
    files = [(tmp_path / "small.kiln", b"1"), (tmp_path / "large.kiln", b"1" * 100)]
    with largest_file(10), pytest.raises(WriteError, match=r"large\.kiln could not be written"):
        write_all_aside(files, tmp_path)
    assert list(tmp_path.iterdir()) == []
