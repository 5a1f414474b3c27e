"""Fetch a shared project into a new folder: all of it, or nothing."""

import shutil
from pathlib import Path
from uuid import uuid4

import anyio.to_thread

from storage.collaboration.branch import BRANCH, REMOTE
from storage.errors import Refusal
from storage.format.layout import PROJECT_FILE
from storage.git.errors import FETCH_PROJECT
from storage.git.git import Git
from storage.git.safety import check_address, check_content


async def fetch_project(address: str, folder: Path) -> None:
    """Fetch a shared project into a folder that does not exist yet, or is empty.

    Raises:
        GitError: The repository could not be reached.
        Refusal: The address is not usable, the repository holds no project or content that is
            not safe, or the folder is not empty.
    """
    check_address(address)
    await anyio.to_thread.run_sync(_fetch_project, address, folder)


def _fetch_project(address: str, folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()):
        raise Refusal(
            "{folder} is not empty. Choose a new folder. Nothing was changed.", folder=folder
        )
    parent = folder.absolute().parent
    parent.mkdir(parents=True, exist_ok=True)
    local = parent / address
    source = str(local) if "://" not in address and local.exists() else address
    for remnant in parent.glob(f".{folder.name}.*.arriving"):
        shutil.rmtree(remnant, ignore_errors=True)
    clone = parent / f".{folder.name}.{uuid4().hex[:8]}.arriving"
    try:
        # From the root, where no repository's own settings are in force.
        git = Git(Path(parent.anchor))
        options = ("-q", "--no-checkout", "--no-recurse-submodules", "--no-tags")
        git.reach("clone", *options, "--", source, str(clone), action=FETCH_PROJECT)
        repository = Git(clone)
        _choose_branch(repository)
        if repository.try_text("rev-parse", "-q", "--verify", f"HEAD:{PROJECT_FILE}") is None:
            raise _no_project()
        check_content(repository, "", None, "HEAD")
        repository.run("reset", "-q", "--hard", action=FETCH_PROJECT)
        if folder.exists():
            folder.rmdir()
        clone.rename(folder)
    finally:
        shutil.rmtree(clone, ignore_errors=True)


def _choose_branch(git: Git) -> None:
    """Choose an existing branch: a repository may name a default branch that does not exist.

    Raises:
        Refusal: There is no branch, or there are several and none has the usual name.
    """
    if git.try_text("rev-parse", "-q", "--verify", "HEAD") is not None:
        return
    where = f"refs/remotes/{REMOTE}/"
    refs = git.text("for-each-ref", "--format=%(refname)", where).split()
    names = [name.removeprefix(where) for name in refs]
    if not names:
        raise _no_project()
    if len(names) > 1 and BRANCH not in names:
        raise Refusal(
            "The repository has the branches {names} and does not say which holds the project. "
            "Ask its owner to set the default branch.",
            names=names,
        )
    name = BRANCH if BRANCH in names else names[0]
    git.write("update-ref", f"refs/heads/{name}", f"{where}{name}", action=FETCH_PROJECT)
    git.run("symbolic-ref", "HEAD", f"refs/heads/{name}")


def _no_project() -> Refusal:
    return Refusal(
        "The repository at this address holds no project.kiln at its top. Check the address, or "
        "share a project there first."
    )
