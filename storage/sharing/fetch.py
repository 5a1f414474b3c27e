"""Bring a shared project into a new folder: all of it, or nothing."""

import shutil
from pathlib import Path
from uuid import uuid4

import anyio.to_thread

from storage.format.layout import PROJECT_FILE
from storage.git.errors import FETCH_PROJECT
from storage.git.git import Git
from storage.git.safety import check_address, check_content
from storage.sharing.branch import BRANCH, REMOTE
from storage.sharing.errors import FolderNotEmpty, NoBranch, NoProjectThere


async def fetch_project(address: str, folder: Path) -> None:
    """Bring a shared project into a folder that does not exist yet, or is empty.

    Raises:
        TokenInAddress: The address holds a password or token.
        UnusableAddress: Git would take it for an option or a program.
        GitFailed: It could not be reached.
        UnsafeContent: It holds links or names that are not safe.
        NoProjectThere: It holds no project.
        FolderNotEmpty: The folder holds something already.
    """
    check_address(address)
    await anyio.to_thread.run_sync(_fetch_project, address, folder)


def _fetch_project(address: str, folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()):
        raise FolderNotEmpty(folder)
    above = folder.absolute().parent
    above.mkdir(parents=True, exist_ok=True)
    near = above / address
    source = str(near) if "://" not in address and near.exists() else address
    for leftover in above.glob(f".{folder.name}.*.arriving"):
        shutil.rmtree(leftover, ignore_errors=True)
    fresh = above / f".{folder.name}.{uuid4().hex[:8]}.arriving"
    try:
        # From the root, where no repository's own settings are in force.
        git = Git(Path(above.anchor))
        options = ("-q", "--no-checkout", "--no-recurse-submodules", "--no-tags")
        git.reach("clone", *options, "--", source, str(fresh), action=FETCH_PROJECT)
        inside = Git(fresh)
        _choose_branch(inside)
        if inside.try_text("rev-parse", "-q", "--verify", f"HEAD:{PROJECT_FILE}") is None:
            raise NoProjectThere
        check_content(inside, "", None, "HEAD")
        inside.run("reset", "-q", "--hard", action=FETCH_PROJECT)
        if folder.exists():
            folder.rmdir()
        fresh.rename(folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _choose_branch(git: Git) -> None:
    """Be on a branch that is there: a repository may name one that nobody ever made.

    Raises:
        NoBranch: There are several, and none is called as ours is.
    """
    if git.try_text("rev-parse", "-q", "--verify", "HEAD") is not None:
        return
    where = f"refs/remotes/{REMOTE}/"
    listed = git.text("for-each-ref", "--format=%(refname)", where).split()
    names = [name.removeprefix(where) for name in listed]
    if not names:
        raise NoProjectThere
    if len(names) > 1 and BRANCH not in names:
        raise NoBranch(names)
    name = BRANCH if BRANCH in names else names[0]
    git.write("update-ref", f"refs/heads/{name}", f"{where}{name}", action=FETCH_PROJECT)
    git.run("symbolic-ref", "HEAD", f"refs/heads/{name}")
