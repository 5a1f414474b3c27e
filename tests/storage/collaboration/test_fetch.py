"""Fetch a project into a new folder: all of it, or nothing."""

import subprocess
from pathlib import Path

import pytest

from storage import ProjectStore
from storage.collaboration.sync import fetch_project
from storage.errors import Refusal


def _git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", folder, *arguments], check=True)


def _remnants(folder: Path) -> list[Path]:
    return list(folder.glob(".copy.*"))


async def test_a_folder_that_is_not_empty_is_refused_and_left_as_it_is(
    ana: ProjectStore, hub: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "copy"
    folder.mkdir()
    (folder / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(Refusal, match="is not empty"):
        await fetch_project(str(hub), folder)
    assert [file.name for file in folder.iterdir()] == ["mine.txt"]
    assert ana.folder.exists()


async def test_an_empty_folder_and_a_relative_address_are_accepted(
    ana: ProjectStore, hub: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "copy"
    folder.mkdir()
    (tmp_path / ".copy.0a.arriving").mkdir()
    await fetch_project(hub.name, folder)
    assert (folder / "project.kiln").read_bytes() == (ana.folder / "project.kiln").read_bytes()
    assert _remnants(tmp_path) == []


@pytest.mark.parametrize("branches", [["other"], ["main", "other"]])
async def test_a_default_branch_that_does_not_exist_is_replaced_by_the_usual_or_only_one(
    ana: ProjectStore, hub: Path, tmp_path: Path, branches: list[str]
) -> None:
    _git(hub, "branch", "other", "main")
    if "main" not in branches:
        _git(hub, "update-ref", "-d", "refs/heads/main")
    _git(hub, "symbolic-ref", "HEAD", "refs/heads/missing")
    await fetch_project(str(hub), tmp_path / "copy")
    assert (tmp_path / "copy" / "project.kiln").exists()
    assert ana.folder.exists()


async def test_several_branches_without_a_default_are_refused_by_their_names(
    ana: ProjectStore, hub: Path, tmp_path: Path
) -> None:
    for branch in ("a", "b"):
        _git(hub, "branch", branch, "main")
    _git(hub, "symbolic-ref", "HEAD", "refs/heads/missing")
    _git(hub, "update-ref", "-d", "refs/heads/main")
    with pytest.raises(Refusal, match="has the branches a, b and does not say"):
        await fetch_project(str(hub), tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    assert ana.folder.exists()


async def test_an_empty_repository_and_one_without_a_project_hold_no_project(
    hub: Path, tmp_path: Path
) -> None:
    with pytest.raises(Refusal, match=r"holds no project\.kiln"):
        await fetch_project(str(hub), tmp_path / "copy")
    work = tmp_path / "work"
    _git(tmp_path, "clone", "-q", str(hub), str(work))
    person = ("-c", "user.name=x", "-c", "user.email=x@y")
    _git(work, *person, "commit", "-q", "--allow-empty", "-m", "x")
    _git(work, "push", "-q", "origin", "HEAD:main")
    with pytest.raises(Refusal, match=r"holds no project\.kiln"):
        await fetch_project(str(hub), tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
