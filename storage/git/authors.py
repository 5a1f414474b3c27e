"""Who wrote a file last, for the sentence that says that somebody was faster."""

from pathlib import Path

from storage.git.errors import GitFailed, UnsafeSettings
from storage.git.git import Git
from storage.git.safety import check_settings


def last_author(project: Path, path: str) -> str | None:
    """Return who wrote a file of a project last; None where nothing tells.

    Where the file is as the project's history has it, that is who made the last commit of it,
    perhaps on another machine. Otherwise it is who owns the file: every save of the store makes a
    new file, so that its owner is its last writer.
    """
    committed = _last_committer(project, path) if (project / ".git").exists() else None
    if committed:
        return committed
    try:
        return (project / path).owner()
    except (KeyError, NotImplementedError, OSError):
        return None


def _last_committer(project: Path, path: str) -> str | None:
    git = Git(project)
    try:
        check_settings(git)  # looking at a file may run what the folder's settings name
    except (GitFailed, UnsafeSettings):
        return None
    if git.try_text("status", "--porcelain", "--ignore-submodules=all", "--", path) != "":
        return None
    return git.try_text("log", "-1", "--format=%an", "--", path)
