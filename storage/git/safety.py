"""What may come from elsewhere: settings of a folder's git, and the files that others share.

A folder that somebody handed over may bring a `.git` whose settings run programs (fsmonitor,
sshCommand, filters, uploadpack); files that others share may be links, or have names that mean
something else on another system.
"""

import re
import unicodedata
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from storage.border import is_git_name, is_trash_name
from storage.format.layout import PROJECT_FILE, children_of, place_named
from storage.git.errors import (
    TokenInAddress,
    UnsafeContent,
    UnsafeSettings,
    UnusableAddress,
    without_secrets,
)
from storage.git.git import EMPTY_TREE, Git
from storage.records import Project

_HARMLESS = re.compile(
    r"(branch|user|author|committer|pull|push|index|color|advice|status|log|i18n|feature|"
    r"rerere|tag|rebase|maintenance|extensions)\..+"
    r"|init\.defaultbranch|commit\.(gpgsign|cleanup|status|verbose)"
    r"|core\.(repositoryformatversion|filemode|bare|logallrefupdates|ignorecase|symlinks|"
    r"precomposeunicode|autocrlf|eol|safecrlf|quotepath|longpaths|protecthfs|protectntfs|"
    r"compression|bigfilethreshold|untrackedcache|splitindex|commitgraph|fscache)"
    r"|remote\..+\.(url|fetch|push|tagopt|prune|promisor|partialclonefilter)"
    r"|gc\.(auto|autopacklimit|autodetach|pruneexpire|reflogexpire)"
    r"|http\.(postbuffer|lowspeedlimit|lowspeedtime|version)"
    r"|credential\.(username|usehttppath)|lfs\.repositoryformatversion",
    re.IGNORECASE,
)
_TOP_FOLDERS = frozenset(place.folder for place in children_of(Project))
_LONGEST_ADDRESS = 2000
_LINK, _MODULE = "120000", "160000"
NO_FILES = frozenset({_LINK, _MODULE})
"""Git's modes of what is no file: links, and repositories within."""


def check_settings(git: Git) -> None:
    """Refuse a repository whose own settings could run programs.

    Raises:
        UnsafeSettings: They could.
    """
    for file in git.inner_paths("config", "config.worktree").values():
        if not file.is_file():
            continue
        keys = git.lines("config", "--file", str(file), "--no-includes", "--name-only", "-l", "-z")
        unknown = sorted({key for key in keys if not _HARMLESS.fullmatch(key)})
        if unknown:
            raise UnsafeSettings(file, unknown)


def left_at_home(paths: Sequence[str]) -> list[str]:
    """Return the files of a project's folder that are no part of it, and are not sent.

    A part are records, what lies in the folder of one below the project, questions, and at the
    top what tells people and git about the project. Hidden files never are, but git's own.

    Args:
        paths: All files, within the project.
    """
    files = [PurePosixPath(path) for path in paths]
    folders = {str(file.parent) for file in files if _is_record(file)} - {"."}
    return [str(file) for file in files if not _is_part(file, folders)]


def _is_record(path: PurePosixPath) -> bool:
    """Whether a file is a record's, where records lie; kinds that are not known here are."""
    place = place_named(path.name)
    if path.suffix != ".kiln" or len(path.parts) == 1:
        return path.name == PROJECT_FILE
    return path.parts[0] in _TOP_FOLDERS and (
        place is None or path.parent.parent.name == place.folder
    )


def _is_part(path: PurePosixPath, folders: AbstractSet[str]) -> bool:
    if _is_record(path) or path.name in {".gitignore", ".gitattributes"}:
        return True
    if any(part.startswith(".") for part in path.parts):
        return False
    if len(path.parts) == 1:
        return path.name.upper().startswith(("README", "LICENSE", "LICENCE"))
    return path.parts[0] == "questions" or any(str(above) in folders for above in path.parents)


def check_address(address: str) -> None:
    """Refuse an endless address, one that git takes for an option or program, or a password in it.

    Raises:
        UnusableAddress: It is too long, or git would.
        TokenInAddress: It holds a password or token.
    """
    is_option = address.startswith("-") or re.match(r"[a-z0-9+.-]+::", address, re.IGNORECASE)
    if is_option or len(address) > _LONGEST_ADDRESS:
        raise UnusableAddress(address)
    if _has_secret(address):
        raise TokenInAddress


def _has_secret(address: str) -> bool:
    try:
        return bool(urlsplit(address).password) or (
            without_secrets(address) != address and urlsplit(address).scheme in ("http", "https")
        )
    except ValueError:
        return False


def check_content(git: Git, prefix: str, before: str | None, after: str) -> None:
    """Refuse what others share where it could leave the project's folder.

    Args:
        git: Git in the repository's topmost folder.
        prefix: The project's folder within the repository, "" or ending in "/".
        before: The commit up to which all is known; None for the beginning.
        after: The commit to be brought in.

    Raises:
        UnsafeContent: A link, a repository within, or a name that is not safe everywhere.
    """
    added: list[str] = []
    for change in git.changes(before or EMPTY_TREE, after):
        if change.after is None or not change.path.startswith(prefix):
            continue
        reason = fault_of(change.path, change.mode)
        if reason:
            raise UnsafeContent(change.path, reason)
        if change.before is None:
            added.append(change.path)
    if added:
        _check_spelling(added, git.lines("ls-tree", "-r", "-t", "-z", "--name-only", after))


def check_project(git: Git, prefix: str, after: str) -> None:
    """Refuse what others share where the project's own file is gone.

    Raises:
        UnsafeContent: It is.
    """
    if git.try_text("cat-file", "-e", f"{after}:{prefix}{PROJECT_FILE}") is None:
        raise UnsafeContent(PROJECT_FILE, "is not there any more")


def fault_of(path: str, mode: str) -> str:
    """Return why a file is not safe everywhere; "" where it is."""
    if mode in NO_FILES:
        return "is a link" if mode == _LINK else "is a repository of its own"
    for part in PurePosixPath(path).parts:
        if is_git_name(part) or "\\" in part:
            return "could leave the project's folder"
        if is_trash_name(part):
            return "belongs to one person's trash"
        if any(unicodedata.category(c) == "Cc" for c in part):
            return "has a line break or another control character in its name"
    return ""


def _check_spelling(added: Sequence[str], all_paths: Sequence[str]) -> None:
    """Refuse two names that some systems take for one.

    Raises:
        UnsafeContent: An added path differs from another only by case or composition.
    """
    spelled: dict[str, str] = {}
    twice: dict[str, str] = {}
    for path in all_paths:
        folded = unicodedata.normalize("NFC", path).casefold()
        if spelled.setdefault(folded, path) != path:
            twice[path] = spelled[folded]
    for path in added:
        for above in (path, *map(str, PurePosixPath(path).parents)):
            if above in twice or above in twice.values():
                raise UnsafeContent(
                    above, "some computers take for the same as another that differs in case"
                )
