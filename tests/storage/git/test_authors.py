"""The last author of a file."""

import subprocess
from pathlib import Path

import pytest

from storage.git.authors import last_author


def _git(folder: Path, *arguments: str) -> None:
    subprocess.run(
        ["git", "-c", "user.name=Ana", "-c", "user.email=a@h", "-C", folder, *arguments], check=True
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    _git(tmp_path, "init", "-q")
    (tmp_path / "a.txt").write_text("one", encoding="utf-8")
    _git(tmp_path, "add", "a.txt")
    _git(tmp_path, "commit", "-q", "-m", "First")
    return tmp_path


def test_the_author_of_a_committed_file_is_its_last_committer(project: Path) -> None:
    assert last_author(project, "a.txt") == "Ana"


def test_the_author_of_an_edited_file_is_its_owner(project: Path) -> None:
    (project / "a.txt").write_text("two", encoding="utf-8")
    assert last_author(project, "a.txt") == (project / "a.txt").owner()


def test_a_folder_with_unsafe_settings_is_not_asked(project: Path) -> None:
    _git(project, "config", "core.fsmonitor", "true")
    assert last_author(project, "a.txt") == (project / "a.txt").owner()


def test_the_author_of_a_missing_file_is_unknown(tmp_path: Path) -> None:
    assert last_author(tmp_path, "missing.txt") is None
