"""The project's folder, read as a git tree through an index of our own.

Git's own index would leave a lock when a process is killed.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from storage.atomic_write import UNFINISHED
from storage.collaboration.line_ends import IndexEntry, keep_line_ends, put_entries
from storage.conflict_copies import copied_paths
from storage.git.errors import GitError
from storage.git.git import Git
from storage.git.safety import fault_of, unshared_files

_ABANDONED_S = 60.0
"""Writing one file never takes this long: an older unfinished file is abandoned."""
_PREFIX = "kiln-mcp-"


@contextmanager
def own_index(git: Git) -> Generator[Mapping[str, str]]:
    """Yield environment variables that make git use a copy of its index."""
    real = git.inner("index")
    for remnant in real.parent.glob(f"{_PREFIX}*"):
        shutil.rmtree(remnant, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=real.parent, prefix=_PREFIX) as folder:
        own = Path(folder) / "index"
        index = {"GIT_INDEX_FILE": os.fspath(own.resolve())}
        if real.is_file():
            shutil.copy2(real, own)
            try:
                git.run("ls-files", "-z", "--", ".", extra=index)
            except GitError:
                own.unlink()  # Git's own index is corrupt, so the copy starts empty.
        yield index


def folder_tree(git: Git, head: str | None, theirs: str | None = None) -> str:
    """Return the folder's state as a git tree, with the rest of a larger repository.

    Links, names that others would refuse, and new files that are no part of the project are
    left out.

    Args:
        git: Git in the project's folder.
        head: The branch's commit; None if there is none yet.
        theirs: The commit of the others. A local file with a name from there is taken too,
            if their records make it a part of the project.
    """
    _remove_unfinished_files(git)
    with own_index(git) as index:
        start = ("--reset", head) if head else ("--empty",)
        git.run("read-tree", *start, extra=index)
        filter_entries = _filter_entries(git, index)
        git.run("add", "-u", "--", ".", action="save the history", extra=index)
        new_paths = nul_list(_new_parts(git, index, theirs))
        addition = ("update-index", "--add", "--remove", "--replace", "-z", "--stdin")
        git.run(*addition, action="save the history", extra=index, stdin=new_paths)
        entries = _entries(git, index)
        paths = {path for _, _, path in entries}
        put_entries(git, [entry for entry in filter_entries if entry[2] in paths], index)
        if unsafe := [path for mode, _, path in entries if fault_of(path, mode)]:
            removal = ("update-index", "-z", "--force-remove", "--stdin")
            git.run(*removal, extra=index, stdin=nul_list(unsafe))
        if head is not None:
            keep_line_ends(git, head, index)
        return git.text("write-tree", extra=index)


def _filter_entries(git: Git, index: Mapping[str, str]) -> list[IndexEntry]:
    """Return the index's files that a filter, such as git-lfs, has written.

    No filter runs, so their content in git cannot be computed again, and stays as it is.
    """
    filters = set(git.filters())
    entries = _entries(git, index) if filters else []
    if not entries:
        return []
    paths = nul_list([path for _, _, path in entries])
    output = git.run("check-attr", "-z", "--stdin", "filter", extra=index, stdin=paths)
    values = output.decode("utf-8", "surrogateescape").split("\0")[2::3]
    return [entry for entry, value in zip(entries, values, strict=True) if value in filters]


def _new_parts(git: Git, index: Mapping[str, str], theirs: str | None) -> list[str]:
    """Return the new files that are part of the project, and copies of none; few are read."""
    options = ("-z", "--exclude-standard", "--", ".", ":(exclude,glob)**/.*.new")
    paths = git.lines("ls-files", "-o", *options, extra=index)
    new = [path for path in paths if not path.endswith("/")]  # a nested repository
    if not new:
        return []
    index_paths = git.lines("ls-files", "-z", "--", ".", extra=index)
    foreign = set(unshared_files([*index_paths, *new]))
    if foreign and theirs:
        their_paths = git.lines("ls-tree", "-r", "-z", "--name-only", theirs, "--", ".")
        still_foreign = set(unshared_files([*index_paths, *new, *their_paths]))
        foreign -= set(their_paths) - still_foreign
    foreign |= copied_paths(git.folder, new, index_paths)
    return [path for path in new if path not in foreign]


def _remove_unfinished_files(git: Git) -> None:
    """Remove unfinished files that dead processes left."""
    paths = git.lines("ls-files", "-o", "-z", "--", ":(glob)**/.*.new")
    for path in paths:
        file = git.folder / path
        with suppress(OSError):
            age = time.time() - file.stat().st_mtime
            if UNFINISHED.fullmatch(file.name) and age > _ABANDONED_S:
                file.unlink()


def nul_list(paths: Sequence[str]) -> bytes:
    """Return paths as git reads them with -z: each one ends with NUL."""
    return "".join(f"{path}\0" for path in paths).encode("utf-8", "surrogateescape")


def _entries(git: Git, index: Mapping[str, str]) -> list[IndexEntry]:
    """Return the files of git's index."""
    return list(map(_entry, git.lines("ls-files", "-s", "-z", "--", ".", extra=index)))


def _entry(line: str) -> IndexEntry:
    """Return the entry of a line of git's index."""
    head, _, path = line.partition("\t")
    mode, name, _ = head.split(" ")
    return mode, name, path
