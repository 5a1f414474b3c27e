"""Safety checks of what may be foreign: a folder's git settings, and the files that others share.

- A folder from elsewhere may have a `.git` whose settings run programs (fsmonitor, sshCommand,
  filters, uploadpack).
- Shared files may be links, or have names that mean something else on another system.
"""

import re
import unicodedata
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from storage.border import is_git_name, is_trash_name
from storage.errors import Refusal
from storage.format.layout import PROJECT_FILE, children_of, place_named
from storage.git.errors import UnsafeSettings, without_secrets
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
_ADDRESS_EXCERPT = 80
_LINK, _MODULE = "120000", "160000"
NO_FILES = frozenset({_LINK, _MODULE})
"""Git's modes of what is no file: links and nested repositories."""


def check_settings(git: Git) -> None:
    """Refuse a repository whose own settings could run programs.

    Raises:
        UnsafeSettings: A setting could run a program or lead elsewhere.
    """
    for file in git.inner_paths("config", "config.worktree").values():
        if not file.is_file():
            continue
        keys = git.lines("config", "--file", str(file), "--no-includes", "--name-only", "-l", "-z")
        unknown = sorted({key for key in keys if not _HARMLESS.fullmatch(key)})
        if unknown:
            raise UnsafeSettings(file, unknown)


def unshared_files(paths: Sequence[str]) -> list[str]:
    """Return the files of a project's folder that are no part of it and are not sent.

    Part of a project are records, files in the folder of a record below the project, conflicts,
    and at the top the files that describe the project to people and git. Hidden files are no
    part, except git's own.

    Args:
        paths: All files, within the project.
    """
    files = [PurePosixPath(path) for path in paths]
    folders = {str(file.parent) for file in files if _is_record(file)} - {"."}
    return [str(file) for file in files if not _is_part(file, folders)]


def _is_record(path: PurePosixPath) -> bool:
    """Return whether a file is a record at a record's place; unknown kinds count as records."""
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
    """Refuse an address that is too long, is an option or a program to git, or holds a password.

    Raises:
        Refusal: The address is one of these.
    """
    is_option = address.startswith("-") or re.match(r"[a-z0-9+.-]+::", address, re.IGNORECASE)
    if is_option or len(address) > _LONGEST_ADDRESS:
        raise Refusal(
            "{address!r} is no address of a repository. Give an https:// or ssh address, or the "
            "path of a folder.",
            address=without_secrets(address)[:_ADDRESS_EXCERPT],
        )
    if _has_secret(address):
        raise Refusal(
            "The address holds a password or token, which would be stored in the project's "
            "settings. Give it without one: git asks its own credential store."
        )


def _has_secret(address: str) -> bool:
    try:
        return bool(urlsplit(address).password) or (
            without_secrets(address) != address and urlsplit(address).scheme in ("http", "https")
        )
    except ValueError:
        return False


def check_content(git: Git, prefix: str, base: str | None, target: str) -> None:
    """Refuse shared content that could leave the project's folder.

    Args:
        git: Git in the repository's topmost folder.
        prefix: The project's folder within the repository, "" or ending in "/".
        base: The last commit that was checked already; None for the beginning.
        target: The commit to check.

    Raises:
        Refusal: There is a link, a nested repository, or a name that is not safe everywhere.
    """
    new_paths: list[str] = []
    for change in git.changes(base or EMPTY_TREE, target):
        if change.new is None or not change.path.startswith(prefix):
            continue
        reason = fault_of(change.path, change.mode)
        if reason:
            raise _unsafe_content(change.path, reason)
        if change.old is None:
            new_paths.append(change.path)
    if new_paths:
        _check_spelling(new_paths, git.lines("ls-tree", "-r", "-t", "-z", "--name-only", target))


def check_project(git: Git, prefix: str, target: str) -> None:
    """Refuse shared content without the project's own file.

    Raises:
        Refusal: The file is missing.
    """
    if git.try_text("cat-file", "-e", f"{target}:{prefix}{PROJECT_FILE}") is None:
        raise _unsafe_content(PROJECT_FILE, "does not exist any more")


def fault_of(path: str, mode: str) -> str:
    """Return why a file is not safe on every system; "" if it is."""
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


def _check_spelling(new_paths: Sequence[str], all_paths: Sequence[str]) -> None:
    """Refuse two names that some systems take for one.

    Raises:
        Refusal: A new path differs from another only by case or Unicode composition.
    """
    spellings: dict[str, str] = {}
    doubles: dict[str, str] = {}
    for path in all_paths:
        key = unicodedata.normalize("NFC", path).casefold()
        if spellings.setdefault(key, path) != path:
            doubles[path] = spellings[key]
    for path in new_paths:
        for above in (path, *map(str, PurePosixPath(path).parents)):
            if above in doubles or above in doubles.values():
                raise _unsafe_content(
                    above, "some computers take for the same as another that differs in case"
                )


def _unsafe_content(path: str, reason: str) -> Refusal:
    return Refusal(
        "Nothing was received: the others share {path!r}, which {reason}. Ask its author to remove "
        "it. Everything you did is saved on this machine.",
        path=path,
        reason=reason,
    )
