"""What differs between two states of a project, in words."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import PurePosixPath

from pydantic import ValidationError

from storage.format.layout import PROJECT_FILE, children_of, place_named
from storage.git.git import FileChange, Git
from storage.sharing.conflicts import FOLDER as QUESTIONS
from storage.sharing.conflicts import Question
from storage.sharing.words import QUESTION, Document, RecordChange, document_of, summary


def told(git: Git, before: str, after: str) -> str:
    """Return what differs between two trees or commits; "" for nothing."""
    changes = git.changes(before, after, "--relative")
    if not changes:
        return ""
    records = [change for change in changes if change.path.endswith(".kiln")]
    asked = [change for change in changes if PurePosixPath(change.path).parts[0] == QUESTIONS]
    known = {change.path for change in [*records, *asked]}
    records.sort(key=lambda change: change.path.count("/"))  # parents are named first
    was = git.blobs([change.before for change in records])
    now = git.blobs([change.after for change in records])
    made = [
        RecordChange(PurePosixPath(change.path).stem, document_of(old), document_of(new))
        for change, old, new in zip(records, was, now, strict=True)
    ]
    made += _questions(git, after, asked)
    beside = [change.path for change in changes if change.path not in known]
    owners, loose = _owners(git, beside, after)
    made += _unchanged(git, owners - known, after)
    return summary(made, loose)


def _questions(git: Git, after: str, changes: Sequence[FileChange]) -> list[RecordChange]:
    """Return the questions that were asked or decided, each named by what it is about."""
    found: list[RecordChange] = []
    contents = git.blobs([change.before or change.after for change in changes])
    for change, content in zip(changes, contents, strict=True):
        about: Document = {}
        with suppress(ValidationError):
            question = Question.model_validate_json(content or b"")
            held = document_of(git.blobs([f"{after}:./{question.path}"])[0])
            about = {"name": question.subject(held or {})}
        found.append(
            RecordChange(
                QUESTION, about if change.before else None, about if change.after else None
            )
        )
    return found


def files_of(path: str) -> list[str]:
    """Return git's pathspecs of a record's own file and of the files that lie beside it.

    Args:
        path: The record's file, within the project.
    """
    file = PurePosixPath(path)
    place = place_named(file.name)
    if place is not None and not children_of(place.record):
        return [f":(literal){file.parent}"]
    return [f":(literal){path}", f":(glob){_escaped(str(file.parent))}/*"]


def is_beside(path: str, record: str) -> bool:
    """Whether a file lies beside a record's file, and is none of a record below it."""
    file, folder = PurePosixPath(path), PurePosixPath(record).parent
    if file.suffix == ".kiln" or folder not in file.parents or folder == PurePosixPath():
        return False
    place = place_named(PurePosixPath(record).name)
    return file.parent == folder or (place is not None and not children_of(place.record))


def _owners(git: Git, paths: Sequence[str], tree: str) -> tuple[set[str], list[str]]:
    """Return the files of the records that files lie beside, and the files that lie elsewhere."""
    if not paths:
        return set(), []
    names = git.lines("ls-tree", "-r", "-z", "--name-only", tree, "--", ".")
    in_folder = {str(PurePosixPath(name).parent): name for name in names if name.endswith(".kiln")}
    owners: set[str] = set()
    loose: list[str] = []
    for path in paths:
        above = (str(folder) for folder in PurePosixPath(path).parents)
        owner = next((in_folder[folder] for folder in above if folder in in_folder), PROJECT_FILE)
        if owner == PROJECT_FILE:
            loose.append(path)
        else:
            owners.add(owner)
    return owners, loose


def _unchanged(git: Git, paths: Iterable[str], tree: str) -> list[RecordChange]:
    """Return records as changed whose own files are not."""
    files = sorted(paths)
    documents = map(document_of, git.blobs([f"{tree}:./{path}" for path in files]))
    return [
        RecordChange(PurePosixPath(path).stem, document, document)
        for path, document in zip(files, documents, strict=True)
    ]


def _escaped(text: str) -> str:
    return "".join(f"\\{character}" if character in "*?[\\" else character for character in text)
