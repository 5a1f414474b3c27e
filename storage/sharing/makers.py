"""Who gave a field the values that a question is about, and when, as the history tells it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from storage.git.git import Git
from storage.sharing.conflicts import Choice, Question, choice_at
from storage.sharing.words import Document, document_of

_MOST_QUESTIONS = 100
_MOST_CHANGES = 500
_FORM = "--format=%x01%an%x1f%at"


@dataclass(frozen=True, slots=True)
class _Change:
    """A change of a record's file; None where the file is not there."""

    path: str
    maker: str
    before: Document | None
    after: Document | None


def with_makers(git: Git, questions: Sequence[Question]) -> list[Question]:
    """Return questions that say of each choice who made it; the history is looked at, not far."""
    asked = [question for question in questions[:_MOST_QUESTIONS] if question.other is None]
    if not asked:
        return list(questions)
    changes = list(_changes(git, sorted({question.path for question in asked})))
    return [
        question.model_copy(update={"makers": _makers(question, changes)})
        if question.other is None
        else question
        for question in questions
    ]


def _makers(question: Question, changes: Sequence[_Change]) -> tuple[str, ...]:
    own = [change for change in changes if change.path == question.path]
    return tuple(
        next((one.maker for one in own if _gave(one, question, number)), "")
        for number in range(len(question.choices))
    )


def _gave(change: _Change, question: Question, number: int) -> bool:
    """Whether a change made of a record what a choice says, and it was not so before."""
    if not question.field:
        if question.choices[number].absent:
            return change.after is None
        return change.before is not None and change.after is not None
    wanted = question.chosen(number)
    return change.after is not None and (
        _values(change.after, wanted) == [value for _, value in wanted]
        and _values(change.before or {}, wanted) != [value for _, value in wanted]
    )


def _values(document: Document, fields: Sequence[tuple[tuple[str, ...], Choice]]) -> list[Choice]:
    return [choice_at(document, field) for field, _ in fields]


def _changes(git: Git, paths: Sequence[str]) -> Iterator[_Change]:
    """Yield the changes of records' files, the latest first."""
    where = [f":(literal){path}" for path in paths]
    items = git.lines(
        *("log", "--full-history", "--no-merges", f"-{_MOST_CHANGES}", "--raw", "--abbrev=40"),
        *("--no-renames", "--relative", "-z", _FORM, "--", *where),
    )
    found: list[tuple[str, str, str, str]] = []
    maker = ""
    entries = iter(items)
    for item in entries:
        if item.startswith("\x01"):
            who, _, seconds = item[1:].rpartition("\x1f")
            maker = f"{who}, {datetime.fromtimestamp(int(seconds), UTC):%Y-%m-%d %H:%M} UTC"
        else:
            _, _, before, after, _ = item.strip().split(" ")
            found.append((next(entries), maker, before, after))
    was = git.blobs([before for _, _, before, _ in found])
    now = git.blobs([after for _, _, _, after in found])
    for (path, who, _, _), old, new in zip(found, was, now, strict=True):
        yield _Change(path, who, document_of(old), document_of(new))
