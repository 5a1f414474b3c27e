"""The project's folder as git sees it: read into a tree, and changed into another one.

Git's own index and its merge would leave locks, and half of a change, where a process is killed.
So the folder is read through an index of our own, and written through the store's commit log,
whose journal the next process carries to its end.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from uuid import uuid4

from storage.border import Reach, has_links
from storage.commits.commit_log import CommitLog, Edit, Move
from storage.commits.trash import FOLDER as TRASH
from storage.commits.trash import keep_out_of_git, remove_for_good
from storage.errors import StaleRevision
from storage.files import UNFINISHED, write_atomically
from storage.format.record_text import revision_of
from storage.git.errors import GitFailed
from storage.git.git import FileChange, Git
from storage.git.safety import NO_FILES, fault_of, left_at_home
from storage.sharing.errors import FileInTheWay, HalfDone

_DEAD_S = 60.0
"""Nobody takes this long to write one file: who began it died."""
_PREFIX = "kiln-mcp-"
_RECEIVED = f"{TRASH}/received"
_HALF_DONE = {
    "rebase-merge": "in the middle of a rebase",
    "rebase-apply": "in the middle of a rebase",
    "CHERRY_PICK_HEAD": "in the middle of a cherry-pick",
    "REVERT_HEAD": "in the middle of a revert",
    "BISECT_LOG": "in the middle of a bisect",
}
_MARKS = (b"<<<<<<< ", b">>>>>>> ")


@dataclass(frozen=True, slots=True)
class WorkTree:
    """The project's folder. Use it while all other writers are kept out.

    Attributes:
        git: Git in the project's folder.
        log: Where changes to the folder are committed.
    """

    git: Git
    log: CommitLog

    def settle(self) -> None:
        """End a merge that somebody began with git itself: each file is whole again.

        Of a file with conflict marks in it, our side is taken; the others' comes with the sync.

        Raises:
            HalfDone: Something else is half done, or no branch is checked out.
        """
        paths = self.git.inner_paths(*_HALF_DONE, "MERGE_HEAD")
        for name, what in _HALF_DONE.items():
            if paths[name].exists():
                raise HalfDone(self.git.folder, what)
        if self.git.try_text("symbolic-ref", "-q", "HEAD") is None:
            raise HalfDone(self.git.folder, "at an old state without a branch")
        if not paths["MERGE_HEAD"].exists():
            return
        edits: list[Edit] = []
        for path in self._in_conflict():
            file = self.git.folder / path
            held = file.read_bytes() if file.is_file() else b""
            ours = self.git.blobs([f":2:./{path}"])[0]
            if ours is not None and all(mark in held for mark in _MARKS):
                edits.append(Edit(path, ours, revision_of(held)))
        self.log.commit(edits, reach=Reach.SHARED)
        self.git.write("merge", "--quit", action="end the merge")

    def tree(self, head: str | None, coming: str | None = None) -> str:
        """Return the folder's state as a tree of git's, with the rest of a larger repository.

        Links and names that others would refuse are left out, and new files that are no part of
        the project.

        Args:
            head: The commit that the branch is at; None for none yet.
            coming: What others share; a file that lies here under the same name is taken too
                where that makes it a part of the project.
        """
        self._sweep()
        with self._own_index() as index:
            start = ("--reset", head) if head else ("--empty",)
            self.git.run("read-tree", *start, extra=index)
            filtered = self._filtered(index)
            self.git.run("add", "-u", "--", ".", action="save the history", extra=index)
            added = _listing(self._new_parts(index, coming))
            take = ("update-index", "--add", "--remove", "--replace", "-z", "--stdin")
            self.git.run(*take, action="save the history", extra=index, given=added)
            held = self.git.lines("ls-files", "-s", "-z", "--", ".", extra=index)
            there = {path for _, path in map(_listed, held)}
            if kept := [line for line in filtered if _listed(line)[1] in there]:
                self.git.run(
                    "update-index", "-z", "--index-info", extra=index, given=_listing(kept)
                )
            if unsafe := [path for mode, path in map(_listed, held) if fault_of(path, mode)]:
                away = ("update-index", "-z", "--force-remove", "--stdin")
                self.git.run(*away, extra=index, given=_listing(unsafe))
            return self.git.text("write-tree", extra=index)

    def _filtered(self, index: Mapping[str, str]) -> list[str]:
        """Return the lines of the index of files that a filter, such as git-lfs, has written.

        No filter is run, so what they stand for cannot be made anew, and they stay as they are.
        """
        filters = set(self.git.filters())
        lines = self.git.lines("ls-files", "-s", "-z", "--", ".", extra=index) if filters else []
        if not lines:
            return []
        paths = _listing([_listed(line)[1] for line in lines])
        told = self.git.run("check-attr", "-z", "--stdin", "filter", extra=index, given=paths)
        values = told.decode("utf-8", "surrogateescape").split("\0")[2::3]
        return [line for line, value in zip(lines, values, strict=True) if value in filters]

    def _new_parts(self, index: Mapping[str, str], coming: str | None) -> list[str]:
        """Return the files that were never sent and are part of the project; no other is read."""
        options = ("-z", "--exclude-standard", "--", ".", ":(exclude,glob)**/.*.new")
        found = self.git.lines("ls-files", "-o", *options, extra=index)
        new = [path for path in found if not path.endswith("/")]  # a repository within
        if not new:
            return []
        tracked = self.git.lines("ls-files", "-z", "--", ".", extra=index)
        strangers = set(left_at_home([*tracked, *new]))
        if strangers and coming:
            theirs = self.git.lines("ls-tree", "-r", "-z", "--name-only", coming, "--", ".")
            there = set(left_at_home([*tracked, *new, *theirs]))
            strangers -= set(theirs) - there
        return [path for path in new if path not in strangers]

    def change(self, before: str, after: str) -> None:
        """Change the folder from one commit's files to another's, all of them or none.

        Raises:
            StaleRevision: A file is not as the first commit says: another program wrote it.
            FileInTheWay: There is something that is not shared where a file is to be.
            WriteError: The disk refused; nothing was changed.
        """
        changes = self.git.changes(before, after, "--relative")
        held = self.git.blobs([change.before for change in changes])
        wanted = self.git.blobs([change.after for change in changes])
        edits: list[Edit] = []
        gone: set[str] = set()
        self._check_free(before, changes, wanted)
        for change, was, content in zip(changes, held, wanted, strict=True):
            file = self.git.folder / change.path
            now = file.read_bytes() if file.is_file() else None
            if now == content:
                continue
            if now != was and not self._is_unchanged(change, now):
                raise StaleRevision(change.path, None, datetime.now(UTC))
            if content is None:
                gone.add(change.path)
            else:
                edits.append(Edit(change.path, content, None if now is None else revision_of(now)))
        keep_out_of_git(self.git.folder)
        away = f"{_RECEIVED}/{uuid4().hex[:12]}"
        # Each file by itself: a folder may get, or got meanwhile, what is to stay there.
        received = [Move(path, f"{away}/{path}") for path in sorted(gone)]
        self.log.commit(edits, received, reach=Reach.SHARED)
        _remove_emptied(self.git.folder, gone)
        remove_for_good(self.git.folder, _RECEIVED)
        self._change_around(before, after)

    def _check_free(
        self, before: str, changes: Sequence[FileChange], wanted: Sequence[bytes | None]
    ) -> None:
        """Refuse to write where something is that git does not know.

        Raises:
            FileInTheWay: Something is: a file that stays here, or a folder where a file is to be.
            StaleRevision: Something is that belongs to the project and was not there before.
        """
        added = {
            change.path: content
            for change, content in zip(changes, wanted, strict=True)
            if change.before is None and content is not None
        }
        ways = (_in_the_way(self.git.folder, path, content) for path, content in added.items())
        taken = {path for path in ways if path is not None}
        if not taken:
            return
        known = set(self.git.lines("ls-tree", "-r", "-z", "--name-only", before, "--", "."))
        shared = [*known, *added]
        strangers = {*left_at_home(shared), *self._ignored(taken)}
        for path in sorted(taken - known):
            if path in added and path not in strangers and (self.git.folder / path).is_file():
                raise StaleRevision(path, None, datetime.now(UTC))
            raise FileInTheWay(path)

    def _ignored(self, paths: Iterable[str]) -> list[str]:
        given = _listing(sorted(paths))
        try:
            found = self.git.run("check-ignore", "-z", "--stdin", given=given)
        except GitFailed:  # none of them
            return []
        return [path for path in found.decode("utf-8", "surrogateescape").split("\0") if path]

    def show(self, commit: str) -> None:
        """Tell git's own index of a commit, for people who look with git itself."""
        real = self.git.inner("index")
        if real.with_name("index.lock").exists():
            return  # Another git is at work, or died; the next sync tells it.
        if self.git.try_text("diff-index", "--cached", "--quiet", commit, "--", ".") is not None:
            return
        with self._own_index() as index:
            self.git.run("reset", "-q", commit, "--", ".", extra=index)
            Path(index["GIT_INDEX_FILE"]).replace(real)

    def _sweep(self) -> None:
        """Take away what processes that died left of files that they had not finished."""
        unfinished = self.git.lines("ls-files", "-o", "-z", "--", ":(glob)**/.*.new")
        for path in unfinished:
            file = self.git.folder / path
            with suppress(OSError):
                if UNFINISHED.fullmatch(file.name) and time.time() - file.stat().st_mtime > _DEAD_S:
                    file.unlink()

    def _is_unchanged(self, change: FileChange, now: bytes | None) -> bool:
        """Return whether git takes a file's bytes for its old ones, though they are spelled anew.

        Attributes of a path, such as `text`, make it store other bytes than the file has.
        """
        if now is None or change.before is None:
            return False
        name = self.git.run("hash-object", "--stdin", f"--path={change.path}", given=now)
        return name.strip().decode() == change.before

    def _in_conflict(self) -> list[str]:
        lines = self.git.lines("ls-files", "-u", "-z", "--", ".")
        return sorted({line.partition("\t")[2] for line in lines})

    def _change_around(self, before: str, after: str) -> None:
        """Change the files of a larger repository around the project, where nobody edited them."""
        prefix = self.git.text("rev-parse", "--show-prefix")
        if not prefix:
            return
        top = Git(Path(self.git.text("rev-parse", "--show-toplevel")))
        changes = [
            change
            for change in top.changes(before, after)
            if not change.path.startswith(prefix) and change.mode not in NO_FILES
        ]
        held = top.blobs([change.before for change in changes])
        wanted = top.blobs([change.after for change in changes])
        for change, was, content in zip(changes, held, wanted, strict=True):
            file = top.folder / change.path
            if fault_of(change.path, change.mode) or has_links(top.folder, change.path):
                continue
            now = file.read_bytes() if file.is_file() else None
            if now != was:
                continue
            if content is None:
                file.unlink(missing_ok=True)
            else:
                write_atomically(file, content)

    @contextmanager
    def _own_index(self) -> Generator[Mapping[str, str]]:
        """Yield the environment of commands that use a copy of git's index, not the index."""
        real = self.git.inner("index")
        for leftover in real.parent.glob(f"{_PREFIX}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=real.parent, prefix=_PREFIX) as folder:
            own = Path(folder) / "index"
            index = {"GIT_INDEX_FILE": os.fspath(own.resolve())}
            if real.is_file():
                shutil.copy2(real, own)
                try:
                    self.git.run("ls-files", "-z", "--", ".", extra=index)
                except GitFailed:
                    own.unlink()  # Git's own index is broken; ours begins anew.
            yield index


def _in_the_way(project: Path, path: str, content: bytes) -> str | None:
    """Return what is in the way of a new file, or of a folder that it is to lie in."""
    file = project / path
    if os.path.lexists(file):
        is_same = file.is_file() and not file.is_symlink() and file.read_bytes() == content
        return None if is_same else path
    for folder in PurePosixPath(path).parents:
        above = project / folder
        if os.path.lexists(above):
            return None if above.is_dir() and not above.is_symlink() else str(folder)
    return None


def _listing(paths: Sequence[str]) -> bytes:
    return "".join(f"{path}\0" for path in paths).encode("utf-8", "surrogateescape")


def _listed(line: str) -> tuple[str, str]:
    """Return mode and path of a line of git's index."""
    head, _, path = line.partition("\t")
    return head.partition(" ")[0], path


def _remove_emptied(project: Path, gone: Iterable[str]) -> None:
    """Remove the folders that hold no file any more since files went from there."""
    emptied = {above for path in gone for above in PurePosixPath(path).parents if above.name}
    for folder in sorted(emptied, key=lambda one: len(one.parts), reverse=True):
        if any(files for _, _, files in os.walk(project / folder)):
            continue
        for inside, _, _ in os.walk(project / folder, topdown=False):
            with suppress(OSError):  # somebody put something there just now
                Path(inside).rmdir()
