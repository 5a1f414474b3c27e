"""The project's folder, changed from one commit to another.

Git's own merge would leave half of a change when a process is killed. So the folder is written
through the store's commit log, which the next process completes after a kill.
"""

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from uuid import uuid4

from storage.atomic_write import write_atomically
from storage.border import Reach, has_links
from storage.collaboration.folder_tree import nul_list, own_index
from storage.commits.commit_log import CommitLog, FileEdit, Move
from storage.commits.trash import FOLDER as TRASH
from storage.commits.trash import keep_out_of_git, remove_for_good
from storage.errors import Refusal, StaleRevision
from storage.format.record_text import revision_of
from storage.git.errors import GitError
from storage.git.git import FileChange, Git
from storage.git.safety import NO_FILES, fault_of, unshared_files

_INCOMING_TRASH = f"{TRASH}/received"
_UNFINISHED_WORK = {
    "rebase-merge": "in the middle of a rebase",
    "rebase-apply": "in the middle of a rebase",
    "CHERRY_PICK_HEAD": "in the middle of a cherry-pick",
    "REVERT_HEAD": "in the middle of a revert",
    "BISECT_LOG": "in the middle of a bisect",
}
_MARKS = (b"<<<<<<< ", b">>>>>>> ")


@dataclass(frozen=True, slots=True)
class WorkTree:
    """The project's folder. Use it only while the project is locked against other writers.

    Attributes:
        git: Git in the project's folder.
        log: Where changes to the folder are committed.
    """

    git: Git
    log: CommitLog

    def end_merge(self) -> None:
        """End a merge that somebody began with git itself.

        A file with conflict marks gets our side. The others' side comes with the sync.

        Raises:
            Refusal: Another operation of git is unfinished, or no branch is checked out.
        """
        paths = self.git.inner_paths(*_UNFINISHED_WORK, "MERGE_HEAD")
        for name, state in _UNFINISHED_WORK.items():
            if paths[name].exists():
                raise _unfinished_work(self.git.folder, state)
        if self.git.try_text("symbolic-ref", "-q", "HEAD") is None:
            raise _unfinished_work(self.git.folder, "at an old state without a branch")
        if not paths["MERGE_HEAD"].exists():
            return
        edits: list[FileEdit] = []
        for path in self._in_conflict():
            file = self.git.folder / path
            content = file.read_bytes() if file.is_file() else b""
            ours = self.git.blobs([f":2:./{path}"])[0]
            if ours is not None and all(mark in content for mark in _MARKS):
                edits.append(FileEdit(path, ours, revision_of(content)))
        self.log.commit(edits, reach=Reach.SHARED)
        self.git.write("merge", "--quit", action="end the merge")

    def change(self, current: str, target: str) -> None:
        """Change the folder from one commit's files to another's, all of them or none.

        Raises:
            StaleRevision: A file differs from the current commit: another program wrote it.
            Refusal: A file that is not shared lies at the place of a new file.
            WriteError: The disk refused; nothing was changed.
        """
        changes = self.git.changes(current, target, "--relative")
        old_contents = self.git.blobs([change.old for change in changes])
        new_contents = self.git.blobs([change.new for change in changes])
        edits: list[FileEdit] = []
        deletions: set[str] = set()
        self._check_free(current, changes, new_contents)
        for change, old, new in zip(changes, old_contents, new_contents, strict=True):
            file = self.git.folder / change.path
            actual = file.read_bytes() if file.is_file() else None
            if actual == new:
                continue
            if actual != old and not self._is_unchanged(change, actual):
                raise StaleRevision(change.path, None, datetime.now(UTC))
            if new is None:
                deletions.add(change.path)
            else:
                edits.append(
                    FileEdit(change.path, new, None if actual is None else revision_of(actual))
                )
        keep_out_of_git(self.git.folder)
        folder = f"{_INCOMING_TRASH}/{uuid4().hex[:12]}"
        # Move each file by itself, because its folder may hold files that stay.
        moves = [Move(path, f"{folder}/{path}") for path in sorted(deletions)]
        self.log.commit(edits, moves, reach=Reach.SHARED)
        _remove_empty_folders(self.git.folder, deletions)
        remove_for_good(self.git.folder, _INCOMING_TRASH)
        self._change_around(current, target)

    def _check_free(
        self, current: str, changes: Sequence[FileChange], contents: Sequence[bytes | None]
    ) -> None:
        """Refuse new files at places where a file lies that git does not track.

        Raises:
            Refusal: A file lies there that is not shared, or a folder at the place of a file.
            StaleRevision: A new file of the project lies there.
        """
        additions = {
            change.path: content
            for change, content in zip(changes, contents, strict=True)
            if change.old is None and content is not None
        }
        places = (
            _obstacle_at(self.git.folder, path, content) for path, content in additions.items()
        )
        obstacles = {path for path in places if path is not None}
        if not obstacles:
            return
        tracked_paths = set(
            self.git.lines("ls-tree", "-r", "-z", "--name-only", current, "--", ".")
        )
        shared_paths = [*tracked_paths, *additions]
        foreign = {*unshared_files(shared_paths), *self._ignored_paths(obstacles)}
        for path in sorted(obstacles - tracked_paths):
            if path in additions and path not in foreign and (self.git.folder / path).is_file():
                raise StaleRevision(path, None, datetime.now(UTC))
            raise _obstacle(path)

    def _ignored_paths(self, paths: Iterable[str]) -> list[str]:
        stdin = nul_list(sorted(paths))
        try:
            output = self.git.run("check-ignore", "-z", "--stdin", stdin=stdin)
        except GitError:  # none of them
            return []
        return [path for path in output.decode("utf-8", "surrogateescape").split("\0") if path]

    def show(self, commit: str) -> None:
        """Update git's own index to a commit, for people who use git itself."""
        real = self.git.inner("index")
        if real.with_name("index.lock").exists():
            return  # Another git process works here, or died; the next sync updates the index.
        if self.git.try_text("diff-index", "--cached", "--quiet", commit, "--", ".") is not None:
            return
        with own_index(self.git) as index:
            self.git.run("reset", "-q", commit, "--", ".", extra=index)
            Path(index["GIT_INDEX_FILE"]).replace(real)

    def _is_unchanged(self, change: FileChange, actual: bytes | None) -> bool:
        """Return whether git regards a file as unchanged, although its bytes differ.

        Attributes of a path, such as `text`, make git store other bytes than the file has.
        """
        if actual is None or change.old is None:
            return False
        name = self.git.run("hash-object", "--stdin", f"--path={change.path}", stdin=actual)
        return name.strip().decode() == change.old

    def _in_conflict(self) -> list[str]:
        lines = self.git.lines("ls-files", "-u", "-z", "--", ".")
        return sorted({line.partition("\t")[2] for line in lines})

    def _change_around(self, current: str, target: str) -> None:
        """Change the files of a larger repository around the project, if nobody edited them."""
        prefix = self.git.text("rev-parse", "--show-prefix")
        if not prefix:
            return
        top = Git(Path(self.git.text("rev-parse", "--show-toplevel")))
        changes = [
            change
            for change in top.changes(current, target)
            if not change.path.startswith(prefix) and change.mode not in NO_FILES
        ]
        old_contents = top.blobs([change.old for change in changes])
        new_contents = top.blobs([change.new for change in changes])
        for change, old, new in zip(changes, old_contents, new_contents, strict=True):
            file = top.folder / change.path
            if fault_of(change.path, change.mode) or has_links(top.folder, change.path):
                continue
            actual = file.read_bytes() if file.is_file() else None
            if actual != old:
                continue
            if new is None:
                file.unlink(missing_ok=True)
            else:
                write_atomically(file, new)


def _obstacle_at(project: Path, path: str, content: bytes) -> str | None:
    """Return what lies at the place of a new file, or of one of its folders."""
    file = project / path
    if os.path.lexists(file):
        is_same = file.is_file() and not file.is_symlink() and file.read_bytes() == content
        return None if is_same else path
    for folder in PurePosixPath(path).parents:
        above = project / folder
        if os.path.lexists(above):
            return None if above.is_dir() and not above.is_symlink() else str(folder)
    return None


def _remove_empty_folders(project: Path, paths: Iterable[str]) -> None:
    """Remove the folders of removed files that hold no file any more."""
    folders = {above for path in paths for above in PurePosixPath(path).parents if above.name}
    for folder in sorted(folders, key=lambda path: len(path.parts), reverse=True):
        if any(files for _, _, files in os.walk(project / folder)):
            continue
        for inside, _, _ in os.walk(project / folder, topdown=False):
            with suppress(OSError):  # somebody put something there meanwhile
                Path(inside).rmdir()


def _unfinished_work(folder: Path, state: str) -> Refusal:
    return Refusal(
        "Git is {state} in {folder}. Finish or abort that with git, then sync again. Nothing was "
        "changed.",
        state=state,
        folder=folder,
    )


def _obstacle(path: str) -> Refusal:
    return Refusal(
        "The others share {path!r}, but a local file or folder of that name is no part of the "
        "project, or git is told to ignore it. Nothing was received, and yours stays as it is. "
        "Rename or move it, then sync again.",
        path=path,
    )
