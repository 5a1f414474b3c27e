"""Share a project: keep its history, bring in what others did, send what was done here."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import cast
from urllib.parse import urlsplit

import anyio.to_thread
from pydantic import JsonValue

from storage.commits import Edit, Move
from storage.errors import InvalidRecord, RecordNotFound, StaleRevision, StorageError
from storage.json_text import patch_json
from storage.layout import place_named
from storage.reading import read_record, revision_of
from storage.records import Record
from storage.sharing.git import Git, GitFailed, without_secrets
from storage.sharing.merging import merge_objects
from storage.sharing.questions import (
    FOLDER,
    Question,
    open_questions,
    question_named,
    with_choice,
)
from storage.sharing.tree_merge import merge_commits
from storage.sharing.words import FieldChange, RecordChange, field_changes, summary
from storage.store import ProjectStore

_MOST_ROUNDS = 6
_REMOTE = "origin"
_BRANCH = "main"
_EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"


class NotShared(StorageError):  # noqa: N818 - errors are named by their cause
    """The project has no history yet."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"{folder} is not shared yet. Give the address of an empty git repository to share "
            "it, or share it without one to keep a history on this machine."
        )


class TokenInAddress(StorageError):  # noqa: N818
    """An address holds a password or token."""

    def __init__(self) -> None:
        super().__init__(
            "The address holds a password or token, which would be stored in the project's "
            "settings. Give it without one: git asks its own credential store."
        )


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What a sync did.

    Attributes:
        saved: What was done here since the last sync, in words; "" for nothing.
        received: What others did, in words; "" for nothing.
        sent: Whether everything done here is with the others now.
        offline: Why the others could not be reached; "" when they were.
        questions: What people must decide.
    """

    saved: str
    received: str
    sent: bool
    offline: str
    questions: tuple[Question, ...]


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One change of a record.

    Attributes:
        change: The change's id, for `undo`.
        done: What was done: add, rate, tag, repair, rename, change or delete.
        fields: The fields that differ; none where the record was added or deleted.
    """

    change: str
    who: str
    when: datetime
    done: str
    fields: tuple[FieldChange, ...]


async def fetch_project(address: str, folder: Path) -> None:
    """Bring a shared project into a folder that does not exist yet, or is empty.

    Raises:
        TokenInAddress: The address holds a password or token.
        GitFailed: It could not be reached.
    """
    if _has_secret(address):
        raise TokenInAddress
    git = Git(folder.parent)

    def clone() -> None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        git.run("clone", "-q", "--", address, str(folder), action="fetch the project")

    await anyio.to_thread.run_sync(clone)


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
        """
        if address is not None and _has_secret(address):
            raise TokenInAddress
        await anyio.to_thread.run_sync(self._share, address)

    async def sync(self) -> SyncReport:
        """Save the history of what was done here, bring in what others did, and send it all.

        Works offline: then only the first happens, and a later sync catches up.

        Raises:
            NotShared: The project has no history yet.
            GitFailed: Git refused for another reason than being offline.
        """
        report = await self._store.alone(lambda _: self._sync())
        await self._store.reload()
        return report

    async def questions(self) -> list[Question]:
        """Return what people must decide."""
        return await anyio.to_thread.run_sync(open_questions, self._store.folder)

    async def decide(self, question_id: str, choice: int) -> None:
        """Decide an open question by the number of one of its choices, 0 or 1.

        Raises:
            RecordNotFound: There is no such question.
        """
        question = await anyio.to_thread.run_sync(question_named, self._store.folder, question_id)
        edits, moves = await anyio.to_thread.run_sync(self._decision, question, choice)
        await self._store.write(edits, moves)

    async def history(self, record: Record, limit: int = 20) -> list[HistoryEntry]:
        """Return the changes of a record, the latest first.

        Raises:
            NotShared: The project has no history yet.
        """
        if record.origin is None:
            raise InvalidRecord(record.type_name(), "it was never saved to a project")
        return await anyio.to_thread.run_sync(self._history, record.origin.path, limit)

    async def undo(self, record: Record, change: str) -> None:
        """Take one change of a record back, and leave later changes of other fields.

        Raises:
            StaleRevision: The same fields were changed again since.
        """
        if record.origin is None:
            raise InvalidRecord(record.type_name(), "it was never saved to a project")
        edit = await anyio.to_thread.run_sync(self._undo, record, record.origin.path, change)
        await self._store.write([edit], [])

    # ------------------------------------------------------------ how

    def _share(self, address: str | None) -> None:
        if self._git.try_text("rev-parse", "--git-dir") is None:
            self._git.run("init", "-q", "-b", _BRANCH, action="begin the history")
        if address is not None:
            known = self._git.try_text("remote", "get-url", _REMOTE)
            verb = "set-url" if known is not None else "add"
            self._git.run("remote", verb, _REMOTE, "--", address, action="name the repository")

    def _sync(self) -> SyncReport:
        if self._git.try_text("rev-parse", "--git-dir") is None:
            raise NotShared(self._store.folder)
        saved = self._save_history()
        received, offline, sent = "", "", False
        if self._git.try_text("remote", "get-url", _REMOTE) is None:
            offline = "the project has no address that others know"
        else:
            try:
                received, sent = self._exchange()
            except GitFailed as error:
                if not error.is_offline:
                    raise
                offline = str(error)
        questions = tuple(open_questions(self._store.folder))
        return SyncReport(saved, received, sent, offline, questions)

    def _save_history(self) -> str:
        self._git.run("add", "-A", "--", ".", ":(exclude,glob)**/.*.new", action="save the history")
        has_head = self._git.try_text("rev-parse", "-q", "--verify", "HEAD") is not None
        before = "HEAD" if has_head else _EMPTY_TREE
        changes = self._changes("--cached", before)
        if not self._git.lines("diff", "--cached", "--name-only", "-z", before, "--", "."):
            return ""
        message = summary(changes)
        self._git.run(*self._as_person(), "commit", "-q", "--no-verify", "-m", message, "--", ".")
        return message

    def _as_person(self) -> list[str]:
        if self._git.try_text("config", "user.email"):
            return []
        who = self._store.person
        return ["-c", f"user.name={who}", "-c", f"user.email={who}@localhost"]

    def _changes(self, *what: str) -> list[RecordChange]:
        """Return the records that differ between two states, as `git diff` names them."""
        paths = self._git.lines("diff", "--name-only", "--no-renames", "--relative", "-z", *what)
        records = [path for path in paths if path.endswith(".kiln") and "\n" not in path]
        cached = what[0] == "--cached"
        before = self._git.blobs([f"{what[1 if cached else 0]}:./{path}" for path in records])
        after = self._git.blobs(
            [f":./{path}" if cached else f"{what[1]}:./{path}" for path in records]
        )
        return [
            RecordChange(PurePosixPath(path).stem, _document(was), _document(now))
            for path, was, now in zip(records, before, after, strict=True)
        ]

    def _exchange(self) -> tuple[str, bool]:
        branch = self._git.text("symbolic-ref", "--short", "HEAD")
        there = f"refs/remotes/{_REMOTE}/{branch}"
        received: list[str] = []
        for _ in range(_MOST_ROUNDS):
            self._git.run("fetch", "-q", _REMOTE, action="reach the others")
            theirs = self._git.try_text("rev-parse", "-q", "--verify", there)
            if theirs is not None:
                received += self._bring_in(theirs)
            here = self._git.try_text("rev-parse", "-q", "--verify", "HEAD")
            if here is None or here == theirs:
                return "; ".join(received), here is not None
            try:
                self._git.run("push", "-q", _REMOTE, f"HEAD:refs/heads/{branch}", action="send")
            except GitFailed as error:
                if not error.is_rejected:
                    raise
                continue
            return "; ".join(received), True
        return "; ".join(received), False

    def _bring_in(self, theirs: str) -> list[str]:
        ours = self._git.try_text("rev-parse", "-q", "--verify", "HEAD")
        if ours is None:
            self._git.run("reset", "-q", "--hard", theirs, action="bring in the others' changes")
            return ["the whole project"]
        base = self._git.try_text("merge-base", ours, theirs)
        if base == theirs:
            return []
        what = summary(self._changes(base or _EMPTY_TREE, theirs))
        target = theirs
        if base != ours:
            top = Git(Path(self._git.text("rev-parse", "--show-toplevel")))
            prefix = self._git.text("rev-parse", "--show-prefix")
            target = merge_commits(
                top, prefix, ours, theirs, f"Bring together: {what}", self._as_person()
            )
        self._git.run("merge", "-q", "--ff-only", target, action="bring in the others' changes")
        return [what]

    def _decision(self, question: Question, number: int) -> tuple[list[Edit], list[Move]]:
        choice = question.choices[1 if number else 0]
        asked = f"{FOLDER}/{question.id}.json"
        moves = [Move(asked, f".trash/decided/{question.id}.json")]
        file = self._store.folder / question.path
        if not question.field:
            folder = str(PurePosixPath(question.path).parent)
            if choice.absent and file.exists():
                moves.append(Move(folder, f".trash/decided/{question.id}"))
            return [], moves
        if not file.exists():
            return [], moves
        held = file.read_bytes()
        document = _document(held) or {}
        changed = with_choice(document, question.field, choice)
        return [_edit(question.path, held, document, changed)], moves

    def _history(self, path: str, limit: int) -> list[HistoryEntry]:
        if self._git.try_text("rev-parse", "-q", "--verify", "HEAD") is None:
            raise NotShared(self._store.folder)
        form = "--format=%H%x1f%an%x1f%at%x1f%P"
        log = self._git.text("log", "--no-merges", f"-{limit}", form, "--", path)
        found: list[HistoryEntry] = []
        for line in log.splitlines():
            change, who, seconds, parents = line.split("\x1f")
            before, after = self._before_and_after(path, change, parents)
            done = RecordChange(PurePosixPath(path).stem, before, after)
            fields = tuple(field_changes(before, after)) if before and after else ()
            when = datetime.fromtimestamp(int(seconds), UTC)
            found.append(HistoryEntry(change, who, when, done.verb, fields))
        return found

    def _before_and_after(
        self, path: str, change: str, parents: str
    ) -> tuple[dict[str, JsonValue] | None, dict[str, JsonValue] | None]:
        first = parents.split()[0] if parents else _EMPTY_TREE
        before, after = self._git.blobs([f"{first}:./{path}", f"{change}:./{path}"])
        return _document(before), _document(after)

    def _undo(self, record: Record, path: str, change: str) -> Edit:
        parents = self._git.try_text("log", "-1", "--format=%P", change, "--")
        if parents is None:
            raise RecordNotFound("change", change)
        before, after = self._before_and_after(path, change, parents)
        if before is None or after is None:
            raise InvalidRecord(
                record.type_name(), "this change added or deleted it; delete it or put it back"
            )
        held = (self._store.folder / path).read_bytes()
        now = _document(held) or {}
        merged, clashes = merge_objects(after, now, before)
        if clashes:
            raise StaleRevision(path, None, datetime.now(UTC))
        return _edit(path, held, now, merged)


def _edit(
    path: str, held: bytes, before: dict[str, JsonValue], after: dict[str, JsonValue]
) -> Edit:
    content = patch_json(held.decode("utf-8"), before, after).encode("utf-8")
    place = place_named(PurePosixPath(path).name)
    if place is not None:
        read_record(place.record, content, path)
    return Edit(path, content, revision_of(held))


def _document(content: bytes | None) -> dict[str, JsonValue] | None:
    if content is None:
        return None
    try:
        document: object = json.loads(content)
    except ValueError:
        return {}
    return cast("dict[str, JsonValue]", document) if isinstance(document, dict) else {}


def _has_secret(address: str) -> bool:
    try:
        return bool(urlsplit(address).password) or (
            without_secrets(address) != address and (urlsplit(address).scheme in ("http", "https"))
        )
    except ValueError:
        return False
