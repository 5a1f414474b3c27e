"""The steps of a sync: commit the folder, fetch, merge into the folder, push.

The order makes a kill harmless at any moment:

1. Fetch and merge write only git's objects, which nobody sees.
2. The folder changes through the store's write-ahead log.
3. The branch moves. A note in git's own folder names the commit that the folder changes to.
"""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from storage.atomic_write import write_atomically
from storage.collaboration.change_summary import summarize_changes
from storage.collaboration.folder_tree import folder_tree
from storage.collaboration.record_changes import document_of
from storage.collaboration.tree_merge import merge_commits
from storage.collaboration.worktree import WorkTree
from storage.commits.commit_log import CommitLog
from storage.errors import Refusal, StaleRevision
from storage.format.layout import PROJECT_FILE
from storage.git.attributes import write_attributes
from storage.git.errors import GitError
from storage.git.git import EMPTY_TREE, Git
from storage.git.safety import check_content, check_project, check_settings
from storage.records.record import login_name

REMOTE = "origin"
BRANCH = "main"
_TARGET_NOTE = "kiln-mcp-arriving"
_MOST_ROUNDS = 6


def no_history(git: Git) -> Refusal:
    """Return the refusal of a project without a history."""
    return Refusal(
        "{folder} has no history yet. Sync the project first: with the address of an empty git "
        "repository, or without one to keep the history on this machine.",
        folder=git.folder,
    )


@dataclass(frozen=True, slots=True)
class Branch:
    """The branch of a project's folder. Its methods block, so call them in a thread.

    Attributes:
        git: Git in the project's folder.
    """

    git: Git

    def check_safety(self) -> None:
        """Refuse a folder without a history, or with git settings that are not safe.

        Raises:
            Refusal: The project has no history.
            UnsafeSettings: The folder's git settings could run programs.
        """
        if not self.has_history():
            raise no_history(self.git)
        check_settings(self.git)

    def has_history(self) -> bool:
        """Return whether the folder is within a git repository."""
        try:
            self.git.run("rev-parse", "--git-dir")
        except GitError as error:
            if "not a git repository" in error.output:
                return False
            raise
        return True

    def share(self, address: str | None) -> None:
        """Begin the history if there is none, and set the address of the shared repository."""
        if not self.has_history():
            self.git.run("init", "-q", "-b", BRANCH, action="begin the history")
        check_settings(self.git)
        write_attributes(self.git.folder)
        if address is not None:
            verb = "set-url" if self.address() is not None else "add"
            self.git.run("remote", verb, REMOTE, "--", address, action="name the repository")

    def address(self) -> str | None:
        """Return the address of the shared repository; None if there is none."""
        return self.git.try_text("remote", "get-url", REMOTE)

    def destinations(self) -> list[str]:
        """Return every address that a sync connects to; none for a local history."""
        fetch_urls = self.git.try_text("remote", "get-url", "--all", REMOTE) or ""
        push_urls = self.git.try_text("remote", "get-url", "--push", "--all", REMOTE) or ""
        urls = [*fetch_urls.split("\n"), *push_urls.split("\n")]
        return list(dict.fromkeys(filter(None, urls)))

    def _head(self) -> str | None:
        return self.git.try_text("rev-parse", "-q", "--verify", "HEAD")

    def _theirs(self) -> str | None:
        branch = self.git.text("symbolic-ref", "--short", "HEAD")
        return self.git.try_text(
            "rev-parse", "-q", "--verify", f"refs/remotes/{REMOTE}/{branch}^{{commit}}"
        )

    def unsent_count(self) -> int:
        """Return how many changes are not pushed yet."""
        if self._head() is None:
            return 0
        theirs = self._theirs()
        exclusions = [f"^{theirs}"] if theirs else []
        return int(self.git.text("rev-list", "--count", "--no-merges", "HEAD", *exclusions))

    def notice(self) -> str:
        """Return a notice if the others do not see this branch; "" if they do."""
        if self.address() is None:
            return (
                "The history is kept on this machine alone. To share the project, give it the "
                "address of an empty git repository."
            )
        own = self.git.text("symbolic-ref", "--short", "HEAD")
        names = self._remote_branches()
        default = self.git.try_text("symbolic-ref", "-q", f"refs/remotes/{REMOTE}/HEAD") or ""
        likely = [default.removeprefix(f"refs/remotes/{REMOTE}/"), BRANCH, "master"]
        expected = next((name for name in likely if name in names), own)
        if expected == own:
            return ""
        return (
            f"This folder is on the branch '{own}', and the others work on '{expected}', so "
            f"neither sees the other's changes. Change the branch with git switch {expected}."
        )

    def untracked_files(self) -> tuple[str, ...]:
        """Return the files in the folder that git neither tracks nor ignores."""
        return tuple(self.git.lines("ls-files", "-o", "--exclude-standard", "-z", "--", "."))

    def signature(self) -> tuple[list[str], str]:
        """Return git's options for the author of commits, and a note if git knows no name."""
        options: list[str] = []
        login = login_name()
        for key, default in (("name", login), ("email", f"{login}@localhost")):
            value = os.environ.get(f"GIT_AUTHOR_{key.upper()}")
            if not (value or self.git.setting(f"user.{key}")):
                options += ["-c", f"user.{key}={default}"]
        if not options:
            return [], ""
        return options, (
            "Git has no name and e-mail address for you, so changes are signed with your login "
            f"name {login}. Set them with git config --global user.name and user.email."
        )

    def fetch(self) -> None:
        """Fetch the others' branches, as git's objects alone."""
        options = ("-q", "--prune", "--no-tags", "--no-write-fetch-head", REMOTE)
        where = f"+refs/heads/*:refs/remotes/{REMOTE}/*"
        self.git.reach("fetch", *options, where, action="reach the others")

    def remote_default_branch(self) -> str | None:
        """Return the default branch of an empty repository.

        Returns None if it names none, or is not empty. Call it after `fetch`.
        """
        address = self.address()
        if address is None or self._remote_branches():
            return None
        with tempfile.TemporaryDirectory() as above:  # git tells this only to a clone
            empty = Path(above) / "empty.git"
            options = ("-q", "--bare", "--no-tags", "--", address, str(empty))
            usual = f"init.defaultBranch={BRANCH}"
            self.git.reach("-c", usual, "clone", *options, action="reach the others")
            return Git(empty).try_text("symbolic-ref", "--short", "HEAD")

    def rename(self, name: str) -> None:
        """Rename the branch as the others call it, if it still has our own default name."""
        own = self.git.text("symbolic-ref", "--short", "HEAD")
        names = self.git.text("for-each-ref", "--format=%(refname)", "refs/heads/").split()
        if own == BRANCH != name and names == [f"refs/heads/{BRANCH}"]:
            self.git.write("branch", "-m", name, action="name the branch")

    def _remote_branches(self) -> list[str]:
        where = f"refs/remotes/{REMOTE}/"
        refs = self.git.text("for-each-ref", "--format=%(refname)", where)
        return [ref.removeprefix(where) for ref in refs.split()]

    def push(self) -> bool:
        """Push the branch; return False if somebody else pushed first."""
        head = self._head()
        if head is None or head == self._theirs():
            return head is not None
        branch = self.git.text("symbolic-ref", "--short", "HEAD")
        try:
            self.git.reach("push", "-q", REMOTE, f"{head}:refs/heads/{branch}", action="send")
        except GitError as error:
            if not error.is_rejected:
                raise
            return False
        return True

    def save(self, log: CommitLog, theirs: str | None = None) -> str:
        """Commit the folder's state; return a summary of the changes.

        Args:
            log: Where changes to the folder are committed.
            theirs: The commit of the others that will be merged next.
        """
        folder = WorkTree(self.git, log)
        folder.end_merge()
        head = self._head()
        tree = folder_tree(self.git, head, theirs)
        parent = self._base_commit(head, tree)
        if parent is not None and self.git.text("rev-parse", f"{parent}^{{tree}}") == tree:
            folder.show(parent)
            return ""
        message = summarize_changes(self.git, parent or EMPTY_TREE, tree) or "Begin"
        options = ["-p", parent] if parent else []
        person = self.signature()[0]
        commit = self.git.text(*person, "commit-tree", tree, *options, "-m", message)
        self._move_branch(folder, commit, parent)
        return message

    def unsaved_changes(self) -> str:
        """Return a summary of the changes since the last commit."""
        head = self._head()
        return summarize_changes(self.git, head or EMPTY_TREE, folder_tree(self.git, head))

    def unsaved_tree(self, log: CommitLog) -> tuple[str, str]:
        """Return the commit that the folder is based on, or the empty tree, and its state."""
        folder = WorkTree(self.git, log)
        folder.end_merge()
        head = self._head()
        tree = folder_tree(self.git, head)
        return self._base_commit(head, tree) or EMPTY_TREE, tree

    def _base_commit(self, head: str | None, tree: str) -> str | None:
        """Return the commit that the folder's state is based on, and move the branch there.

        This is the target of a process that died, if all of its changes are in the folder.
        Otherwise it is the branch's own commit.
        """
        note = self.git.inner(_TARGET_NOTE)
        if head is None or not note.is_file():
            return head
        target = note.read_text(encoding="ascii").strip()
        is_shown = self._is_shown(head, target, tree)
        if is_shown:
            self.git.write("update-ref", "HEAD", target, head, action="move the branch")
        note.unlink()
        return target if is_shown else head

    def _is_shown(self, head: str, target: str, tree: str) -> bool:
        """Return whether the folder has all changes between two commits already."""
        if self.git.try_text("merge-base", "--is-ancestor", head, target) is None:
            return False
        target_paths, local_paths, remainder = (
            {change.path for change in self.git.changes(*pair, "--relative")}
            for pair in ((head, target), (head, tree), (target, tree))
        )
        return target_paths <= local_paths and not (target_paths and target_paths <= remainder)

    def merge_remote(self, log: CommitLog) -> tuple[str, str]:
        """Merge the fetched commits into the folder and the branch.

        If the others did nothing, the folder is not read again: what was written to it meanwhile is
        for the next sync.

        Returns:
            A summary of what was committed of the folder first, and one of what the others did.
        """
        if not self._has_news():
            return "", ""
        saved: list[str] = []
        for attempt in range(_MOST_ROUNDS):
            saved.append(self.save(log, self._theirs()))
            try:
                return "; ".join(filter(None, saved)), self._merge(log)
            except StaleRevision:
                if attempt + 1 == _MOST_ROUNDS:
                    raise
        raise AssertionError

    def _has_news(self) -> bool:
        """Return whether the others have commits that this branch has not."""
        theirs = self._theirs()
        return theirs is not None and (
            self._head() is None
            or self.git.try_text("merge-base", "--is-ancestor", theirs, "HEAD") is None
        )

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
        summary = summarize_changes(self.git, base or EMPTY_TREE, theirs)
        target = theirs
        if base != ours:
            person = self.signature()[0]
            message = f"Merge: {summary}"
            target = merge_commits(top, prefix, ours, theirs, message, person)
        check_project(top, prefix, target)
        note = self.git.inner(_TARGET_NOTE)
        write_atomically(note, target.encode("ascii"))
        folder = WorkTree(self.git, log)
        folder.change(ours, target)
        self._move_branch(folder, target, ours)
        note.unlink(missing_ok=True)
        return summary

    def _check_same_project(self, theirs: str) -> None:
        ours = (self.git.folder / PROJECT_FILE).read_bytes()
        document = document_of(self.git.blobs([f"{theirs}:./{PROJECT_FILE}"])[0])
        if document is not None and document.get("id") != (document_of(ours) or {}).get("id"):
            raise Refusal(
                "The repository holds another project, '{name}'. Share this one at the address of "
                "an empty repository, or import that one into a new folder.",
                name=document.get("name"),
            )

    def _move_branch(self, folder: WorkTree, commit: str, previous: str | None) -> None:
        expected = previous or "0" * 40
        self.git.write("update-ref", "HEAD", commit, expected, action="move the branch")
        folder.show(commit)
