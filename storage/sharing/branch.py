"""The steps of a sync, each whole: commit the folder, fetch, merge into the folder, send.

The order makes a kill harmless at any moment: what others did is fetched and merged as git's
objects, which nobody sees; then the folder changes through the store's journal; then the branch
moves. A note in git's own folder says which commit the folder is about to show.
"""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from storage.commits.commit_log import CommitLog
from storage.errors import StaleRevision
from storage.files import write_atomically
from storage.format.layout import PROJECT_FILE
from storage.git.errors import GitFailed
from storage.git.git import EMPTY_TREE, Git
from storage.git.safety import check_content, check_project, check_settings
from storage.records.record import login_name
from storage.sharing.errors import NotShared, OtherProject
from storage.sharing.notices import told
from storage.sharing.tree_merge import merge_commits
from storage.sharing.words import document_of
from storage.sharing.worktree import WorkTree

REMOTE = "origin"
BRANCH = "main"
_ARRIVING = "kiln-mcp-arriving"
_MOST_ROUNDS = 6


@dataclass(frozen=True, slots=True)
class Branch:
    """The branch of a project's folder. Its methods block: call them in a thread.

    Attributes:
        git: Git in the project's folder.
    """

    git: Git

    def check(self) -> None:
        """Refuse to go on without a history, or with settings that are not safe.

        Raises:
            NotShared: There is no history.
            UnsafeSettings: The folder's git settings could run programs.
        """
        if not self._has_history():
            raise NotShared(self.git.folder)
        check_settings(self.git)

    def _has_history(self) -> bool:
        try:
            self.git.run("rev-parse", "--git-dir")
        except GitFailed as error:
            if "not a git repository" in error.output:
                return False
            raise
        return True

    def share(self, address: str | None) -> None:
        """Begin the history where there is none, and name the repository where others find it."""
        if not self._has_history():
            self.git.run("init", "-q", "-b", BRANCH, action="begin the history")
        check_settings(self.git)
        if address is not None:
            verb = "set-url" if self.address() is not None else "add"
            self.git.run("remote", verb, REMOTE, "--", address, action="name the repository")

    def address(self) -> str | None:
        """Return where others find the project; None for nowhere."""
        return self.git.try_text("remote", "get-url", REMOTE)

    def destinations(self) -> list[str]:
        """Return every address that a sync talks to; none for a history on this machine alone."""
        fetched = self.git.try_text("remote", "get-url", "--all", REMOTE) or ""
        pushed = self.git.try_text("remote", "get-url", "--push", "--all", REMOTE) or ""
        return list(dict.fromkeys([*fetched.splitlines(), *pushed.splitlines()]))

    def _head(self) -> str | None:
        return self.git.try_text("rev-parse", "-q", "--verify", "HEAD")

    def _theirs(self) -> str | None:
        branch = self.git.text("symbolic-ref", "--short", "HEAD")
        return self.git.try_text(
            "rev-parse", "-q", "--verify", f"refs/remotes/{REMOTE}/{branch}^{{commit}}"
        )

    def waiting(self) -> int:
        """Return how many changes wait to be sent."""
        if self._head() is None:
            return 0
        theirs = self._theirs()
        there = [f"^{theirs}"] if theirs else []
        return int(self.git.text("rev-list", "--count", "--no-merges", "HEAD", *there))

    def notice(self) -> str:
        """Return where the history is kept, if not where the others look; "" otherwise."""
        if self.address() is None:
            return (
                "The history is kept on this machine alone. share_project with the address of a "
                "git repository shares it."
            )
        own = self.git.text("symbolic-ref", "--short", "HEAD")
        names = self._fetched()
        chosen = self.git.try_text("symbolic-ref", "-q", f"refs/remotes/{REMOTE}/HEAD") or ""
        likely = [chosen.removeprefix(f"refs/remotes/{REMOTE}/"), BRANCH, "master"]
        usual = next((name for name in likely if name in names), own)
        if usual == own:
            return ""
        return (
            f"This folder is on the branch '{own}', and the others' work is on '{usual}': neither "
            f"sees the other's changes. git switch {usual} goes there."
        )

    def left_out(self) -> tuple[str, ...]:
        """Return the files in the folder that git neither knows nor ignores."""
        return tuple(self.git.lines("ls-files", "-o", "--exclude-standard", "-z", "--", "."))

    def signature(self) -> tuple[list[str], str]:
        """Return git's options that sign changes, and what to say where git knows no name."""
        options: list[str] = []
        who = login_name()
        for key, made_up in (("name", who), ("email", f"{who}@localhost")):
            given = os.environ.get(f"GIT_AUTHOR_{key.upper()}")
            if not (given or self.git.try_text("config", f"user.{key}")):
                options += ["-c", f"user.{key}={made_up}"]
        if not options:
            return [], ""
        return options, (
            f"Git knows no name and e-mail address for you: changes are signed by {who}, as this "
            "computer calls you. git config --global user.name and user.email set them."
        )

    def fetch(self) -> None:
        """Fetch what others did, as git's objects alone."""
        options = ("-q", "--prune", "--no-tags", "--no-write-fetch-head", REMOTE)
        where = f"+refs/heads/*:refs/remotes/{REMOTE}/*"
        self.git.reach("fetch", *options, where, action="reach the others")

    def name_there(self) -> str | None:
        """Return how an empty repository calls the branch that clones begin with.

        None where it does not say, or is not empty. Call it after `fetch`.
        """
        address = self.address()
        if address is None or self._fetched():
            return None
        with tempfile.TemporaryDirectory() as above:  # git tells this of a clone alone
            empty = Path(above) / "empty.git"
            options = ("-q", "--bare", "--no-tags", "--", address, str(empty))
            usual = f"init.defaultBranch={BRANCH}"
            self.git.reach("-c", usual, "clone", *options, action="reach the others")
            return Git(empty).try_text("symbolic-ref", "--short", "HEAD")

    def call(self, name: str) -> None:
        """Call the branch as others do, where it has the name that we gave it."""
        own = self.git.text("symbolic-ref", "--short", "HEAD")
        names = self.git.text("for-each-ref", "--format=%(refname)", "refs/heads/").split()
        if own == BRANCH != name and names == [f"refs/heads/{BRANCH}"]:
            self.git.write("branch", "-m", name, action="name the branch")

    def _fetched(self) -> list[str]:
        where = f"refs/remotes/{REMOTE}/"
        listed = self.git.text("for-each-ref", "--format=%(refname)", where)
        return [ref.removeprefix(where) for ref in listed.split()]

    def send(self) -> bool:
        """Send the branch; return False where somebody else was faster."""
        here = self._head()
        if here is None or here == self._theirs():
            return here is not None
        branch = self.git.text("symbolic-ref", "--short", "HEAD")
        try:
            self.git.reach("push", "-q", REMOTE, f"{here}:refs/heads/{branch}", action="send")
        except GitFailed as error:
            if not error.is_rejected:
                raise
            return False
        return True

    def save(self, log: CommitLog, coming: str | None = None) -> str:
        """Commit the folder's state; return what was done, in words.

        Args:
            log: Where changes to the folder are committed.
            coming: The commit of the others that is about to be merged.
        """
        folder = WorkTree(self.git, log)
        folder.settle()
        head = self._head()
        tree = folder.tree(head, coming)
        parent = self._arrived(head, tree)
        if parent is not None and self.git.text("rev-parse", f"{parent}^{{tree}}") == tree:
            folder.show(parent)
            return ""
        message = told(self.git, parent or EMPTY_TREE, tree) or "Begin"
        options = ["-p", parent] if parent else []
        person = self.signature()[0]
        commit = self.git.text(*person, "commit-tree", tree, *options, "-m", message)
        self._move_branch(folder, commit, parent)
        return message

    def unsaved(self, log: CommitLog) -> str:
        """Return what was done since the folder was last committed, in words."""
        head = self._head()
        return told(self.git, head or EMPTY_TREE, WorkTree(self.git, log).tree(head))

    def unsaved_tree(self, log: CommitLog) -> tuple[str, str]:
        """Return the commit that the folder is built on, or the empty tree, and its state."""
        folder = WorkTree(self.git, log)
        folder.settle()
        head = self._head()
        tree = folder.tree(head)
        return self._arrived(head, tree) or EMPTY_TREE, tree

    def _arrived(self, head: str | None, tree: str) -> str | None:
        """Return the commit that the folder's state is built on, and move the branch there.

        That is the commit which a process that died was about to show, where all of it is in the
        folder; and else the branch's own.
        """
        note = self.git.inner(_ARRIVING)
        if head is None or not note.is_file():
            return head
        target = note.read_text(encoding="ascii").strip()
        is_shown = self._is_shown(head, target, tree)
        if is_shown:
            self.git.write("update-ref", "HEAD", target, head, action="move the branch")
        note.unlink()
        return target if is_shown else head

    def _is_shown(self, head: str, target: str, tree: str) -> bool:
        """Return whether all that differs between two commits is in the folder already."""
        if self.git.try_text("merge-base", "--is-ancestor", head, target) is None:
            return False
        wanted, changed_here, missing = (
            {change.path for change in self.git.changes(*pair, "--relative")}
            for pair in ((head, target), (head, tree), (target, tree))
        )
        return wanted <= changed_here and not (wanted and wanted <= missing)

    def bring_in(self, log: CommitLog) -> tuple[str, str]:
        """Merge what was fetched into the folder and the branch; return what was done, in words.

        Returns:
            What was saved of the folder before, and what the others did.
        """
        saved: list[str] = []
        for attempt in range(_MOST_ROUNDS):
            saved.append(self.save(log, self._theirs()))
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
        base = self.git.try_text("merge-base", ours, theirs)
        if base == theirs:
            return ""
        prefix = self.git.text("rev-parse", "--show-prefix")
        top = Git(Path(self.git.text("rev-parse", "--show-toplevel")))
        check_content(top, prefix, base, theirs)
        if base is None:
            self._check_same_project(theirs)
        what = told(self.git, base or EMPTY_TREE, theirs)
        target = theirs
        if base != ours:
            person = self.signature()[0]
            message = f"Bring together: {what}"
            target = merge_commits(top, prefix, ours, theirs, message, person)
        check_project(top, prefix, target)
        note = self.git.inner(_ARRIVING)
        write_atomically(note, target.encode("ascii"))
        folder = WorkTree(self.git, log)
        folder.change(ours, target)
        self._move_branch(folder, target, ours)
        note.unlink(missing_ok=True)
        return what

    def _check_same_project(self, theirs: str) -> None:
        ours = (self.git.folder / PROJECT_FILE).read_bytes()
        found = document_of(self.git.blobs([f"{theirs}:./{PROJECT_FILE}"])[0])
        if found is not None and found.get("id") != (document_of(ours) or {}).get("id"):
            raise OtherProject(str(found.get("name")))

    def _move_branch(self, folder: WorkTree, commit: str, before: str | None) -> None:
        known = before or "0" * 40
        self.git.write("update-ref", "HEAD", commit, known, action="move the branch")
        folder.show(commit)
