"""Folders opened one from the other: a link that is put there meanwhile is not followed."""

import sys
from pathlib import Path

import pytest

from storage.errors import UnsafePath
from storage.open_folders import OpenFolders

if sys.platform == "win32":
    pytest.skip("links are made as on POSIX", allow_module_level=True)


@pytest.fixture
def ground(tmp_path: Path) -> tuple[Path, Path]:
    """Return a folder with a file, and one outside of it."""
    project, outside = tmp_path / "p", tmp_path / "outside"
    for folder in (project / "a" / "b", outside):
        folder.mkdir(parents=True)
    (project / "new").write_text("new")
    return project, outside


def test_nothing_is_made_moved_or_removed_through_a_link(ground: tuple[Path, Path]) -> None:
    project, outside = ground
    (outside / "x").write_text("theirs")
    (project / "a" / "link").symlink_to(outside)
    with OpenFolders(project) as folders:
        for act in (
            lambda: folders.move("new", "a/link/x"),
            lambda: folders.move("a/link/x", "mine"),
            lambda: folders.remove("a/link/x"),
            lambda: folders.make("a/link/inner"),
            lambda: folders.flush("a/link"),
        ):
            with pytest.raises(UnsafePath, match="is a link"):
                act()
    assert [path.name for path in outside.iterdir()] == ["x"]
    assert (outside / "x").read_text() == "theirs"


def test_a_folder_that_is_open_stays_the_one_that_was_checked(ground: tuple[Path, Path]) -> None:
    project, outside = ground
    with OpenFolders(project) as folders:
        folders.make("a/b")
        (project / "a" / "b").rename(project / "a" / "elsewhere")
        (project / "a" / "b").symlink_to(outside)
        folders.move("new", "a/b/new")
    assert (project / "a" / "elsewhere" / "new").read_text() == "new"
    assert not list(outside.iterdir())


def test_a_link_at_the_target_itself_is_replaced_and_not_followed(
    ground: tuple[Path, Path],
) -> None:
    project, outside = ground
    (outside / "x").write_text("theirs")
    (project / "a" / "x").symlink_to(outside / "x")
    with OpenFolders(project) as folders:
        folders.move("new", "a/x")
    assert (project / "a" / "x").read_text() == "new"
    assert (outside / "x").read_text() == "theirs"


def test_many_folders_are_open_one_after_the_other(tmp_path: Path) -> None:
    names = [f"{number}/{number}/{number}" for number in range(300)]
    with OpenFolders(tmp_path) as folders:
        for name in names:
            folders.make(name)
        open_files = Path("/proc/self/fd")  # on Linux
        assert not open_files.exists() or len(list(open_files.iterdir())) < 200
    assert all((tmp_path / name).is_dir() for name in names)
