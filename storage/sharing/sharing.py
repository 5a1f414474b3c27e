"""Share a project: keep its history, bring in what others did, send what was done here.

The order makes a kill harmless at any moment: what others did is fetched and merged as git's
objects, which nobody sees; then the folder changes through the store's journal; then the branch
moves. A note in git's own folder says which commit the folder is about to show.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import anyio.to_thread

from storage.commits import CommitLog
from storage.errors import RecordNotFound, StaleRevision
from storage.files import write_atomically
from storage.layout import PROJECT_FILE
from storage.sharing.errors import (
    FolderNotEmpty,
    GitFailed,
    NoBranch,
    NoProjectThere,
    NotShared,
    OtherProject,
    TokenInAddress,
    without_secrets,
)
from storage.sharing.git import EMPTY_TREE, Git
from storage.sharing.history import HistoryEntry, change_entries, find_deleted, undo_plan
from storage.sharing.questions import Question, decision, open_questions, question_named
from storage.sharing.safety import check_address, check_content, check_project, check_settings
from storage.sharing.telling import told
from storage.sharing.tree_merge import merge_commits
from storage.sharing.words import document_of
from storage.sharing.worktree import WorkTree
from storage.store import ProjectStore

_MOST_ROUNDS = 6
_REMOTE = "origin"
_BRANCH = "main"
_ARRIVING = "kiln-mcp-arriving"
UNSYNCED = "unsynced"
"""What `Sharing.undo` takes for all that was done since the last sync."""


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What a sync did.

    Attributes:
        saved: What was done here since the last sync, in words; "" for nothing.
        received: What others did, in words; "" for nothing.
        sent: Whether everything done here is with the others now.
        waiting: How many changes wait to be sent.
        offline: Why the others could not be reached; "" when they were.
        signed: How changes are signed where git knows no name; "" where it knows one.
        questions: What people must decide.
        left_out: Files in the folder that are no part of the project and stay on this machine.
    """

    saved: str
    received: str
    sent: bool
    waiting: int
    offline: str
    signed: str
    questions: tuple[Question, ...]
    left_out: tuple[str, ...]


async def fetch_project(address: str, folder: Path) -> None:
    """Bring a shared project into a folder that does not exist yet, or is empty.

    Raises:
        TokenInAddress: The address holds a password or token.
        GitFailed: It could not be reached.
        UnsafeContent: It holds links or names that are not safe.
        NoProjectThere: It holds no project.
        FolderNotEmpty: The folder holds something already.
    """
    if _has_secret(address):
        raise TokenInAddress
    await anyio.to_thread.run_sync(_fetch_project, address, folder)


class Sharing:
    """The shared side of an open project.

    Args:
        store: The open project.
    """

    def __init__(self, store: ProjectStore) -> None:
        self._store = store
        self._git = Git(store.folder)

    async def share(self, address: str | None = None) -> None:
        """Begin the project's history, and name the git repository where others find it.

        Raises:
            TokenInAddress: The address holds a password or token.
            UnusableAddress: Git would take it for an option or a program.
            UnsafeSettings: The folder has a history already whose settings run programs.
        """
        if address is not None:
            check_address(address)
            if _has_secret(address):
                raise TokenInAddress
        await self._store.alone(lambda _: self._share(address))

    async def sync(self) -> SyncReport:
        """Save the history of what was done here, bring in what others did, and send it all.

        Works offline: then only the first happens, and a later sync catches up. Others may write
        to the project while git talks to the network.

        Raises:
            NotShared: The project has no history yet.
            UnsafeSettings: The folder's git settings could run programs.
            UnsafeContent: What others share is not safe; nothing of it was brought in.
            GitFailed: Git refused for another reason than being offline.
        """
        await anyio.to_thread.run_sync(self._check)
        saved = [await self._store.alone(self._save)]
        received: list[str] = []
        offline, sent = "", False
        if await anyio.to_thread.run_sync(self._address) is None:
            offline = "the project has no address that others know"
        else:
            try:
                sent = await self._exchange(saved, received)
            except GitFailed as error:
                if not error.is_unreachable:
                    raise
                offline = str(error)
            finally:
                await self._store.reload()
        questions = tuple(await self.questions())
        waiting = await anyio.to_thread.run_sync(self._waiting)
        signed = (await anyio.to_thread.run_sync(self._signature))[1]
        said, got = ("; ".join(filter(None, texts)) for texts in (saved, received))
        left_out = await anyio.to_thread.run_sync(self._left_out)
        return SyncReport(said, got, sent, waiting, offline, signed, questions, left_out)

    async def questions(self) -> list[Question]:
        """Return what people must decide."""
        return await anyio.to_thread.run_sync(open_questions, self._store.folder)

    async def decide(self, question_id: str, choice: int) -> None:
        """Decide an open question by the number of one of its choices, 0 or 1.

        Raises:
            RecordNotFound: There is no such question.
        """
        folder = self._store.folder
        question = await anyio.to_thread.run_sync(question_named, folder, question_id)
        change = await anyio.to_thread.run_sync(decision, folder, question, choice)
        await self._store.write(change.edits, change.moves)

    async def history(self, path: str | None = None, limit: int = 20) -> list[HistoryEntry]:
        """Return the changes of a record, or of the whole project, the latest first.

        Args:
            path: The record's file, within the project; None for the project.
            limit: The most changes.

        Raises:
            NotShared: The project has no history yet.
        """
        await anyio.to_thread.run_sync(self._check)
        return await anyio.to_thread.run_sync(change_entries, self._git, path, limit)

    async def deleted(self, kind: str, reference: str) -> str | None:
        """Return the file of a record that was deleted, by its id or name; None for no such.

        Raises:
            NotShared: The project has no history yet.
        """
        await anyio.to_thread.run_sync(self._check)
        return await anyio.to_thread.run_sync(find_deleted, self._git, kind, reference)

    async def unsaved(self) -> str:
        """Return what was done since the last sync, in words; "" for nothing."""
        await anyio.to_thread.run_sync(self._check)
        return await self._store.alone(self._unsaved)

    async def undo(self, change: str, path: str | None = None) -> str:
        """Take a change back, all of it or that of one record; later changes stay.

        `UNSYNCED` as the change means all that was done since the last sync.

        What the change added goes to the trash, what it deleted comes back.

        Returns:
            What was done to take it back, in words.

        Raises:
            RecordNotFound: There is no such change, or it did nothing to this record.
            ChangedSince: What it changed was changed again since.
        """
        await anyio.to_thread.run_sync(self._check)
        if change.strip().casefold() == UNSYNCED:
            if not await self._store.alone(self._save):
                raise RecordNotFound("change", UNSYNCED)
            change = "HEAD"
        plan = await anyio.to_thread.run_sync(undo_plan, self._git, change, path)
        await self._store.write(plan.change.edits, plan.change.moves)
        return plan.done

    # ------------------------------------------------------------ how

    def _check(self) -> None:
        if not self._has_history():
            raise NotShared(self._store.folder)
        check_settings(self._git)

    def _has_history(self) -> bool:
        try:
            self._git.run("rev-parse", "--git-dir")
        except GitFailed as error:
            if "not a git repository" in error.output:
                return False
            raise
        return True

    def _share(self, address: str | None) -> None:
        if not self._has_history():
            self._git.run("init", "-q", "-b", _BRANCH, action="begin the history")
        check_settings(self._git)
        if address is not None:
            verb = "set-url" if self._address() is not None else "add"
            self._git.run("remote", verb, _REMOTE, "--", address, action="name the repository")

    def _address(self) -> str | None:
        return self._git.try_text("remote", "get-url", _REMOTE)

    def _head(self) -> str | None:
        return self._git.try_text("rev-parse", "-q", "--verify", "HEAD")

    def _theirs(self) -> str | None:
        branch = self._git.text("symbolic-ref", "--short", "HEAD")
        return self._git.try_text(
            "rev-parse", "-q", "--verify", f"refs/remotes/{_REMOTE}/{branch}^{{commit}}"
        )

    def _waiting(self) -> int:
        if self._head() is None:
            return 0
        theirs = self._theirs()
        there = [f"^{theirs}"] if theirs else []
        return int(self._git.text("rev-list", "--count", "--no-merges", "HEAD", *there))

    def _left_out(self) -> tuple[str, ...]:
        return tuple(self._git.lines("ls-files", "-o", "--exclude-standard", "-z", "--", "."))

    def _signature(self) -> tuple[list[str], str]:
        """Return git's options that sign changes, and what to say where git knows no name."""
        options: list[str] = []
        who = self._store.person
        for key, made_up in (("name", who), ("email", f"{who}@localhost")):
            given = os.environ.get(f"GIT_AUTHOR_{key.upper()}")
            if not (given or self._git.try_text("config", f"user.{key}")):
                options += ["-c", f"user.{key}={made_up}"]
        if not options:
            return [], ""
        return options, (
            f"Git knows no name and e-mail address for you: changes are signed by {who}, as this "
            "computer calls you. git config --global user.name and user.email set them."
        )

    async def _exchange(self, saved: list[str], received: list[str]) -> bool:
        """Bring in and send until nothing is left to do; return whether all is sent."""
        for _ in range(_MOST_ROUNDS):
            await anyio.to_thread.run_sync(self._fetch)
            more, got = await self._store.alone(self._bring_in)
            saved.append(more)
            received.append(got)
            if await anyio.to_thread.run_sync(self._send):
                return True
        return False

    def _fetch(self) -> None:
        options = ("-q", "--prune", "--no-tags", "--no-write-fetch-head", _REMOTE)
        where = f"+refs/heads/*:refs/remotes/{_REMOTE}/*"
        self._git.reach("fetch", *options, where, action="reach the others")

    def _send(self) -> bool:
        """Send the branch; return False where somebody else was faster."""
        here = self._head()
        if here is None or here == self._theirs():
            return here is not None
        branch = self._git.text("symbolic-ref", "--short", "HEAD")
        try:
            self._git.reach("push", "-q", _REMOTE, f"{here}:refs/heads/{branch}", action="send")
        except GitFailed as error:
            if not error.is_rejected:
                raise
            return False
        return True

    def _save(self, log: CommitLog) -> str:
        """Commit the folder's state; return what was done, in words."""
        folder = WorkTree(self._git, log)
        folder.settle()
        head = self._head()
        tree = folder.tree(head)
        parent = self._arrived(head, tree)
        if parent is not None and self._git.text("rev-parse", f"{parent}^{{tree}}") == tree:
            folder.show(parent)
            return ""
        message = told(self._git, parent or EMPTY_TREE, tree) or "Begin"
        options = ["-p", parent] if parent else []
        person = self._signature()[0]
        commit = self._git.text(*person, "commit-tree", tree, *options, "-m", message)
        self._move_branch(folder, commit, parent)
        return message

    def _unsaved(self, log: CommitLog) -> str:
        head = self._head()
        return told(self._git, head or EMPTY_TREE, WorkTree(self._git, log).tree(head))

    def _arrived(self, head: str | None, tree: str) -> str | None:
        """Return the commit that the folder's state is built on, and move the branch there.

        That is the commit which a process that died was about to show, where all of it is in the
        folder; and else the branch's own.
        """
        note = self._git.inner(_ARRIVING)
        if head is None or not note.is_file():
            return head
        target = note.read_text(encoding="ascii").strip()
        is_shown = self._is_shown(head, target, tree)
        if is_shown:
            self._git.write("update-ref", "HEAD", target, head, action="move the branch")
        note.unlink()
        return target if is_shown else head

    def _is_shown(self, head: str, target: str, tree: str) -> bool:
        """Return whether all that differs between two commits is in the folder already."""
        if self._git.try_text("merge-base", "--is-ancestor", head, target) is None:
            return False
        wanted, changed_here, missing = (
            {change.path for change in self._git.changes(*pair, "--relative")}
            for pair in ((head, target), (head, tree), (target, tree))
        )
        return wanted <= changed_here and not (wanted and wanted <= missing)

    def _bring_in(self, log: CommitLog) -> tuple[str, str]:
        """Merge what was fetched into the folder and the branch; return what was done, in words.

        Returns:
            What was saved of the folder before, and what the others did.
        """
        saved: list[str] = []
        for attempt in range(_MOST_ROUNDS):
            saved.append(self._save(log))
            try:
                return "; ".join(filter(None, saved)), self._merge(log)
            except StaleRevision:
                if attempt + 1 == _MOST_ROUNDS:
                    raise
        raise AssertionError

    def _merge(self, log: CommitLog) -> str:
        ours, theirs = self._head(), self._theirs()
        if ours is None or theirs is None:
            return ""
        base = self._git.try_text("merge-base", ours, theirs)
        if base == theirs:
            return ""
        prefix = self._git.text("rev-parse", "--show-prefix")
        top = Git(Path(self._git.text("rev-parse", "--show-toplevel")))
        check_content(top, prefix, base, theirs)
        if base is None:
            self._check_same_project(theirs)
        what = told(self._git, base or EMPTY_TREE, theirs)
        target = theirs
        if base != ours:
            person = self._signature()[0]
            message = f"Bring together: {what}"
            target = merge_commits(top, prefix, ours, theirs, message, person)
        check_project(top, prefix, target)
        note = self._git.inner(_ARRIVING)
        write_atomically(note, target.encode("ascii"))
        folder = WorkTree(self._git, log)
        folder.change(ours, target)
        self._move_branch(folder, target, ours)
        note.unlink(missing_ok=True)
        return what

    def _check_same_project(self, theirs: str) -> None:
        ours = (self._store.folder / PROJECT_FILE).read_bytes()
        found = document_of(self._git.blobs([f"{theirs}:./{PROJECT_FILE}"])[0])
        if found is not None and found.get("id") != (document_of(ours) or {}).get("id"):
            raise OtherProject(str(found.get("name")))

    def _move_branch(self, folder: WorkTree, commit: str, before: str | None) -> None:
        known = before or "0" * 40
        self._git.write("update-ref", "HEAD", commit, known, action="move the branch")
        folder.show(commit)


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
        git.reach("clone", *options, "--", source, str(fresh), action="fetch the project")
        inside = Git(fresh)
        _choose_branch(inside)
        if inside.try_text("rev-parse", "-q", "--verify", f"HEAD:{PROJECT_FILE}") is None:
            raise NoProjectThere
        check_content(inside, "", None, "HEAD")
        inside.run("reset", "-q", "--hard", action="fetch the project")
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
    where = f"refs/remotes/{_REMOTE}/"
    listed = git.text("for-each-ref", "--format=%(refname)", where).split()
    names = [name.removeprefix(where) for name in listed]
    if not names:
        raise NoProjectThere
    if len(names) > 1 and _BRANCH not in names:
        raise NoBranch(names)
    name = _BRANCH if _BRANCH in names else names[0]
    git.write("update-ref", f"refs/heads/{name}", f"{where}{name}", action="fetch the project")
    git.run("symbolic-ref", "HEAD", f"refs/heads/{name}")


def _has_secret(address: str) -> bool:
    try:
        return bool(urlsplit(address).password) or (
            without_secrets(address) != address and urlsplit(address).scheme in ("http", "https")
        )
    except ValueError:
        return False
