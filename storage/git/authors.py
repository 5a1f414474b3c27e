"""The last author of a file, for errors about a change that came first."""

from pathlib import Path

from storage.git.errors import GitError, UnsafeSettings
from storage.git.git import Git
from storage.git.safety import check_settings


def last_author(project: Path, path: str) -> str | None:
    """Return who wrote a file of a project last; None if unknown.

    If the file is as in the project's history, that is the author of its last commit, perhaps on
    another machine. Otherwise it is the file's owner: every save of the store creates a new
    file, so its owner is its last writer.
    """
    committer = _last_committer(project, path) if (project / ".git").exists() else None
    if committer:
        return committer
    try:
        return (project / path).owner()
    except (KeyError, NotImplementedError, OSError):
        return None


def _last_committer(project: Path, path: str) -> str | None:
    git = Git(project)
    try:
        check_settings(git)  # reading a file's status may run what the folder's settings name
    except (GitError, UnsafeSettings):
        return None
    if git.try_text("status", "--porcelain", "--ignore-submodules=all", "--", path) != "":
        return None
    return git.try_text("log", "-1", "--format=%an", "--", path)
